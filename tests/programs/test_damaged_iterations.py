"""Iterations whose files a power cut left damaged: the same command continues from the one before, or starts again."""

from __future__ import annotations

import contextlib
import io
import shutil
from pathlib import Path

import pytest

from cryosnake.errors import CryosnakeError
from cryosnake.io.star import read_star
from cryosnake.jobs.class2d import JOB
from cryosnake.programs.class2d.recipe import run
from cryosnake.programs.simulate.particles import StackSettings, simulate_particles


class Progress:
    """As the frame's, of a job that continues by itself, or one whose user named the iteration."""

    root_name = "run"

    def __init__(self, may_step_back=True):
        self.may_step_back = may_step_back

    def __call__(self, done, total, message=""):
        pass

    def iteration_written(self, number):
        pass


def classify(iterations, continue_from=None, may_step_back=True):
    options = JOB.options(classes=2, particle_diameter=150.0, iterations=iterations, method="em", psi_step=30.0,
                          pictures=False, continue_from=continue_from)
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        run(options, {"particles": "particles.star"}, "Class2D", Progress(may_step_back))
    return said.getvalue()


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A classification that was stopped after three iterations."""
    folder = tmp_path_factory.mktemp("stopped")
    simulate_particles(folder, StackSettings(count=24, box=32, pixel_size=6.0, snr=0.3, symmetry="D2", residues=240))
    with contextlib.chdir(folder):
        Path("Class2D").mkdir()
        classify(3)
    return folder


@pytest.fixture
def project(stopped, tmp_path, monkeypatch):
    shutil.copytree(stopped, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)


def cut(name, part=0.5):
    path = Path("Class2D", name)
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])


NEWEST = "Class2D/run_it003_optimiser.star"


@pytest.mark.parametrize("part", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("name", ["data.star", "model.star", "optimiser.star", "classes.mrcs"])
def test_the_iteration_before_is_taken(project, name, part):
    cut(f"run_it003_{name}", part)
    said = classify(4, NEWEST)
    assert "run_it003_optimiser.star: this iteration can't be read" in said and "Continuing after iteration 2" in said
    assert len(read_star("Class2D/run_it004_data.star")["particles"]) == 24
    assert len(read_star("Class2D/run_it003_data.star")["particles"]) == 24  # made again


def test_what_is_whole_is_continued(project):
    assert "Continuing after iteration 3" in classify(4, NEWEST)


def test_where_none_is_left_the_job_starts_again(project):
    for file in Path("Class2D").glob("*_data.star"):
        file.write_bytes(b"")
    said = classify(3, NEWEST)
    assert "Starting again" in said and "Continuing" not in said
    assert len(read_star("Class2D/run_it003_data.star")["particles"]) == 24


def test_an_iteration_that_the_user_named_is_not_passed_over(project):
    cut("run_it003_data.star")
    with pytest.raises(CryosnakeError):
        classify(4, NEWEST, may_step_back=False)
