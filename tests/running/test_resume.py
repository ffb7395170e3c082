"""Which iteration a long job continues from when the same command runs again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cryosnake.jobs.class2d import JOB as CLASS2D
from cryosnake.jobs.model import file_of
from cryosnake.jobs.refine3d import JOB as REFINE
from cryosnake.jobs.select import JOB as SELECT
from cryosnake.pipeline.job_star import read_output_nodes, write_output_nodes
from cryosnake.pipeline.model import Node
from cryosnake.running.arguments import Arguments
from cryosnake.running.nodes import check_outputs, declare_outputs
from cryosnake.running.resume import resume


@pytest.fixture
def job(tmp_path, monkeypatch) -> Path:
    """A job whose input is 100 s old and whose iterations were made at the given ages."""
    monkeypatch.chdir(tmp_path)
    folder = Path("Class2D/job002")
    folder.mkdir(parents=True)
    made(folder / "particles.star", 100)
    return folder


def made(path: Path, age: float) -> None:
    path.touch()
    os.utime(path, (1e9 - age,) * 2)


def chosen(job: Path, job_type=REFINE, continue_from: str | None = None, run_ct: bool = False) -> str | None:
    options = job_type.options(continue_from=continue_from, run_ct=run_ct, particle_diameter=150.0)
    return resume(options, {"particles": job / "particles.star"}, job).continue_from


def test_a_new_job_starts_at_the_beginning(job) -> None:
    assert chosen(job) is None


def test_a_killed_one_goes_on_from_its_last_iteration(job) -> None:
    for number in (1, 2, 10):
        made(job / f"run_it{number:03d}_optimiser.star", 50)
    assert chosen(job) == str(job / "run_it010_optimiser.star")


def test_iterations_of_a_smaller_input_do_not_count(job) -> None:
    made(job / "run_it025_optimiser.star", 200)
    assert chosen(job) is None
    made(job / "run_it003_optimiser.star", 50)
    assert chosen(job) == str(job / "run_it003_optimiser.star")


def test_what_the_user_says_stands(job) -> None:
    made(job / "run_it010_optimiser.star", 50)
    assert chosen(job, continue_from="run_it004_optimiser.star") == "run_it004_optimiser.star"


def test_another_jobs_iteration_is_where_a_job_begins_and_not_where_it_goes_on(job) -> None:
    (job / "first").mkdir()
    start = job / "first/run_it025_optimiser.star"
    made(start, 60)
    assert chosen(job, continue_from=str(start)) == str(start)
    made(job / "run_it010_optimiser.star", 70)  # of an earlier start
    assert chosen(job, continue_from=str(start)) == str(start)
    made(job / "run_it027_optimiser.star", 50)
    assert chosen(job, continue_from=str(start)) == str(job / "run_it027_optimiser.star")


def test_other_jobs_are_left_alone(job) -> None:
    made(job / "run_it010_optimiser.star", 50)
    options = SELECT.options()
    assert resume(options, {"particles": job / "particles.star"}, job) == options


def test_what_goes_on_under_its_own_name_is_resumed_from_its_own_iterations(job) -> None:
    start = job / "run_it010_optimiser.star"
    made(start, 50)
    assert chosen(job, continue_from=str(start), run_ct=True) == str(start)
    made(job / "run_ct10_it011_optimiser.star", 60)  # of an earlier run_it010
    assert chosen(job, continue_from=str(start), run_ct=True) == str(start)
    made(job / "run_ct10_it012_optimiser.star", 40)
    assert chosen(job, continue_from=str(start), run_ct=True) == str(job / "run_ct10_it012_optimiser.star")


def test_outputs_of_what_goes_on_have_its_name(job) -> None:
    values = {"iterations": 30, "run_ct": True, "continue_from": str(job / "run_it025_optimiser.star")}
    names = [file_of(output, values) for output in CLASS2D.outputs]
    assert names[0] == "run_ct25_it030_data.star" and names[3] == "run_ct25_it030_classes.mrcs"
    assert file_of(CLASS2D.outputs[0], values | {"run_ct": False}) == "run_it030_data.star"
    options = CLASS2D.options(**values, particle_diameter=150.0)
    for name in names:
        made(job / name, 0)
    write_output_nodes(job / "RELION_OUTPUT_NODES.star", [Node(str(job / "particles.star"), "old", 3, 1),
                                                          Node(str(job / "gone.star"), "gone", 3, 1)])
    made(job / "run_it025_optimiser.star", 50)
    resume(options, {"particles": job / "particles.star"}, job)
    arguments = Arguments(out=str(job), batch="", join=False, draw=False, threads=1, gpus=0, options=options, inputs={},
                          command="")
    check_outputs(CLASS2D, arguments)
    declare_outputs(CLASS2D, arguments)
    found = [Path(node.name).name for node in read_output_nodes(job / "RELION_OUTPUT_NODES.star")]
    assert found == ["particles.star", *names]
