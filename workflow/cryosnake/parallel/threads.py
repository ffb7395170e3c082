"""One thread limit for BLAS, numba and FFT: oversubscribed BLAS is ten times slower."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def thread_limit(threads: int) -> Iterator[None]:
    """Limit BLAS, numba and scipy.fft to this many threads inside the `with` block.

    Import modules that compute before: numba is not imported here, because jobs that do not use it would wait for it.
    If it is imported inside the block, the limit holds for the lifetime of the process.
    """
    import scipy.fft
    from threadpoolctl import threadpool_limits

    threads = max(1, min(threads, os.cpu_count() or 1))
    with _numba_limit(threads), threadpool_limits(threads), scipy.fft.set_workers(threads):
        yield


@contextmanager
def _numba_limit(threads: int) -> Iterator[None]:
    numba = sys.modules.get("numba")
    if numba is None:
        with _environment("NUMBA_NUM_THREADS", str(threads)):
            yield
        return
    before = numba.get_num_threads()
    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
    try:
        yield
    finally:
        numba.set_num_threads(before)


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


@contextmanager
def borrowed_threads(ranks: int) -> Iterator[None]:
    """Give rank 0 the threads of the other ranks of its computer while they wait for it."""
    import numba

    own = numba.get_num_threads()
    if ranks == 1:
        yield
        return
    with thread_limit(min(own * ranks, len(os.sched_getaffinity(0)))):
        yield
