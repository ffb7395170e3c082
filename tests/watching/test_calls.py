"""How the watcher's Snakemakes are run, told to stop, and found again by the next watcher."""

from __future__ import annotations

import time

import pytest

from cryosnake.processes import this_process
from cryosnake.project.locks.snakemake_lock import claim_lane
from cryosnake.watching import calls
from cryosnake.watching.calls import Call, begin, cut_short, exit_code, has_begun, left_behind, log_of, pass_on
from cryosnake.watching.lanes import ALL, MICROGRAPHS, PARTICLES, Task

LOG, EVERYTHING = log_of(ALL), Task(ALL)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)


def shell(script: str, task: Task = EVERYTHING) -> Call:
    return begin(["/bin/sh", "-c", script], task)


def end_of(call: Call) -> int | None:
    for _ in range(600):
        if exit_code(call) is not None:
            break
        time.sleep(0.05)
    return exit_code(call)


def started(script: str) -> Call:
    """Return a call that has come to its `touch ready`."""
    call = shell(script)
    while not (LOG.parent.parent / "ready").exists():
        time.sleep(0.05)
    return call


def test_its_words_are_logged_and_its_exit_code_returned() -> None:
    assert end_of(shell("echo one")) == 0
    assert end_of(shell("echo two >&2; exit 3")) == 3
    assert LOG.read_text() == "one\ntwo\n"


def test_the_lanes_have_two_logs() -> None:
    end_of(shell("echo one", Task(MICROGRAPHS)))
    end_of(shell("echo two", Task(PARTICLES)))
    assert (LOG.read_text(), log_of(PARTICLES).read_text()) == ("one\n", "two\n")


def test_a_long_log_is_put_aside(monkeypatch) -> None:
    monkeypatch.setattr(calls, "LOG_BYTES", 2)
    end_of(shell("echo one"))
    end_of(shell("echo two"))
    assert (LOG.read_text(), LOG.with_suffix(".log.1").read_text()) == ("two\n", "one\n")


def test_the_first_request_to_stop_lets_it_end_by_itself() -> None:
    call = started("trap 'touch told; exit 5' TERM; touch ready; while :; do sleep 0.1; done")
    pass_on(call, 1)
    assert end_of(call) == 5
    assert (LOG.parent.parent / "told").exists()


def test_the_third_request_kills_it() -> None:
    call = started("trap '' TERM INT; touch ready; while :; do sleep 0.1; done")
    pass_on(call, 2)
    assert exit_code(call) is None
    pass_on(call, 3)
    assert end_of(call) == -9


def test_what_was_cut_short_is_not_told_again_at_the_first_request() -> None:
    call = started("trap 'echo term' TERM; touch ready; while :; do sleep 0.1; done")
    cut_short(call)
    while "term" not in LOG.read_text():
        time.sleep(0.05)
    pass_on(call, 1)
    pass_on(call, 3)
    end_of(call)
    assert LOG.read_text().count("term") == 1


def test_the_next_watcher_finds_each_lane_while_it_lives() -> None:
    task = Task(PARTICLES, ("classes",), ("Extract/job005/particles.star",), ("a.star",))
    call = shell("sleep 60", task)
    found = left_behind(PARTICLES)
    assert found is not None
    assert (found.task.jobs, found.task.hold) == (task.jobs, task.hold)
    assert found.owner == call.owner
    assert exit_code(found) is None
    assert left_behind(MICROGRAPHS) is None
    pass_on(call, 3)
    assert end_of(call) in (-15, -9)
    assert exit_code(found) == 0  # nobody knows
    assert left_behind(PARTICLES) is None


def test_a_lane_has_begun_when_its_plan_is_real() -> None:
    call = Call(Task(PARTICLES), this_process())
    assert not has_begun(call)
    claim_lane(PARTICLES)
    assert not has_begun(call)
    claim_lane(PARTICLES, begun=True)
    assert has_begun(call)
    assert not has_begun(Call(Task(MICROGRAPHS), this_process()))
