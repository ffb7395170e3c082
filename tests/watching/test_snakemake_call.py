"""How the watcher's child is run, told to stop, and found again by the next watcher."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cryosnake.watching import snakemake_call
from cryosnake.watching.snakemake_call import LOG, StopRequest, call, other_run


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)


def shell(script: str) -> list[str]:
    return ["/bin/sh", "-c", script]


def test_its_words_are_logged_and_its_exit_code_returned() -> None:
    assert call(shell("echo one"), StopRequest(), lambda: None) == 0
    assert call(shell("echo two >&2; exit 3"), StopRequest(), lambda: None) == 3
    assert LOG.read_text() == "one\ntwo\n"


def test_a_long_log_is_put_aside(monkeypatch) -> None:
    monkeypatch.setattr(snakemake_call, "LOG_BYTES", 2)
    call(shell("echo one"), StopRequest(), lambda: None)
    call(shell("echo two"), StopRequest(), lambda: None)
    assert (LOG.read_text(), LOG.with_suffix(".log.1").read_text()) == ("two\n", "one\n")


def test_the_first_request_to_stop_lets_it_end_by_itself() -> None:
    stop = StopRequest()

    def tick() -> None:
        stop.times = int(Path("ready").exists())

    assert call(shell("trap 'touch told; exit 5' TERM; touch ready; while :; do sleep 0.1; done"), stop, tick) == 5
    assert Path("told").exists()


def test_the_third_request_kills_it() -> None:
    stop = StopRequest()

    def tick() -> None:
        stop.times += int(Path("ready").exists())

    code = call(shell("trap '' TERM INT; touch ready; while :; do sleep 0.1; done"), stop, tick)
    assert code == -9
    assert stop.times >= 3


def test_the_next_watcher_finds_it_while_it_lives() -> None:
    seen = []
    call(shell("sleep 0.8"), StopRequest(), lambda: seen.append(other_run()))
    assert seen[0] is not None
    assert seen[0]["pid"] != os.getpid()
    assert other_run() is None
