"""`keep_iterations: last`: only the last stays, none is deleted before the next is complete, a killed job continues."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from cryosnake.io.mrc import read_mrc
from cryosnake.jobs.registry import job_types
from cryosnake.pipeline.edit import add_node, add_process
from cryosnake.pipeline.files import write_pipeline
from cryosnake.pipeline.markers import set_exit
from cryosnake.pipeline.model import Node, Pipeline, Process, Status
from cryosnake.programs.class2d import files as class2d_files
from cryosnake.programs.simulate.particles import StackSettings, simulate_particles
from cryosnake.project.cleaning.clean_sets import clean_set
from cryosnake.project.records.kept_results import drop_results
from cryosnake.project.run.closing import tidy_results
from cryosnake.project.run.kept_iterations import WAITING, drop_superseded, drop_waiting
from cryosnake.running.run import run_job

JOB = "Class2D/job001"
PARTICLES = 60
TYPES = {"class2d": ["--classes", "2", "--iterations", "3", "--psi_step", "20"],
         "class3d": ["--classes", "2", "--iterations", "2", "--sampling", "30 degrees", "--reference", "reference.mrc"],
         "refine3d": ["--max_iterations", "3", "--sampling", "30 degrees", "--reference", "reference.mrc"],
         "initialmodel": ["--iterations", "20", "--starts", "1", "--initial_batch", "20", "--final_batch", "20"]}
LEFT = {  # of the iterations; what has no number is not listed
    "class2d": {"003": ["classes.mrcs", "data.star", "model.star", "optimiser.star", "sampling.star"]},
    "class3d": {"002": ["class001.mrc", "class002.mrc", "data.star", "model.star", "optimiser.star", "sampling.star"]},
    "refine3d": {"003": ["data.star", "half1_class001.mrc", "half1_model.star", "half2_class001.mrc",
                         "half2_model.star", "optimiser.star", "sampling.star"]},
    "initialmodel": {"020": ["class001.mrc", "data.star", "model.star", "optimiser.star", "sampling.star"]},
}


@pytest.fixture(scope="module")
def simulated(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("iterations")
    simulate_particles(folder, StackSettings(count=PARTICLES, box=24, pixel_size=8.0, snr=0.3, symmetry="D2",
                                             residues=240, seed=3))
    return folder


@pytest.fixture
def project(tmp_path, simulated, monkeypatch) -> Path:
    """An empty project beside the particles, outside of any run of Snakemake."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CRYOSNAKE_WORKFLOW", raising=False)
    for path in simulated.iterdir():
        Path(path.name).symlink_to(path)
    Path(JOB).mkdir(parents=True)
    return tmp_path


def run(name: str, *more: str, out: str = JOB) -> int:
    words = ["--out", out, "--particles", "particles.star", "--particle_diameter", "150", "--pictures", "false"]
    return run_job(job_types()[name], [*words, *TYPES[name], *more])


def iterations(out: str = JOB) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for path in sorted(Path(out).glob("run*_it*")):
        match = re.fullmatch(r"run_it(\d{3})_(.*)", path.name)
        assert match, path
        found.setdefault(match[1], []).append(match[2])
    return found


def touch(*names: str) -> None:
    for name in names:
        Path(JOB, name).touch()


@pytest.mark.parametrize("name", TYPES)
def test_every_type_leaves_its_last_iteration_and_its_results(project, name) -> None:
    job_type = job_types()[name]
    out = f"{job_type.folder}/job005"
    Path(out).mkdir(parents=True)
    assert run(name, "--keep_iterations", "last", out=out) == 0
    assert iterations(out) == LEFT[name]
    assert not Path(out, WAITING).exists()
    pipeline = add_process(Pipeline(), Process(f"{out}/"))
    files = [path.name for path in Path(out).iterdir()]
    assert not [file for file in clean_set(pipeline, f"{out}/", "gentle", files) if "_it" in file]  # nothing is left


def test_all_stay_unless_asked_for(project) -> None:
    assert run("class2d") == 0
    assert list(iterations()) == ["000", "001", "002", "003"]


def test_a_half_written_iteration_takes_nothing_and_the_job_goes_on_from_the_one_before(project, monkeypatch, capsys,
                                                                                        ) -> None:
    assert run("class2d") == 0
    whole = read_mrc(f"{JOB}/run_it003_classes.mrcs")[0]
    out, write = "Class2D/job002", class2d_files.write_star

    def killed(path, tables) -> None:  # after images and assignments, before model and optimiser
        if str(path).endswith("it003_model.star"):
            raise OSError(28, "no space left on device", str(path))
        write(path, tables)

    monkeypatch.setattr(class2d_files, "write_star", killed)
    assert run("class2d", "--keep_iterations", "last", out=out) == 1
    assert iterations(out) == {"002": LEFT["class2d"]["003"], "003": ["classes.mrcs", "data.star"]}
    monkeypatch.setattr(class2d_files, "write_star", write)
    capsys.readouterr()
    assert run("class2d", "--keep_iterations", "last", out=out) == 0
    assert "Continuing after iteration 2" in capsys.readouterr().out
    assert iterations(out) == LEFT["class2d"]
    np.testing.assert_allclose(read_mrc(f"{out}/run_it003_classes.mrcs")[0], whole, atol=2e-3 * np.abs(whole).max())


def test_results_that_snakemake_takes_back_after_a_kill_are_made_from_the_iteration_before(project, monkeypatch, capsys,
                                                                                           ) -> None:
    monkeypatch.setenv("CRYOSNAKE_WORKFLOW", "1")
    write_pipeline("default_pipeline.star", add_process(Pipeline(), Process(f"{JOB}/")))
    assert run("class2d", "--keep_iterations", "last") == 0
    assert list(iterations()) == ["002", "003"]
    for name in ("data.star", "model.star", "optimiser.star", "classes.mrcs"):  # declared outputs of a killed run
        Path(JOB, f"run_it003_{name}").unlink()
    drop_results(Path(JOB))  # as on a disk without hard links
    capsys.readouterr()
    assert run("class2d", "--keep_iterations", "last") == 0
    assert "Continuing after iteration 2" in capsys.readouterr().out
    job = SimpleNamespace(path=JOB, files=lambda: [f"{JOB}/run_it003_model.star"])
    set_exit(JOB, Status.FAILED)
    tidy_results([job])
    assert list(iterations()) == ["002", "003"]  # of a job that has to go on, nothing goes
    set_exit(JOB, Status.SUCCEEDED)
    tidy_results([job])
    assert iterations() == LEFT["class2d"] and not Path(JOB, WAITING).exists()


def test_connected_iterations_later_ones_and_other_names_stay(project) -> None:
    pipeline = add_process(Pipeline(), Process(f"{JOB}/"))
    write_pipeline("default_pipeline.star", add_node(pipeline, Node(f"{JOB}/run_it002_data.star", "x", 3), f"{JOB}/"))
    touch(*(f"run_it{n:03d}_{part}" for n in (1, 2, 3, 4, 9) for part in ("data.star", "optimiser.star")),
          "run_ct1_it002_data.star", "run_it001.png", "run_unmasked_classes.mrcs")
    drop_superseded(JOB, "run", 4, start=f"{JOB}/run_it003_optimiser.star")
    assert sorted(path.name for path in Path(JOB).iterdir()) == [
        "run_ct1_it002_data.star", "run_it001.png", *(f"run_it{n:03d}_{part}" for n in (2, 3, 4, 9) for part in
                                                      ("data.star", "optimiser.star")), "run_unmasked_classes.mrcs"]


def test_a_job_that_begins_anew_forgets_what_was_to_go(project) -> None:
    touch("run_it002_data.star", "run_it003_data.star")
    drop_superseded(JOB, "run", 3, result=True)
    assert Path(JOB, WAITING).read_text() == "run_it002_data.star\n"
    assert run("class2d", "--keep_iterations", "all") == 0
    drop_waiting(JOB)
    assert list(iterations()) == ["000", "001", "002", "003"]


def test_what_cannot_be_removed_stops_nothing(project, capsys) -> None:
    Path(JOB, "run_it000_old_data.star").mkdir()
    assert run("class2d", "--keep_iterations", "last") == 0
    said = capsys.readouterr().err
    assert "the files of earlier iterations are kept" in said and "run_it000_old_data.star" in said
    assert "003" in iterations()
