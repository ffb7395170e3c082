"""CtfRefine on several ranks, on a GPU and in little memory; half maps made of the particles themselves."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_ctfrefine import BOX, COUNT, PIXEL, changed, nothing, project, refine  # noqa: F401 - a fixture
from test_reconstruct import reconstruct
from test_refine_memory import WITH_PEAK

from cryosnake.errors import CryosnakeError
from cryosnake.io.star import read_star, write_star
from cryosnake.jobs.options import PostProcessOptions
from cryosnake.programs.ctfrefine import ctfrefine
from cryosnake.programs.maps import postprocess
from cryosnake.programs.refinement.particles import read_particles

SCRIPT = Path(__file__).parents[2] / "scripts/run_ctfrefine.py"
RESULT = "particles_ctf_refine.star"
ONE_THREAD = os.environ | {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}


def as_job(folder: Path, *words: str, start: tuple[str, ...] = (sys.executable,)) -> tuple[int, str]:
    """The exit status and output of the program in a process of its own."""
    done = subprocess.run([*start, *map(str, (SCRIPT, "--out", *words, "--particles", "particles.star",
                                              "--postprocess", "postprocess.star", "--threads", 1, "--rounds", 1))],
                          capture_output=True, text=True, cwd=folder, env=ONE_THREAD, timeout=200, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def alone(project: Path) -> Path:  # noqa: F811
    refine(project, project / "Alone/job001", rounds=1)
    return project / "Alone/job001"


def test_ranks_find_what_one_process_finds(project: Path, alone: Path, mpirun: Callable[[int], list[str]],  # noqa: F811
                                           ) -> None:
    """To the last digit: rank 0 adds up what all have computed in the order of the micrographs."""
    code, said = as_job(project, "Ranks/job001", "--mpi_ranks", "3", start=tuple(mpirun(3)))
    assert code == 0, said
    assert (project / "Ranks/job001" / RESULT).read_text() == (alone / RESULT).read_text()
    kept = sorted(path.name for path in (project / "Ranks/job001").rglob("micrograph*.npz"))
    assert kept == sorted(path.name for path in alone.rglob("micrograph*.npz")) and len(kept) == 3 * COUNT // 20


def test_a_gpu_finds_what_the_cpu_finds(project: Path, alone: Path, cupy: Any,  # noqa: F811
                                        monkeypatch: pytest.MonkeyPatch) -> None:
    tables = read_star(project / "particles.star")
    write_star(project / "few.star", {**tables, "particles": tables["particles"].iloc[:40]})
    with monkeypatch.context() as patch:
        patch.setattr(ctfrefine, "choose_device", lambda wish: "gpu")
        refine(project, project / "Gpu/job001", "few.star", rounds=1)
    refine(project, project / "Cpu/job001", "few.star", rounds=1)
    found = [read_star(project / name / "job001" / RESULT) for name in ("Gpu", "Cpu")]
    defocus = [tables["particles"][["rlnDefocusU", "rlnDefocusV"]].to_numpy(float) for tables in found]
    assert np.abs(defocus[0] - defocus[1]).max() < 1.0
    for label in ("rlnBeamTiltX", "rlnBeamTiltY", "rlnMagMat00", "rlnMagMat11"):
        one, other = (float(tables["optics"][label].iloc[0]) for tables in found)
        assert one == pytest.approx(other, abs=1e-3)


def test_memory_is_announced_and_not_exceeded(project: Path) -> None:  # noqa: F811
    code, said = as_job(project, "Memory/job001", "--memory", "0.9", start=(sys.executable, "-c", WITH_PEAK))
    assert code == 0, said
    announced, allowed = map(float, re.search(r"Memory: at most ([\d.]+) of ([\d.]+) GB", said).groups())
    assert float(re.search(r"^peak (.*)", said, re.M)[1]) < announced <= allowed == 0.9


def test_too_little_memory_is_refused(project: Path) -> None:  # noqa: F811
    code, said = as_job(project, "Memory/job002", "--memory", "0.2")
    assert code != 0 and "the job may use 0.2. Set memory to more" in said
    assert not (project / "Memory/job002" / RESULT).exists()


def test_fewer_threads_where_memory_is_short(project: Path, monkeypatch: pytest.MonkeyPatch,  # noqa: F811
                                             capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    monkeypatch.setattr(ctfrefine, "workers_available", lambda: 64)
    refine(project, tmp_path / "much", rounds=1)
    refine(project, tmp_path / "little", rounds=1, memory=0.42)
    much, little = (int(found) for found in re.findall(r"GB; (\d+) thread", capsys.readouterr().out))
    assert 1 <= little < much == COUNT // 20


def test_the_particles_own_noise_does_not_hold_defoci(project: Path, tmp_path: Path,  # noqa: F811
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    """Half maps made of the particles, with the defoci that they have in the table, contain their noise."""
    monkeypatch.chdir(tmp_path)
    reconstruct(project / "particles.star", tmp_path / "run")
    (tmp_path / "mask.mrc").symlink_to(project / "mask.mrc")
    postprocess.run(PostProcessOptions(auto_b_factor=False), {
        "half_maps": tmp_path / "run_half1_class001_unfil.mrc", "mask": tmp_path / "mask.mrc"}, tmp_path, nothing)
    refine(project, tmp_path / "job001", post=str(tmp_path / "postprocess.star"))
    truth, before, after = (read_particles(str(path)) for path in (
        project / "truth/particles.star", project / "particles.star", tmp_path / "job001" / RESULT))
    moved, wanted = ((each.column("rlnDefocusU") - before.column("rlnDefocusU")) for each in (after, truth))
    slope = float(np.polyfit(wanted, moved, 1)[0])
    assert 0.8 < slope < 1.2 and (moved - wanted).std() < 0.5 * wanted.std()
    group, true = after.groups[0], truth.groups[0]
    kx = np.linspace(0.05, 0.2, 30)
    odd, expected = (each.odd_phase(kx, 0.4 * kx) for each in (group, true))
    free = kx[:, None]
    odd, expected = (each - free @ np.linalg.lstsq(free, each, rcond=None)[0] for each in (odd, expected))
    assert np.abs(odd - expected).max() < 0.3 * np.abs(expected).max()


def test_a_tilt_beyond_reason_is_refused(project: Path, tmp_path: Path) -> None:  # noqa: F811
    """As of a wrong spherical aberration."""
    name = changed(project, "tilted.star", "optics", rlnSphericalAberration=0.01)
    with pytest.raises(CryosnakeError, match=r"beam tilt of optics group .* beyond reason.*rlnSphericalAberration"):
        refine(project, tmp_path, name, fourth_order=False, magnification=False, defocus="no", astigmatism="no")
    assert not (tmp_path / RESULT).exists()


def test_an_fsc_that_never_falls_is_said(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,  # noqa: F811
                                         capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(project)
    name = changed(project, "high.star", "fsc", rlnFourierShellCorrelationCorrected=0.9)
    refine(project, tmp_path, post=name, rounds=1)
    said = capsys.readouterr().out
    assert "the FSC never falls" in said and f"to {BOX * PIXEL / (BOX // 2 - 2):.2f} Å" in said
    assert len(read_star(tmp_path / RESULT)["particles"]) == COUNT
