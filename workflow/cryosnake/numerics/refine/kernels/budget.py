"""Memory for the parts of an expectation step: set once per job, like the number of threads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

_DENSE = 4  # part of all for the products over all orientations
_SHARES = {"images": (1 << 30, 4), "slices": (1 << 28, 16), "sums": (1 << 29, 8), "block": (1 << 30, 8)}


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Bytes of a process.

    Attributes
    ----------
    total : int
        In total.
    images : int
        Sets of images up to this size stay in memory.
    slices : int
        Slices of one chunk of orientations.
    sums : int
        Back-projections of all threads; if a volume for each takes more, they share one.
    block : int
        Images and transforms of the particles that are computed together.
    dense : int
        Slices at all orientations and the sums of these, where all are computed at once; of more, a part at a time.
    """

    total: int
    images: int
    slices: int
    sums: int
    block: int
    dense: int

    def divided(self, workers: int) -> Budget:
        """Return the budget of each of N workers; all share the one of the sums."""
        return replace(self, slices=self.slices // workers, block=self.block // workers)


def budget_of(total: int) -> Budget:
    """Return how this many bytes are divided; beyond 8 GiB more memory would make nothing faster.

    >>> budget_of(1 << 40).slices == budget_of(8 << 30).slices == 1 << 28
    True
    """
    shares = {name: min(most, total // part) for name, (most, part) in _SHARES.items()}
    return Budget(total=total, dense=total // _DENSE, **shares)


_current = budget_of(1 << 40)  # of all threads of this process


def budget() -> Budget:
    """Return the budget of this process; without one, that of a computer with plenty of memory."""
    return _current


@contextmanager
def use_budget(chosen: Budget) -> Iterator[None]:
    """Use a budget inside a `with` block."""
    global _current
    before, _current = _current, chosen
    try:
        yield
    finally:
        _current = before


def particles_of(block: int, box: int, most: int) -> int:
    """Return how many particles of this many pixels fit in a block of bytes, at most `most` and at least one."""
    return max(1, min(most, block // bytes_of_particle(box)))


def bytes_of_particle(box: int) -> int:
    """Return the bytes of an image during preparation and scoring.

    Its pixels three times (read, moved, masked) in float32, its half transform twice, and the operands: two images
    complex64 and a squared CTF at π/8 box² Fourier pixels, with what they are made from.
    """
    return 3 * 4 * box**2 + 2 * 8 * box * (box // 2 + 1) + 40 * round(0.4 * box**2)
