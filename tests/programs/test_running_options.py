"""Running options change speed only: maps, poses and classes agree to rounding, whatever reads and whoever computes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numba
import numpy as np
import pytest

from cryosnake.errors import CryosnakeError
from cryosnake.io.mrc import read_mrc
from cryosnake.io.star import read_star
from cryosnake.numerics.euler import angular_distance
from cryosnake.parallel import images, scratch
from cryosnake.parallel.stacks import StackImages
from cryosnake.parallel.threads import thread_limit
from cryosnake.programs.refinement.particles import read_particles
from cryosnake.programs.simulate.particles import StackSettings, simulate_particles
from cryosnake.simulation.aberrations import Aberrations

sys.path.insert(0, str(Path(__file__).parent))
from mpi_refine import CASES, JOBS, run

COUNT, BOX = 80, 32
TOLERANCE = 1e-4  # of the largest value: float32 sums in another order, over two iterations; it grows with more
# Rounding of the first maps decides which samples at the edge are among the 99.9 % of a probability that count.
EDGE = 3e-3


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A folder with particles, and the results of one rank with one thread and plain reading.

    Their images are corrected when they are read, so that all ways to read and to work on them are tested with that.
    Those of initial models, whose four iterations make the most of rounding, are in usual/ and need no correction.
    """
    folder = tmp_path_factory.mktemp("running")
    aberrations = Aberrations(beam_tilt=(20.0, 10.0), even=(0.0, 0.0, 20.0, 30.0, 0.0, 0.0, 0.0, 0.0, 0.0),
                              magnification=((1.02, 0.01), (0.0, 0.97)))
    usual = StackSettings(count=COUNT, box=BOX, pixel_size=7.0, snr=0.3, symmetry="D2", residues=240, seed=3,
                          per_micrograph=20)
    simulate_particles(folder, replace(usual, aberrations=aberrations))
    simulate_particles(folder / "usual", replace(usual, prefix="usual/"))
    with pytest.MonkeyPatch.context() as patch, thread_limit(1):
        patch.chdir(folder)
        (folder / "scratch").mkdir()
        for name in ("plain", *JOBS):
            (folder / name).mkdir()
            run(name, name)
    return folder


@pytest.fixture
def inside(project, monkeypatch) -> Path:
    monkeypatch.chdir(project)
    return project


@pytest.fixture(scope="module")
def on_ranks(mpirun, project):
    """All cases on two ranks, and the plain ones on three, which share each half set."""
    for count, cases in ((2, list(CASES)), (3, ["plain", *JOBS])):
        for name in cases:
            (project / f"{name}_{count}").mkdir()
        done = subprocess.run([*mpirun(count), str(Path(__file__).with_name("mpi_refine.py")), *cases], cwd=project,
                              capture_output=True, text=True, timeout=300, check=False,
                              env=os.environ | {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"})
        assert done.returncode == 0, done.stderr[-4000:]


def agree(first: str, second: str) -> None:
    one, other = (read_mrc(f"{folder}/run_class001.mrc")[0] for folder in (first, second))
    assert np.abs(one - other).max() <= TOLERANCE * np.abs(one).max()
    _agree_particles(f"{first}/run_data.star", f"{second}/run_data.star")


def _agree_particles(first: str, second: str) -> None:
    one, other = read_particles(first), read_particles(second)
    assert angular_distance(one.poses(), other.poses()).max() < 1e-3
    assert np.abs(one.offsets() - other.offsets()).max() < 1e-3
    for label in ("rlnNormCorrection", "rlnMaxValueProbDistribution", "rlnLogLikeliContribution"):
        np.testing.assert_allclose(one.column(label), other.column(label), rtol=EDGE)


@pytest.mark.parametrize("case", ["preread", "scratch", "pooled", "disc", "rank0_reads", "little_memory"])
def test_one_rank(inside, case) -> None:
    (inside / f"{case}_1").mkdir()
    run(case, f"{case}_1")
    agree("plain", f"{case}_1")
    assert not list((inside / "scratch").glob("*/*"))


def test_images_that_are_not_kept_are_read_ahead(inside, monkeypatch) -> None:
    readers = []
    read = StackImages.__call__
    monkeypatch.setattr(images, "KEPT_BYTES", 0)
    monkeypatch.setattr(StackImages, "__call__", lambda stacks, rows: (
        readers.append(threading.current_thread().name.partition("_")[0]), read(stacks, rows))[1])
    (inside / "ahead").mkdir()
    with thread_limit(1):  # more threads cut the halves into other blocks
        run("pooled", "ahead")
    agree("plain", "ahead")
    # Two iterations of two halves of three blocks each; the first of each half nobody could foresee.
    assert readers.count("read-ahead") == 8


def test_scratch_that_holds_a_part(inside, monkeypatch, capsys) -> None:
    room = SimpleNamespace(f_bavail=1000 + 50 * BOX * BOX * 4, f_frsize=1)
    monkeypatch.setattr(scratch.os, "statvfs", lambda path: room)
    (inside / "part").mkdir()
    run("scratch", "part", keep_free_scratch=1e-6)
    assert f"50 of {COUNT} images copied" in capsys.readouterr().out
    agree("plain", "part")


def test_scratch_is_removed_after_a_failure(inside) -> None:
    with pytest.raises(CryosnakeError, match="cannot be written"):
        run("scratch", "no_such_folder")
    assert not list((inside / "scratch").glob("*/*"))


def test_two_threads(inside) -> None:
    if numba.config.NUMBA_NUM_THREADS < 2:
        pytest.skip("one core, or NUMBA_NUM_THREADS is 1")
    (inside / "threads").mkdir()
    with thread_limit(2):
        assert numba.get_num_threads() == 2
        run("plain", "threads")
    agree("plain", "threads")


@pytest.mark.parametrize("case", [name for name in CASES if name not in JOBS])
def test_two_ranks(inside, on_ranks, case) -> None:
    agree("plain", f"{case}_2")
    assert not list(inside.glob("*/.combine*")) and not list((inside / "scratch").glob("*/*"))


def test_three_ranks(inside, on_ranks) -> None:
    agree("plain", "plain_3")


@pytest.mark.parametrize("ranks", [2, 3])
@pytest.mark.parametrize(("case", "iteration", "maps"), [
    ("classes", 2, ["run_it002_classes.mrcs"]), ("maps", 2, ["run_it002_class001.mrc", "run_it002_class002.mrc"]),
    ("known", 2, ["run_it002_class001.mrc", "run_it002_class002.mrc"]),
    ("initial", 4, ["run_it004_class001.mrc", "initial_model.mrc"])])
def test_classes_and_initial_maps_on_ranks(inside, on_ranks, case, iteration, maps, ranks) -> None:
    for name in maps:
        one, other = (read_mrc(f"{folder}/{name}")[0] for folder in (case, f"{case}_{ranks}"))
        assert np.abs(one - other).max() <= TOLERANCE * np.abs(one).max()
    data = f"run_it{iteration:03d}_data.star"
    numbers = [read_star(f"{folder}/{data}")["particles"]["rlnClassNumber"].tolist()
               for folder in (case, f"{case}_{ranks}")]
    assert numbers[0] == numbers[1]
    _agree_particles(f"{case}/{data}", f"{case}_{ranks}/{data}")
