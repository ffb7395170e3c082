"""One number of threads for BLAS, numba and FFT alike: oversubscribed BLAS is ten times slower."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def thread_limit(threads: int) -> Iterator[None]:
    """Limit BLAS, numba and scipy.fft to so many threads inside the `with` block."""
    threads = max(1, min(threads, os.cpu_count() or 1))
    os.environ.setdefault("NUMBA_NUM_THREADS", str(max(threads, os.cpu_count() or 1)))
    import numba
    import scipy.fft
    from threadpoolctl import threadpool_limits

    before = numba.get_num_threads()
    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
    try:
        with threadpool_limits(threads), scipy.fft.set_workers(threads):
            yield
    finally:
        numba.set_num_threads(before)


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
