"""The plan of a project with cleaned jobs: nothing is redone, and exactly what is needed is made again."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from test_plan import RAW, add_movies, finish, plan_of, with_job

from cryosnake.pipeline.edit import set_status
from cryosnake.pipeline.lock import update_pipeline
from cryosnake.pipeline.markers import clear_exit, set_exit
from cryosnake.pipeline.model import Status
from cryosnake.project.cleaning.clean import clean, plan_action, unclean
from cryosnake.project.cleaning.delete import current_pipeline
from cryosnake.project.locks.clean_up_lock import cleaning_up
from cryosnake.project.planning import rule_values as lookup
from cryosnake.project.planning.planned import Plan
from cryosnake.project.records.batches import batch_star
from cryosnake.project.records.cleaned_files import made_again, missing_files, read_cleaned, record_cleaned, set_wanted
from cryosnake.project.records.regenerated_inputs import read_needed
from cryosnake.project.run.closing import tidy_results
from cryosnake.project.run.commit import commit
from cryosnake.running.regenerated import finish_regenerated_job

MOTION, CTF = "MotionCorr/job002", "CtfFind/job003"
BOTH = {1: "0001", 2: "0002"}


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch) -> Path:
    """Import, motion correction and CTF of three movies in two batches, all finished."""
    monkeypatch.chdir(tmp_path)
    add_movies(1, 2, 3)
    plan = plan_of()
    commit(plan)
    for name, job in plan.jobs.items():
        finish(plan, name)
        for output in job.outputs():
            Path(job.file(output)).write_text("x")
        update_pipeline(Path(), lambda pipeline, path=job.path: set_status(pipeline, f"{path}/", Status.SUCCEEDED))
    return tmp_path


def cleaned(job: str, level: str = "harsh") -> None:
    with cleaning_up():
        clean(plan_action(current_pipeline(), f"{job}/", level))


def inputs(plan: Plan, job: str, key: str) -> list[str]:
    return lookup.batch_inputs(plan, job, key)


def test_cleaned_jobs_are_not_redone() -> None:
    before = plan_of()
    for job in (MOTION, CTF):
        cleaned(job)
    plan = plan_of()
    assert plan.jobs["motion"].batches == plan.jobs["ctf"].batches == BOTH
    assert lookup.targets(plan) == lookup.targets(before)
    assert inputs(plan, CTF, "0001") == inputs(before, CTF, "0001")
    assert plan.jobs["motion"].again == {1: "0001.again1", 2: "0002.again1"}
    assert not plan.jobs["ctf"].again  # nobody opens its pictures


def test_only_the_batch_that_is_needed_is_made_again() -> None:
    cleaned(MOTION)
    Path(CTF, "Movies/m03.ctf").unlink()
    plan = plan_of()
    assert plan.jobs["ctf"].batches == {1: "0001", 2: "0002.r2"}
    assert inputs(plan, CTF, "0001") == [batch_star(MOTION, "0001")]
    assert inputs(plan, CTF, "0002.r2") == [batch_star(MOTION, "0002"), batch_star(MOTION, "0002.again1")]
    assert inputs(plan, MOTION, "0002.again1") == [batch_star("Import/job001", "0002")]
    assert "--batch 0002.again1" in lookup.arguments(plan, MOTION, "0002.again1")


def test_what_was_needed_once_stays_an_input() -> None:
    cleaned(MOTION)
    Path(CTF, "Movies/m03.ctf").unlink()
    commit(plan_of())
    assert read_needed(CTF) == {"0002.r2": (batch_star(MOTION, "0002.again1"),)}
    with cleaning_up():
        unclean(f"{MOTION}/")
    assert inputs(plan_of(), CTF, "0002.r2") == [batch_star(MOTION, "0002"), batch_star(MOTION, "0002.again1")]


def test_a_second_cleaning_gets_another_key() -> None:
    cleaned(MOTION)
    Path(batch_star(MOTION, "0001.again1")).write_text("x")
    assert plan_of().jobs["motion"].again == {1: "0001.again2", 2: "0002.again1"}

def test_what_opens_images_of_joined_lists_needs_those_of_each() -> None:
    raw = with_job("ctf")
    raw["jobs"]["again"] = {"type": "motioncorr", "movies": "movies", "patches": [1, 1]}
    raw["jobs"]["picks"] = {"type": "autopick", "micrographs": ["motion", "again"], "method": "log",
                            "diameter": [90, 90]}
    cleaned(MOTION)
    picks = plan_of(raw).jobs["picks"]
    assert picks.inputs["micrographs"].path == "JoinStar/job005/join_mics.star"
    assert set(picks.needs["0001"]) == {batch_star(MOTION, f"{number:04d}.again1") for number in BOTH}


def test_a_new_job_on_cleaned_data_and_one_that_only_looks_at_rows() -> None:
    cleaned(MOTION)
    raw = with_job("ctf")
    raw["jobs"]["other"] = {"type": "ctffind", "micrographs": "motion", "box": 384}
    raw["jobs"]["picks"] = {"type": "autopick", "micrographs": "ctf", "method": "log", "diameter": [100, 150]}
    raw["jobs"]["good"] = {"type": "select", "micrographs": "ctf", "label": "rlnCtfMaxResolution", "maximum": 6.0}
    plan = plan_of(raw)
    for name in ("other", "picks"):  # picking opens micrographs of which the CTF job passes on the names
        path = plan.jobs[name].path
        assert batch_star(MOTION, "0001.again1") in inputs(plan, path, "0001")
        assert batch_star(MOTION, "0002.again1") not in inputs(plan, path, "0001")
    assert lookup.job_inputs(plan, plan.jobs["good"].path) == [f"{CTF}/micrographs_ctf.star"]


def test_a_file_removed_by_hand_is_missing_as_ever() -> None:
    cleaned(CTF, "gentle")
    Path(MOTION, "Movies/m01.mrc").unlink()
    assert plan_of().jobs["motion"].batches == {1: "0001.r2", 2: "0002"}


def test_files_made_again_get_their_times_back_and_leave_the_table() -> None:
    time = os.stat(f"{MOTION}/Movies/m01.mrc").st_mtime_ns
    cleaned(MOTION)
    shutil.rmtree("Trash")
    Path(MOTION, "Movies").mkdir()
    for name, text in (("m01.mrc", "y"), ("m01.star", "longer"), ("m02.mrc", "y")):
        Path(MOTION, "Movies", name).write_text(text)
    made_again(MOTION, ["Movies/m01.mrc", "Movies/m01.star"])
    assert os.stat(f"{MOTION}/Movies/m01.mrc").st_mtime_ns == time
    assert os.stat(f"{MOTION}/Movies/m01.star").st_mtime_ns > time  # another size: what was made from it is outdated
    left = read_cleaned(MOTION).files
    assert not {"Movies/m01.mrc", "Movies/m01.star"} & set(left)
    assert "Movies/m02.mrc" in left  # of another batch, which may be at work
    assert "Movies/m02.mrc" not in missing_files(MOTION)


def test_what_is_wanted_is_a_target() -> None:
    cleaned(CTF, "clear")
    assert lookup.targets(plan_of()) == lookup.targets(plan_of(RAW))
    set_wanted(CTF, True)
    wanted = [batch_star(CTF, "0001.again1"), batch_star(CTF, "0002.again1")]
    assert [file for file in lookup.targets(plan_of()) if "again" in file] == wanted


def test_a_cleared_job_that_is_run_again_is_what_it_was() -> None:
    raw = with_job("ctf")
    raw["jobs"]["good"] = {"type": "select", "micrographs": "ctf", "label": "rlnCtfMaxResolution", "maximum": 6.0}
    job = replace(plan_of(raw).jobs["good"], needs={"": ("again.star",)})
    [output], [source] = job.files(), job.inputs.values()
    Path(job.path).mkdir(parents=True)
    for newer, kept in ((False, True), (True, False)):
        Path(output).write_text("first")
        os.utime(output, ns=(10**9, 10**9))
        record_cleaned(job.path, [output.removeprefix(f"{job.path}/")], Status.SUCCEEDED)
        os.utime(source.path, ns=(2 * 10**9 if newer else 1,) * 2)
        for file in ("again.star", output):
            Path(file).write_text("made again")
        finish_regenerated_job(Path(job.path))
        assert not read_cleaned(job.path).files
        os.utime(output)  # as Snakemake does
        tidy_results([job])
        assert os.stat(output).st_mtime_ns != 10**9  # nobody said yet that the job is finished
        set_exit(job.path, Status.SUCCEEDED)
        tidy_results([job])
        assert all((os.stat(file).st_mtime_ns == 10**9) == kept for file in ("again.star", output))
        clear_exit(job.path)
        now = os.stat(output).st_mtime_ns
        tidy_results([job])
        assert os.stat(output).st_mtime_ns == now
