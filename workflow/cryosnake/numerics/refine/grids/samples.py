"""Operands of the expectation step: a block of whitened particles, and samples of orientation and shift."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, replace
from typing import Any

import numpy as np

from cryosnake.numerics.backend import Array, namespace, to_numpy


@dataclass(frozen=True)
class Operands:
    """A block of n particles, whitened: √(noise power) divides images and CTFs.

    Attributes
    ----------
    masked, raw : (n, pixels) complex64
        CTF times image, with and without the circular mask.
    ctf2 : (n, pixels) float32
        Squared CTF. The block is processed where these arrays are, in host memory or on a GPU.
    offsets : (n, 2) float64
        Shift already applied to the images, pixels; in host memory.
    offset_sigma : float
        Standard deviation of the Gaussian prior of the whole shift, pixels.
    numbers : (n,) int64, optional
        The particles' own: random draws depend on these, not on the block that the particles are in.
    """

    masked: Array
    raw: Array
    ctf2: Array
    offsets: np.ndarray
    _: KW_ONLY
    offset_sigma: float
    numbers: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.masked)

    def part(self, rows: np.ndarray) -> Operands:
        """Return some of the particles, (m,) int64 in ascending order; views where they are consecutive."""
        run = len(rows) > 0 and rows[-1] - rows[0] == len(rows) - 1
        here: Any = slice(int(rows[0]), int(rows[-1]) + 1) if run else rows
        there: Any = here if run else namespace(self.masked).asarray(rows)
        return Operands(self.masked[there], self.raw[there], self.ctf2[there], self.offsets[here],
                        offset_sigma=self.offset_sigma, numbers=None if self.numbers is None else self.numbers[here])

    def cut(self, pixels: int) -> Operands:
        """Return only the lowest frequencies."""
        return replace(self, masked=self.masked[:, :pixels], raw=self.raw[:, :pixels], ctf2=self.ctf2[:, :pixels])

    def shift_prior(self, shifts: np.ndarray) -> Array:
        """Return the log prior (n, s) float32 of shifts (s, 2) on top of the offsets."""
        whole = self.offsets[:, None, :] + shifts
        prior = (-0.5 * (whole**2).sum(-1) / self.offset_sigma**2).astype(np.float32)
        return namespace(self.masked).asarray(prior)


@dataclass(frozen=True)
class Samples:
    """Coarse samples sorted by (orientation, particle, shift); `log_prior` is that of the orientation."""

    orientation: Array
    particle: Array
    shift: Array
    log_prior: Array

    def __len__(self) -> int:
        return len(self.orientation)

    def _changes(self) -> Array:
        return self.orientation[1:] != self.orientation[:-1]

    def runs(self) -> tuple[Array, np.ndarray]:
        """Return the distinct orientations (u,) and, in host memory, where their samples start (u + 1,)."""
        xp = namespace(self.orientation)
        changes = to_numpy(xp.flatnonzero(self._changes())) + 1
        starts = np.concatenate([np.zeros(min(len(self), 1), np.int64), changes, [len(self)]])
        return self.orientation[xp.asarray(starts[:-1])], starts

    def run_of(self) -> Array:
        """Return the run number (n,) of each sample."""
        xp = namespace(self.orientation)
        numbers = xp.zeros(len(self), xp.int64)
        numbers[1:] = xp.cumsum(self._changes())
        return numbers

    def take(self, chosen: Array) -> Samples:
        """Return some samples, in the same order."""
        return Samples(self.orientation[chosen], self.particle[chosen], self.shift[chosen], self.log_prior[chosen])

    def of_particles(self, chosen: np.ndarray, count: int) -> Samples:
        """Return the samples of some of `count` particles, `chosen` in ascending order, which are renumbered."""
        xp = namespace(self.particle)
        number = np.full(count, -1)
        number[chosen] = np.arange(len(chosen))
        particle = xp.asarray(number)[self.particle]
        taken = self.take(xp.flatnonzero(particle >= 0))
        return replace(taken, particle=xp.asarray(number)[taken.particle])


def sorted_samples(orientation: Array, particle: Array, shift: Array, log_prior: Array) -> Samples:
    """Return samples in the order that the kernels need."""
    xp = namespace(orientation)
    # One key to sort by: a block has fewer than 2^16 particles, a grid of shifts fewer than 2^15.
    order = xp.argsort(orientation.astype(xp.int64) << 31 | particle << 15 | shift)
    return Samples(orientation[order], particle[order].astype(xp.int64), shift[order].astype(xp.int64),
                   log_prior[order].astype(xp.float32))


def split(values: Array) -> tuple[Array, Array]:
    """Return real and imaginary parts, each contiguous."""
    xp = namespace(values)
    return xp.ascontiguousarray(values.real), xp.ascontiguousarray(values.imag)


def blocks_of(counts: np.ndarray, limit: float) -> list[slice]:
    """Return runs of particles whose numbers of samples (n,) add up to at most `limit` (one particle at least)."""
    runs, begin, total = [], 0, 0
    for i, count in enumerate(counts):
        if total + count > limit and i > begin:
            runs.append(slice(begin, i))
            begin, total = i, 0
        total += int(count)
    return [*runs, slice(begin, len(counts))]
