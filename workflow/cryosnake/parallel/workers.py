"""Blocks of work distributed to threads, each of which computes with one core.

Threads that share every small step wait for each other at its end; threads with blocks of their own do not. The
kernels and BLAS release Python's lock, so the threads really run at the same time.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from importlib import import_module
from typing import TypeVar

Item = TypeVar("Item")
CountDone = Callable[[int], None]  # called with the number of further particles done
_CHECK_EVERY = 0.25  # seconds between checks of the workers' progress, so that an abort takes effect soon


def workers_available() -> int:
    """Return how many workers the thread limit allows; 1 where numba's threads must not be started twice."""
    import numba

    if numba.config.THREADING_LAYER == "workqueue":
        return 1
    try:
        import_module("numba.np.ufunc.omppool")
    except ImportError:  # no OpenMP on this computer; numba then parallelises each kernel's loop instead
        return 1
    return int(numba.get_num_threads())


def share_out(work: Callable[[int, Item, CountDone], None], items: Iterable[Item], workers: int,
              report: Callable[[int], None]) -> None:
    """Let worker i % workers do item i, so that sums are taken in the same order every time.

    Parameters
    ----------
    work : callable
        work(worker, item, count_done) does an item and calls count_done(n) after n more particles, which may raise to
        stop it.
    items : iterable
        Read in this thread, a little ahead of the workers.
    workers : int
        With 1 the work is done in this thread.
    report : callable
        Called in this thread with the number of particles done so far; may raise to stop all workers.
    """
    if workers == 1:
        _alone(work, items, report)
        return
    from threadpoolctl import threadpool_limits

    team = _Team(workers)
    try:
        with threadpool_limits(1):
            running: deque[Future[None]] = deque()
            for number, item in enumerate(items):
                running.append(team.start(work, number % workers, item))
                while len(running) > 2 * workers:
                    _collect_finished(running, team, report)
            while running:
                _collect_finished(running, team, report)
    finally:
        team.dismiss()


def _alone(work: Callable[[int, Item, CountDone], None], items: Iterable[Item], report: Callable[[int], None]) -> None:
    done = 0

    def count_done(count: int) -> None:
        nonlocal done
        done += count
        report(done)

    for item in items:
        work(0, item, count_done)


class _Stopped(Exception):
    """Another worker, or the main thread, gave up."""


class _Team:
    """One thread per worker, and their progress."""

    def __init__(self, workers: int) -> None:
        self._pools = [ThreadPoolExecutor(1, f"worker-{n}", _one_core) for n in range(workers)]
        self._stop = threading.Event()
        self.done = [0] * workers  # each written by its worker alone

    def start(self, work: Callable[[int, Item, CountDone], None], worker: int, item: Item) -> Future[None]:
        """Queue an item for a worker."""

        def count_done(count: int) -> None:
            self.done[worker] += count
            if self._stop.is_set():
                raise _Stopped

        return self._pools[worker].submit(work, worker, item, count_done)

    def dismiss(self) -> None:
        """Let running items reach their next `count_done`, then stop the threads."""
        self._stop.set()
        for pool in self._pools:
            pool.shutdown(wait=True, cancel_futures=True)


def _one_core() -> None:
    import numba

    numba.set_num_threads(1)


def _collect_finished(running: deque[Future[None]], team: _Team, report: Callable[[int], None]) -> None:
    """Wait a little for the workers; report their progress, and raise their errors."""
    finished, _ = wait(running, _CHECK_EVERY, FIRST_COMPLETED)
    for future in finished:
        running.remove(future)
        future.result()
    report(sum(team.done))
