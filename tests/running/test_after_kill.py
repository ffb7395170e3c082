"""What a killed program or a killed Snakemake leaves behind: temporary files, marks, results that are complete."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import time
from base64 import urlsafe_b64encode
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cryosnake.atomic import replacing
from cryosnake.jobs.model import MAP, JobType, Output, Slot
from cryosnake.jobs.registry import job_types
from cryosnake.pipeline.markers import exit_of, set_exit
from cryosnake.pipeline.model import Status
from cryosnake.project.config.config import parse_config
from cryosnake.project.locks.work_locks import at_work, lock_file
from cryosnake.project.planning.plan import make_plan
from cryosnake.project.planning.planned import Plan
from cryosnake.project.run.snakemake_marks import clear_stale_marks, mark_unfinished
from cryosnake.project.snakemake_internals import MARKS
from cryosnake.running.run import run_job
from cryosnake.running.temporaries import remove_temporaries

OUT = Path("MaskCreate/job002")
JOB = JobType(name="fake", folder="MaskCreate", relion3=12, label="relion.maskcreate", title="Fake",
              description="A test.", inputs=(Slot("map", (MAP,), "Map."),),
              outputs=(Output("mask", "mask.mrc", MAP), Output("other", "other.mrc", MAP)), parameters=(),
              program="fake")


class Program(SimpleNamespace):
    """Makes the outputs, and counts how often."""

    def __init__(self) -> None:
        super().__init__(calls=0)

    def run(self, options: Any, inputs: Any, out: Path, progress: Any) -> None:
        self.calls += 1
        for name in ("mask.mrc", "other.mrc"):
            (out / name).write_text("map")


@pytest.fixture
def program(tmp_path, monkeypatch) -> Program:
    monkeypatch.chdir(tmp_path)
    found = Program()
    monkeypatch.setattr("cryosnake.running.run.import_module", lambda _: found)
    Path("map.mrc").write_text("map")
    return found


def run() -> int:
    return run_job(JOB, ["--out", str(OUT), "--map", "map.mrc"])


def work(seconds: float, finish: bool) -> None:
    """Be the program that a killed Snakemake left: hold the job's lock, make the outputs, say that it is finished."""
    with open(lock_file(OUT, ""), "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        Path("ready").touch()
        time.sleep(seconds)
        for name in ("mask.mrc", "other.mrc"):
            (OUT / name).write_text("map")
        if finish:
            set_exit(OUT, Status.SUCCEEDED)


def left_at_work(finish: bool) -> multiprocessing.Process:
    OUT.mkdir(parents=True, exist_ok=True)
    seconds = 2.0  # long enough on a busy machine
    orphan = multiprocessing.get_context("fork").Process(target=work, args=(seconds, finish))
    orphan.start()
    while not Path("ready").exists():
        time.sleep(0.01)
    Path("ready").unlink()
    return orphan


def test_what_a_program_that_was_waited_for_has_finished_is_not_computed_again(program) -> None:
    orphan = left_at_work(finish=True)
    assert run() == 0
    orphan.join()
    assert program.calls == 0
    assert exit_of(OUT) == Status.SUCCEEDED
    assert (OUT / "RELION_OUTPUT_NODES.star").exists()
    assert run() == 0
    assert program.calls == 1, "who starts a job by hand gets it computed"


def test_what_it_has_not_finished_is_computed(program) -> None:
    orphan = left_at_work(finish=False)
    assert run() == 0
    orphan.join()
    assert program.calls == 1


def test_what_it_finished_from_an_older_input_is_computed(program) -> None:
    orphan = left_at_work(finish=True)
    os.utime("map.mrc", (time.time() + 60,) * 2)
    assert run() == 0
    orphan.join()
    assert program.calls == 1


def test_who_works_is_known_while_another_waits(program) -> None:
    OUT.mkdir(parents=True)
    lock_file(OUT, "").write_text("elsewhere 4711 1\n")
    orphan = left_at_work(finish=True)
    waiting = multiprocessing.get_context("fork").Process(target=run)
    waiting.start()
    time.sleep(0.2)
    assert at_work(OUT) == ["process 4711 on elsewhere"]
    waiting.join()
    orphan.join()


def test_temporary_files_of_the_dead_go_and_those_of_the_living_stay(program) -> None:
    job = Path("Extract/job005")
    (job / "Movies").mkdir(parents=True)
    (job / "batches").mkdir()
    for name in ("Movies/.a.mrcs.0f0f.tmp", ".particles.star.tmp"):
        (job / name).write_text("half")
    (job / "Movies/a.mrcs").write_text("whole")
    time.sleep(0.02)
    with open(lock_file(job, "0001"), "a") as lock, open(lock_file(job, ""), "a") as own:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write("host 1 1\n")
        lock.flush()
        time.sleep(0.02)
        with replacing(job / "Movies/b.mrcs") as at_work_now:
            time.sleep(0.02)
            fcntl.flock(own, fcntl.LOCK_EX)
            own.write("host 2 2\n")
            own.flush()
            remove_temporaries(job)
            assert at_work_now.exists()
            at_work_now.write_text("whole")
    left = {path.name for path in job.rglob("*") if path.is_file()}
    assert left == {"0001.lock", ".cryosnake.lock", "a.mrcs", "b.mrcs"}


def test_half_a_picture_goes_when_it_is_drawn_again(program) -> None:
    job = Path("Class2D/job006")
    job.mkdir(parents=True)
    for name in (".class_averages.png.0f0f.tmp", ".run_it003_data.star.0f0f.tmp"):
        (job / name).touch()
    words = ["--draw", "--out", str(job), "--particles", "p.star", "--particle_diameter", "90"]
    assert run_job(job_types()["class2d"], words) == 0
    assert {path.name for path in job.iterdir()} == {"class_averages.png", ".run_it003_data.star.0f0f.tmp"}


def test_how_a_job_ended_survives_a_power_cut(tmp_path, monkeypatch) -> None:
    flushed: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda file: flushed.append(os.fstat(file).st_ino))
    set_exit(tmp_path, Status.SUCCEEDED)
    assert flushed == [(tmp_path / "RELION_JOB_EXIT_SUCCESS").stat().st_ino]


@pytest.fixture
def plan(tmp_path, monkeypatch) -> Plan:
    monkeypatch.chdir(tmp_path)
    Path("map.mrc").touch()
    return make_plan(parse_config({"jobs": {
        "mask": {"type": "maskcreate", "map": "map.mrc"},
        "shape": {"type": "maskcreate", "map": "map.mrc", "low_pass": 30}}}))


def mark(path: str) -> Path:
    """Mark a file as Snakemake does: its name in base64, a long one in parts."""
    name = urlsafe_b64encode(path.encode()).decode()
    parts = [f"@{name[:10]}", name[10:]] if len(name) > 40 else [name]
    file = MARKS.joinpath(*parts)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("{}")
    return file


def test_marks_of_finished_jobs_are_taken_away(plan) -> None:
    outputs = {name: job.file(job.outputs()[0]) for name, job in plan.jobs.items()}
    marks = {name: mark(path) for name, path in outputs.items()}
    other = mark("somewhere/else/with/a/long/name/that/needs/two/parts.star")
    for name, job in plan.jobs.items():
        Path(job.path).mkdir(parents=True)
        Path(outputs[name]).touch()
    set_exit(plan.jobs["mask"].path, Status.SUCCEEDED)
    assert clear_stale_marks(plan) == [outputs["mask"]]
    assert not marks["mask"].exists()
    assert marks["shape"].exists(), "its program has not said that it is finished"
    assert other.exists()
    assert clear_stale_marks(plan) == []
    Path(outputs["shape"]).unlink()
    assert clear_stale_marks(plan) == [] and not marks["shape"].exists(), "a power cut has taken the file"


def test_the_mark_of_a_batch_that_is_made_under_its_next_name_is_taken_away(plan) -> None:
    """A power cut left its table empty, and Snakemake's mark of it."""
    job = replace(plan.jobs["mask"], batches={1: "0001.r2", 2: "0002"})
    marks = [mark(f"{job.path}/batches/{name}.star") for name in ("0001", "0001.r2", "0002")]
    Path(job.path, "batches").mkdir(parents=True)
    for name in ("0001", "0001.r2"):
        Path(job.path, f"batches/{name}.star").touch()
    assert clear_stale_marks(Plan({"mask": job})) == [f"{job.path}/batches/0001.r2.star"]
    assert not any(path.exists() for path in marks)


def test_results_of_a_program_that_was_killed_before_its_end_are_marked(plan) -> None:
    """Snakemake did not see it either, and would take the job for complete."""
    job = plan.jobs["mask"]
    plan = Plan({"mask": replace(job, new=False)})
    result, directory = job.file(job.outputs()[0]), Path(job.path)
    directory.mkdir(parents=True)
    assert mark_unfinished(plan) == []
    Path(result).touch()
    assert mark_unfinished(plan) == [], "no program of ours has worked here"
    lock_file(directory, "").touch()
    assert mark_unfinished(plan) == [result]
    assert [path.name for path in MARKS.iterdir()] == [urlsafe_b64encode(result.encode()).decode()]
    set_exit(directory, Status.SUCCEEDED)
    assert clear_stale_marks(plan) == [result]
    assert mark_unfinished(plan) == []
    (directory / "run_times.tsv").touch()
    set_exit(directory, Status.FAILED)  # by hand: `cryosnake mark`
    assert mark_unfinished(plan) == []
