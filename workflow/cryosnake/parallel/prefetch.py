"""Reading ahead: while one block of particles is computed, the images of the next are read."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np

from cryosnake.parallel.stacks import Images


class Prefetcher:
    """Images of rows that are requested block by block, in an order that was announced before."""

    def __init__(self, source: Images, pool: ThreadPoolExecutor) -> None:
        self._source, self._pool = source, pool
        self._plan = np.zeros(0, np.int64)
        self._next: tuple[np.ndarray, Future[np.ndarray]] | None = None

    def expect_rows(self, rows: np.ndarray) -> None:
        """Expect these rows to be requested from now on, in this order."""
        self._plan, self._next = rows, None

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """Return images (n, box, box) float32; rows that were not expected are read immediately."""
        if not np.array_equal(rows, self._plan[: len(rows)]):
            return self._source(rows)
        ready = self._next
        self._plan = self._plan[len(rows) :]
        expected = self._plan[: len(rows)]
        images = ready[1].result() if ready and np.array_equal(ready[0], rows) else self._source(rows)
        self._next = (expected, self._pool.submit(self._source, expected)) if len(expected) else None
        return images


@contextmanager
def read_ahead(source: Images) -> Iterator[Prefetcher]:
    """Yield a reader with a thread that stops at the end of the `with` block."""
    pool = ThreadPoolExecutor(1, "read-ahead")
    try:
        yield Prefetcher(source, pool)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
