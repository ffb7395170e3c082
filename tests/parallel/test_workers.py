"""Blocks shared among threads: each item once, the same worker every time, failures and aborts reach the caller."""

from __future__ import annotations

import threading

import pytest

from cryosnake.parallel.threads import thread_limit
from cryosnake.parallel.workers import share_out, workers_available


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_items_go_to_their_workers_and_progress_is_told(workers: int) -> None:
    seen: list[list[int]] = [[] for _ in range(workers)]
    told: list[int] = []

    def work(worker: int, item: int, tell) -> None:  # type: ignore[no-untyped-def]
        seen[worker].append(item)
        tell(10)

    share_out(work, range(17), workers, told.append)
    assert seen == [list(range(number, 17, workers)) for number in range(workers)]
    assert told == sorted(told) and told[-1] == 170


def test_a_failure_reaches_the_caller_and_stops_the_others() -> None:
    done: list[int] = []

    def work(worker: int, item: int, tell) -> None:  # type: ignore[no-untyped-def]
        if item == 3:
            raise ValueError("item 3")
        done.append(item)
        tell(1)

    with pytest.raises(ValueError, match="item 3"):
        share_out(work, range(1000), 2, lambda count: None)
    assert len(done) < 20


def test_the_report_may_stop_workers_in_the_middle_of_an_item() -> None:
    stopped = threading.Event()

    def work(worker: int, item: int, tell) -> None:  # type: ignore[no-untyped-def]
        try:
            for _ in range(10_000):
                stopped.wait(0.001)
                tell(1)
        finally:
            stopped.set()

    def report(count: int) -> None:
        if count:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        share_out(work, range(2), 2, report)
    assert stopped.is_set()


def test_workers_follow_the_limit_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    import numba

    with thread_limit(1):
        assert workers_available() == 1
    with thread_limit(2):
        expected = workers_available()
    monkeypatch.setattr(numba.config, "THREADING_LAYER", "workqueue")
    with thread_limit(2):
        assert workers_available() == 1 <= expected
