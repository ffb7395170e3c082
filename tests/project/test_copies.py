"""A copied project is the same project: files with other times and the same contents make nothing again."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import numpy as np
import pytest
from small_history import particles
from test_plan import RAW, add_movies, finish_all, plan_of

from cryosnake.errors import CryosnakeError
from cryosnake.io.mrc import write_mrc
from cryosnake.project.building.stale_outputs import pending_files
from cryosnake.project.planning.planned import Plan
from cryosnake.project.records.batches import done_file, read_done
from cryosnake.project.records.file_stamps import is_same_file, signed_stamp, stamp, unsigned
from cryosnake.project.records.freshness import is_stale, newest
from cryosnake.project.records.known_files import TABLE, as_found, note_files, read_known, time_of
from cryosnake.project.run.commit import commit
from cryosnake.project.run.copied_files import (
    changed_movies,
    future_times,
    record_files,
    renew_movies,
    restore_times,
    say_copied,
    say_future,
    set_future_times,
    times_of_record,
)

RAW_COPIED = {**RAW, "pictures": False, "jobs": {**RAW["jobs"], "classes": {
    "type": "class2d", "particles": "particles.star", "classes": 2, "iterations": 2, "particle_diameter": 100}}}
HOUR = 3600 * 10**9


@pytest.fixture
def plan(tmp_path, monkeypatch) -> Plan:
    """A finished project whose files a run has recorded."""
    monkeypatch.chdir(tmp_path)
    add_movies(1, 2, 3)
    Path("particles.star").write_text(particles(30))
    plan = plan_of(RAW_COPIED)
    commit(plan)
    finish_all(plan)
    record_files(plan)
    return plan_of(RAW_COPIED)


def files() -> list[Path]:
    return [path for path in Path().rglob("*") if path.is_file() and not path.is_symlink()]


def set_times(way: str) -> None:
    chance = random.Random(way)
    for path in files():
        found = path.stat().st_mtime_ns
        moment = {"whole seconds": found // 10**9 * 10**9, "even seconds": found // (2 * 10**9) * 2 * 10**9,
                  "now": time.time_ns() + chance.randrange(10**6), "two hours ahead": found + 2 * HOUR,
                  "random": chance.randrange(2 * 10**18), "a part": found if chance.random() < 0.5 else 10**18}[way]
        os.utime(path, ns=(moment, moment))


WAYS = ("whole seconds", "even seconds", "now", "two hours ahead", "random", "a part")


@pytest.mark.parametrize("way", WAYS)
def test_nothing_is_made_again_and_planning_writes_nothing(plan, way, capsys) -> None:
    before = {path: path.read_bytes() for path in files()}
    recorded = {str(path): path.stat().st_mtime_ns for path in files()}
    set_times(way)
    now = {path: path.stat().st_mtime_ns for path in files()}
    again = plan_of(RAW_COPIED)
    assert not pending_files(again) and [job.path for job in again.jobs.values()] == [
        job.path for job in plan.jobs.values()]
    times = times_of_record(again)
    assert {path: path.stat().st_mtime_ns for path in files()} == now
    assert {path: path.read_bytes() for path in files()} == before
    say_copied(times, changed_movies(again))
    assert "have other times than recorded and the same contents" in capsys.readouterr().err
    assert set(restore_times(again, times)) <= {"particles.star"}, "what is not ours keeps its time"
    renew_movies(changed_movies(again))
    record_files(again)
    restored = {path for path in times if path != "particles.star"}
    renewed = {path for path in restored if path.startswith("Import/") and path.endswith(".done")}  # 1 ns earlier
    assert all(os.stat(path).st_mtime_ns == recorded[path] - (path in renewed) for path in restored)
    assert not pending_files(plan_of(RAW_COPIED))
    times = {path: moment for path, moment in times_of_record(again).items() if path != "particles.star"}
    say_copied(times, changed_movies(again))
    assert not capsys.readouterr().err, "the next run finds nothing any more"


@pytest.mark.parametrize("way", WAYS)
def test_what_has_changed_is_made_again(plan, way) -> None:
    set_times(way)
    write_mrc(Path("Movies/m03.mrcs"), np.ones((2, 8, 8), np.float32), 1.0, stack=True)  # of the same size
    again = plan_of(RAW_COPIED)
    assert again.jobs["movies"].batches == {1: "0001", 2: "0002.r2"}
    restore_times(again, times_of_record(again))
    renew_movies(changed_movies(again))
    assert plan_of(RAW_COPIED).jobs["movies"].batches == {1: "0001", 2: "0002.r2"}
    Path("particles.star").write_text(particles(30).replace("1", "2"))
    assert plan_of(RAW_COPIED).jobs["classes"].supersedes == plan.jobs["classes"].path


def test_a_project_of_an_earlier_version_has_no_signatures_and_sizes_count(plan, capsys) -> None:
    for number in (1, 2):
        path = Path(done_file("Import/job001", number))
        made = path.stat().st_mtime_ns
        items = read_done("Import/job001", number).values()
        path.write_text("".join(item.line().replace(item.stamp, unsigned(item.stamp)) for item in items))
        os.utime(path, ns=(made, made))
    record_files(plan)
    set_times("now")
    again = plan_of(RAW_COPIED)
    assert not pending_files(again)
    say_copied({}, changed_movies(again))
    assert "3 movies were recorded by an earlier version, without signatures" in capsys.readouterr().err
    renew_movies(changed_movies(again))
    assert all(item.stamp == signed_stamp(name) for name, item in read_done("Import/job001", 1).items())


def test_times_in_the_future_are_named_and_set_in_their_order(plan, capsys) -> None:
    now = time.time_ns()
    for path in files():
        if "job001" in str(path):  # made while the clock was ahead
            os.utime(path, ns=(path.stat().st_mtime_ns + 24 * HOUR,) * 2)
    for job in plan.jobs.values():
        Path(job.path, TABLE).unlink()
    order = list(future_times(plan, now))
    say_future(future_times(plan, now), now)
    assert "(and 4 more) is dated 24 h later than now" in capsys.readouterr().err
    set_future_times(plan, now)
    assert not future_times(plan, now) and sorted(order, key=lambda path: os.stat(path).st_mtime_ns) == order


def test_a_new_job_is_not_made_from_a_file_of_the_future(plan) -> None:
    now = time.time_ns()
    os.utime("particles.star", ns=(now + HOUR, now + HOUR))
    set_future_times(plan, now)  # its job is finished
    os.unlink(plan.jobs["classes"].files()[0])
    with pytest.raises(CryosnakeError, match=r"dated 1 h later than now.*`touch particles.star`"):
        set_future_times(plan, now)


def test_a_stamp_tells_contents_from_times(tmp_path) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"12345")
    signed, plain = signed_stamp(str(file)), stamp(str(file))
    os.utime(file, ns=(7, 7))
    assert is_same_file(signed, str(file)) and is_same_file(plain, str(file))
    file.write_bytes(b"54321")
    assert not is_same_file(signed, str(file)) and is_same_file(plain, str(file))
    file.write_bytes(b"123456")
    assert not is_same_file(signed, str(file)) and not is_same_file(plain, str(file))
    assert not is_same_file(signed, "none") and is_same_file("", "none") and not is_same_file("", str(file))


def test_a_job_knows_the_times_of_its_inputs_and_of_its_own_files(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("Class2D/job007").mkdir(parents=True)
    result, source = "Class2D/job007/run_it001_optimiser.star", "source.star"
    for number, path in enumerate((source, result)):
        Path(path).write_text(path)
        os.utime(path, ns=(number, number))
        note_files("Class2D/job007", {path: as_found(path)})
    os.utime(source, ns=(9, 9))
    assert (time_of(result), time_of(source), time_of(source, "Class2D/job007")) == (1, 9, 0)
    assert not is_stale(result, [source]) and newest([source], "Class2D/job007") == 0
    Path(source).write_text(source[::-1])
    os.utime(source, ns=(10, 10))
    assert is_stale(result, [source])
    with open(f"Class2D/job007/{TABLE}", "a") as table:
        table.write("torn\t1\nline")
    assert set(read_known("Class2D/job007")) == {source, result}
