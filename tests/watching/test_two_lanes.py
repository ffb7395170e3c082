"""Which jobs flow with the micrographs, which tables are held meanwhile, and how the two calls follow each other."""

from __future__ import annotations

import fcntl
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from small_session import CONFIG, Ended, Snakemake, arrive, configure, options, status, with_classes

from cryosnake.processes import process as process_of
from cryosnake.project.config.config import parse_config
from cryosnake.project.planning.plan import make_plan
from cryosnake.project.planning.planned import Plan
from cryosnake.project.records.batches import batch_star
from cryosnake.watching import announce, rounds, session
from cryosnake.watching.calls import Call
from cryosnake.watching.lanes import (
    MICROGRAPHS,
    PARTICLES,
    Task,
    can_run_beside,
    flowing_jobs,
    micrographs_task,
    particles_task,
    surviving_task,
)
from cryosnake.watching.session import run_session

TABLE = "Extract/job004/particles.star"
FLOWING = ["movies", "motion", "picks", "cut"]


@pytest.fixture
def made(project, snakemake, monkeypatch) -> dict[str, Any]:
    """A project of which everything is made from three movies."""
    raw = with_classes()
    arrive("a", "b", "c")
    snakemake._make(raw)
    return raw


def plan_of(raw: dict[str, Any], **more: Any) -> Plan:
    return make_plan(parse_config({**raw, **more}))


def grow_table() -> None:
    """Add a row to the table, after all files that were made from it."""
    with open(TABLE, "a") as table:
        table.write("1\n")
    time = max(os.stat(file).st_mtime_ns for file in Path().glob("*/*/*")) + 1_000_000_000
    os.utime(TABLE, ns=(time, time))


def test_what_is_picked_with_class_averages_flows_once_these_rest(made, snakemake) -> None:
    assert flowing_jobs(plan_of(made)) == [*FLOWING, "again", "finer"]
    assert particles_task(plan_of(made)).pending == ()
    grow_table()
    assert flowing_jobs(plan_of(made)) == FLOWING
    assert flowing_jobs(plan_of(made, grow=2)) == [*FLOWING, "again", "finer"]  # the classes rest until they have grown


def test_what_another_call_works_on_does_not_flow_though_its_files_are_there(made) -> None:
    assert flowing_jobs(plan_of(made), busy=["classes", "again", "finer"]) == FLOWING


def test_long_jobs_begin_with_the_tables_that_there_are(project, snakemake) -> None:
    raw = with_classes()
    arrive("a", "b", "c")
    task = particles_task(plan_of(raw))
    assert (task.jobs, task.pending) == (("classes", "again", "finer"), ())  # there is no table yet
    snakemake._make({**raw, "only": ",".join(FLOWING)})
    task = particles_task(plan_of(raw))
    assert task.hold == (TABLE,)
    assert "Class2D/job005/run_it025_data.star" in task.pending
    assert not any(path.startswith(("MotionCorr/", "Extract/job004/")) for path in task.pending)


def test_tables_in_use_are_not_joined_while_their_batches_are_made(project, snakemake) -> None:
    raw = with_classes()
    arrive("a", "b", "c")
    snakemake._make({**raw, "only": ",".join(FLOWING)})
    before = Path(TABLE).stat().st_mtime_ns
    long = particles_task(plan_of(raw))
    arrive("d", "e", "f")
    task = micrographs_task(plan_of(raw), long)
    assert task.beside
    assert batch_star("Extract/job004", "0002") in task.pending
    assert TABLE not in task.pending
    snakemake._make({**raw, "only": ",".join(task.jobs), "hold": ",".join(task.hold)})
    assert Path(batch_star("Extract/job004", "0002")).exists()
    assert Path(TABLE).stat().st_mtime_ns == before
    assert micrographs_task(plan_of(raw), long).pending == ()
    assert TABLE in micrographs_task(plan_of(raw), None).pending


def test_tables_are_held_for_a_program_that_outlived_its_snakemake(made) -> None:
    assert surviving_task(plan_of(made)) is None
    grow_table()
    with open("Class2D/job005/.cryosnake.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        task = surviving_task(plan_of(made))
        assert task is not None
        assert task.hold == (TABLE,)
    assert surviving_task(plan_of(made)) is None


def test_a_replaced_movie_waits_while_particles_are_read(made) -> None:
    with open("Movies/b.mrcs", "ab") as movie:
        movie.write(b"another")
    os.utime("Movies/b.mrcs", ns=(1, 1))
    assert plan_of(made).jobs["movies"].batches == {1: "0001.r2"}
    assert plan_of(made, hold=TABLE).jobs["movies"].batches == {1: "0001"}


def test_a_part_forms_no_batches_of_an_import_that_is_not_its_own(made) -> None:
    arrive("d", "e", "f")
    assert sorted(plan_of(made).jobs["movies"].movies) == [1, 2]
    part = plan_of(made, only="classes,again,finer")
    assert part.jobs["movies"].movies == {}
    assert part.jobs["again"].batches == {1: "0001"}  # the second is not there yet


def test_long_jobs_begin_beside_a_call_only_if_it_leaves_their_tables_alone() -> None:
    long = Task(PARTICLES, ("classes",), (TABLE,))
    assert not can_run_beside(long, Task(MICROGRAPHS, ("cut",), (TABLE,)))
    assert can_run_beside(long, Task(MICROGRAPHS, ("cut",), (TABLE,), beside=True))
    assert not can_run_beside(long, Task(MICROGRAPHS, ("cut",), (), beside=True))
    assert not can_run_beside(long, Task(MICROGRAPHS, ("classes",), (TABLE,), beside=True))


class LongSnakemake(Snakemake):
    """The call of the long jobs takes until four rounds of micrographs are done, and makes its files then."""

    def __init__(self) -> None:
        super().__init__()
        self.long: Ended | None = None
        self.at_work: list[tuple[bool, list[str]]] = []

    def __call__(self, words: Sequence[str], task: Task) -> Call:
        self.at_work.append((self.long is not None, list(words)))
        if task.lane != PARTICLES or self.long:
            return super().__call__(words, task)
        self.long, making = Ended(None), self._make

        def make_later(raw: dict[str, Any]) -> None:
            self.later = lambda: making(raw)

        self._make = make_later  # type: ignore[method-assign]
        super().__call__(words, task)
        self._make = making  # type: ignore[method-assign]
        return Call(task, process_of(0), self.long)  # type: ignore[arg-type]

    def end(self) -> None:
        self.later()
        assert self.long
        self.long.code = 0


def test_micrographs_flow_while_a_long_job_runs(project, monkeypatch) -> None:
    snakemake = LongSnakemake()
    monkeypatch.setattr(rounds, "begin", snakemake)
    monkeypatch.setattr(rounds, "has_begun", lambda call: True)
    monkeypatch.setattr("cryosnake.project.records.freshness.product_files", lambda *_: [])
    jobs = {name: job for name, job in with_classes()["jobs"].items() if name not in ("again", "finer")}
    configure({**CONFIG, "jobs": jobs})
    seen: list[dict[str, Any]] = []

    def between(number: int) -> None:
        if snakemake.calls[-1].get("lane") == "micrographs" and number < 6:
            arrive(*(f"{letter}{number}" for letter in "abc"))
        elif snakemake.long and snakemake.long.code is None and number >= 6:
            seen.append(status())
            snakemake.end()

    arrive("a", "b", "c")
    snakemake.between = between
    assert run_session(options(words=["--cores", "8"])) == 0
    lanes = [call.get("lane") for call in snakemake.calls]
    assert lanes[:2] == ["micrographs", "particles"]
    assert lanes[2:6] == ["micrographs"] * 4
    cores = [words[len(words) - 1 - words[::-1].index("--cores") + 1] for _, words in snakemake.at_work]
    assert cores[:3] == ["8", "6", "2"]
    assert set(cores[6:]) == {"8", "6"}  # micrographs alone, and the long jobs once more
    holds = [call.get("hold") for call in snakemake.calls]
    assert holds[0] is None
    assert set(holds[2:6]) == {f"{TABLE},"}
    assert seen[0]["state"] == "running"
    assert "particles, round 1" in seen[0]["reason"]
    first, last = Path("Class2D/job005/run_it025_data.star"), Path("Class2D/job006/run_it025_data.star")
    assert first.stat().st_mtime_ns < Path(TABLE).stat().st_mtime_ns < last.stat().st_mtime_ns
    assert len(Path(TABLE).read_text().splitlines()) == 1 + len(list(Path("Movies").iterdir()))


def test_with_no_cores_for_micrographs_there_is_one_call_at_a_time(project, snakemake) -> None:
    configure(with_classes())
    arrive("a", "b", "c")
    assert run_session(options(micrograph_cores=0)) == 0
    assert [call.get("lane") for call in snakemake.calls] == [None]


class Lanes(Snakemake):
    """Ends each call as `codes` says for its lane; None lets it go on until somebody ends it."""

    def __init__(self, codes: dict[str, int | None]) -> None:
        super().__init__()
        self.codes, self.processes = codes, {}

    def __call__(self, words: Sequence[str], task: Task) -> Call:
        self.code = self.codes.get(task.lane, 0) or 0
        call = super().__call__(words, task)
        self.processes[task.lane] = process = Ended(self.codes.get(task.lane, 0))
        return Call(task, call.owner, process)  # type: ignore[arg-type]


@pytest.fixture
def lanes(project, monkeypatch) -> Callable[[dict[str, int | None]], Lanes]:
    def make(codes: dict[str, int | None]) -> Lanes:
        stand_in = Lanes(codes)
        monkeypatch.setattr(rounds, "begin", stand_in)
        monkeypatch.setattr(rounds, "has_begun", lambda call: True)
        monkeypatch.setattr("cryosnake.project.records.freshness.product_files", lambda *_: [])
        configure(with_classes())
        arrive("a", "b", "c")
        return stand_in

    return make


def test_a_long_job_that_fails_holds_up_nothing_and_is_not_repeated_for_each_batch(lanes) -> None:
    snakemake = lanes({PARTICLES: 1, "": 1})

    def between(number: int) -> None:
        if snakemake.calls[-1].get("lane") == MICROGRAPHS and number < 6:
            arrive(*(f"{letter}{number}" for letter in "abc"))

    snakemake.between = between
    assert run_session(options()) == 1
    called = [call.get("lane") for call in snakemake.calls]
    assert called.count(PARTICLES) == 1
    assert called.count(MICROGRAPHS) >= 5
    assert called[-1] is None  # the last round tries once more


def test_a_request_to_stop_reaches_both_lanes(lanes, monkeypatch) -> None:
    snakemake = lanes({PARTICLES: None})
    told: list[tuple[str, int]] = []

    def tell(call: Call, times: int) -> None:
        told.append((call.task.lane, times))
        if times == 2:
            snakemake.processes[call.task.lane].code = -2

    def between(number: int) -> None:
        if snakemake.calls[-1].get("lane") == PARTICLES:
            snakemake.codes[MICROGRAPHS] = None
            arrive("d", "e", "f")
        if snakemake.codes.get(MICROGRAPHS, 0) is None and snakemake.calls[-1].get("lane") == MICROGRAPHS:
            os.kill(os.getpid(), signal.SIGTERM)

    def look(status: dict[str, Any]) -> None:
        if told and status["state"] == "stopping" and told[-1][1] == 1:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(session, "pass_on", tell)
    monkeypatch.setattr(announce, "write_status", look)
    snakemake.between = between
    assert run_session(options()) == 0
    assert {(MICROGRAPHS, 1), (PARTICLES, 1), (MICROGRAPHS, 2), (PARTICLES, 2)} <= set(told)
    assert [call.get("lane") for call in snakemake.calls] == [MICROGRAPHS, PARTICLES, MICROGRAPHS]
