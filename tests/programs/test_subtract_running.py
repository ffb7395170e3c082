"""Subtract on several ranks, on a GPU, in little memory; with the detector's MTF, mixed boxes and empty groups."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from test_refine_memory import WITH_PEAK
from test_subtract import BOX, COUNT, PIXEL, images_of, nothing, project, subtract  # noqa: F401 - a fixture

from cryosnake.errors import CryosnakeError
from cryosnake.io.mrc import read_images, write_mrc
from cryosnake.io.star import read_star, write_star
from cryosnake.jobs.options import SubtractOptions
from cryosnake.numerics.fsc import shell_index
from cryosnake.programs.simulate.truth import write_mtf
from cryosnake.programs.subtract import memory
from cryosnake.programs.subtract import subtract as program

SCRIPT = Path(__file__).parents[2] / "scripts/run_subtract.py"


@pytest.fixture(autouse=True)
def there(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    monkeypatch.chdir(project)


def as_job(*words: str, start: tuple[str, ...] = (sys.executable,)) -> tuple[int, str]:
    """The exit status and output of the program in a process of its own."""
    done = subprocess.run([*start, *map(str, (SCRIPT, "--out", *words, "--optimiser", "run_optimiser.star", "--mask",
                                              "mask.mrc", "--threads", 1))], capture_output=True, text=True,
                          timeout=200, check=False, env=os.environ | {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"})
    return done.returncode, done.stdout + done.stderr


def test_ranks_write_what_one_process_writes(mpirun: Callable[[int], list[str]]) -> None:
    code, said = as_job("Subtract/job101", "--mpi_ranks", "3", start=tuple(mpirun(3)))
    assert code == 0, said
    alone, ranks = subtract("Subtract/job102"), read_star("Subtract/job101/particles_subtracted.star")
    np.testing.assert_array_equal(images_of(ranks), images_of(alone))
    pd.testing.assert_frame_equal(*(found["particles"].drop(columns="rlnImageName") for found in (ranks, alone)))
    written = sorted(path.name for path in Path("Subtract/job101/Particles").iterdir())
    assert written == [f"subtracted_rank{rank}_opticsgroup1.mrcs" for rank in (1, 2, 3)]


def test_a_gpu_finds_what_the_cpu_finds(cupy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(program, "choose_device", lambda wish: "gpu")
        there = images_of(subtract("Subtract/job103"))
    assert np.abs(there - images_of(subtract("Subtract/job104"))).max() < 1e-3


def test_memory_is_announced_and_not_exceeded() -> None:
    code, said = as_job("Subtract/job105", "--memory", "0.9", start=(sys.executable, "-c", WITH_PEAK))
    assert code == 0, said
    announced, allowed = map(float, re.search(r"Memory: at most ([\d.]+) of ([\d.]+) GB", said).groups())
    assert float(re.search(r"^peak (.*)", said, re.M)[1]) < announced <= allowed == 0.9


def test_fewer_images_at_a_time_where_memory_is_short(capsys: pytest.CaptureFixture[str]) -> None:
    whole = images_of(subtract("Subtract/job106"))
    few = images_of(subtract("Subtract/job107", memory=0.43))
    blocks = [int(found) for found in re.findall(r"GB; (\d+) images", capsys.readouterr().out)]
    assert 1 <= blocks[1] < blocks[0] == memory._AT_ONCE
    np.testing.assert_allclose(few, whole, atol=1e-5)
    code, said = as_job("Subtract/job108", "--memory", "0.2")
    assert code != 0 and "the job may use 0.2. Set memory to more" in said


@pytest.fixture
def with_mtf() -> Iterator[None]:
    """The optimiser's particles name an MTF."""
    write_mtf(Path("mtf.star"), 0.4)
    before = read_star("run_data.star")
    write_star("run_data.star", {**before, "optics": before["optics"].assign(rlnMtfFileName="mtf.star")})
    yield
    write_star("run_data.star", before)


def falls(with_it: np.ndarray, without: np.ndarray) -> np.ndarray:
    """By which factor images differ in each shell of their transforms."""
    index = shell_index(BOX, 2).ravel()
    one, other = (np.fft.rfft2(images) for images in (with_it, without))
    cross, power = (np.bincount(index, values.sum(0).ravel()) for values in
                    ((one * other.conj()).real, np.abs(other) ** 2))
    return np.asarray((cross / power)[2 : BOX // 2])


def test_the_mtf_is_applied_where_relion_divided_by_it(with_mtf: None) -> None:
    """Which RELION's refinements do, and ours do not."""
    raw = read_images(read_star("data.star")["particles"]["rlnImageName"].tolist())
    plain = images_of(subtract("Subtract/job109"))  # our optimiser
    Path("relions.star").write_text("# RELION optimiser; version 3.1.3\n# --o run\n"
                                    + Path("run_optimiser.star").read_text())
    ours = images_of(subtract("Subtract/job110", "relions.star"))
    scale = 0.9 / 1.25  # of images, to the average
    fall = falls(raw * scale - ours, raw * scale - plain)
    mtf = np.exp(-2.0 * (np.pi * 0.4 * np.arange(2, BOX // 2) / BOX) ** 2)
    np.testing.assert_allclose(fall, mtf, atol=0.02)


def test_an_mtf_without_the_movies_pixel_size_is_refused(with_mtf: None, tmp_path: Path) -> None:
    tables = read_star("run_data.star")
    write_star("bad.star", {**tables, "optics": tables["optics"].drop(columns="rlnMicrographOriginalPixelSize")})
    Path("relions.star").write_text("# RELION optimiser; version 3.1.3\n" + Path("run_optimiser.star").read_text())
    with pytest.raises(CryosnakeError, match="names an MTF"):
        program.run(SubtractOptions(), {"optimiser": "relions.star", "mask": "mask.mrc", "particles": "bad.star"},
                    tmp_path, nothing)


def test_mixed_boxes_and_an_empty_group() -> None:
    """Each group gets a stack of its own box; no particle and no group is lost."""
    tables = read_star("data.star")
    rows, images = np.arange(COUNT // 2, COUNT), read_images(tables["particles"]["rlnImageName"].tolist())
    write_mrc("small.mrcs", images[rows][:, 4:-4, 4:-4], PIXEL, stack=True)
    tables["particles"].loc[rows, "rlnImageName"] = [f"{n + 1:06d}@small.mrcs" for n in range(len(rows))]
    tables["particles"].loc[rows, "rlnOpticsGroup"] = 3
    groups = [tables["optics"].assign(rlnOpticsGroup=number, rlnOpticsGroupName=name, rlnImageSize=box)
              for number, name, box in ((1, "first", BOX), (2, "empty", BOX), (3, "small", BOX - 8))]
    write_star("mixed.star", {"optics": pd.concat(groups), "particles": tables["particles"]})
    Path("Subtract/job111").mkdir(parents=True)
    program.run(SubtractOptions(), {"optimiser": "run_optimiser.star", "mask": "mask.mrc", "particles": "mixed.star"},
                "Subtract/job111", nothing)
    found = read_star("Subtract/job111/particles_subtracted.star")
    assert found["optics"]["rlnImageSize"].tolist() == [BOX, BOX, BOX - 8] and len(found["particles"]) == COUNT
    whole = images_of(subtract("Subtract/job112"))
    small = read_images(found["particles"]["rlnImageName"].tolist()[COUNT // 2 :])
    assert small.shape[1] == BOX - 8
    assert np.abs(small - whole[rows][:, 4:-4, 4:-4]).std() < 0.05 * small.std()
