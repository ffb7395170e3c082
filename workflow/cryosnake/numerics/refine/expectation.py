"""The expectation step on a block of particles: coarse search, fine scores, probabilities, weighted sums.

log p(image | orientation, shift) = 2 Re⟨S c y, P⟩ − ⟨c², |P|²⟩ + constant, for whitened images y and CTFs c (Scheres
2012, J. Mol. Biol. 415, eq. 6). Over all orientations and shifts the first term is one matrix product per block.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba as nb
import numpy as np

from cryosnake.numerics.refine import kernels, selection
from cryosnake.numerics.refine.bands import Band
from cryosnake.numerics.refine.grids import ShiftGrid
from cryosnake.numerics.refine.references import Reference

SIGNIFICANT = 0.999  # fraction of the probability that is carried on (RELION's adaptive fraction)
_SLICE_BYTES = 1 << 28  # slices of one chunk of orientations
_SAMPLES_AT_ONCE = 1 << 20  # fine scores and their twins take 256 bytes for each
_DRAWS = 64  # samples per particle that residual power is taken over
_MANY = 1000  # significant samples of a particle from which on more than SIGNIFICANT is not asked for
_Slices = dict[bytes, tuple[np.ndarray, np.ndarray]]  # by the orientations that they are for
_CC_DEPTH = 2000.0  # makes one bin of the significance histogram a hundred-thousandth of a correlation


@dataclass(frozen=True)
class Operands:
    """A block of n particles, whitened: √(noise power) divides images and CTFs.

    Attributes
    ----------
    masked, raw : (n, pixels) complex64
        CTF times image, with and without the circular mask.
    ctf2 : (n, pixels) float32
        Squared CTF.
    offsets : (n, 2) float64
        What the images were moved by already, pixels.
    offset_sigma : float
        Standard deviation of the Gaussian prior of the whole shift, pixels.
    numbers : (n,) int64, optional
        The particles' own, which what is drawn for them depends on: not on the block that they are in.
    """

    masked: np.ndarray
    raw: np.ndarray
    ctf2: np.ndarray
    offsets: np.ndarray
    offset_sigma: float
    numbers: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.masked)

    def part(self, rows: slice) -> Operands:
        """Return some of the particles."""
        return Operands(self.masked[rows], self.raw[rows], self.ctf2[rows], self.offsets[rows], self.offset_sigma,
                        None if self.numbers is None else self.numbers[rows])

    def cut(self, pixels: int) -> Operands:
        """Return the lowest frequencies alone."""
        return Operands(self.masked[:, :pixels], self.raw[:, :pixels], self.ctf2[:, :pixels], self.offsets,
                        self.offset_sigma, self.numbers)

    def shift_prior(self, shifts: np.ndarray) -> np.ndarray:
        """Return the log prior (n, s) float32 of shifts (s, 2) on top of the offsets."""
        whole = self.offsets[:, None, :] + shifts
        return (-0.5 * (whole**2).sum(-1) / self.offset_sigma**2).astype(np.float32)


@dataclass(frozen=True)
class Samples:
    """Coarse samples sorted by (orientation, particle, shift); `log_prior` is that of the orientation."""

    orientation: np.ndarray
    particle: np.ndarray
    shift: np.ndarray
    log_prior: np.ndarray

    def __len__(self) -> int:
        return len(self.orientation)

    def runs(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the distinct orientations (u,) and where their samples begin (u + 1,)."""
        numbers, starts = np.unique(self.orientation, return_index=True)
        return numbers, np.append(starts, len(self))

    def take(self, chosen: np.ndarray) -> Samples:
        """Return some samples, in the same order."""
        return Samples(self.orientation[chosen], self.particle[chosen], self.shift[chosen], self.log_prior[chosen])


@dataclass
class Outcome:
    """What the expectation step learnt about the particles of a block.

    Attributes
    ----------
    orientation, child : (n,) int64
        Most probable coarse orientation and which of its children.
    shift : (n, 2) float64
        Its shift, on top of the offsets, pixels.
    top_weight : (n,) float64
        Its probability.
    significant : (n,) int64
        Number of fine samples that hold 99.9 % of the probability.
    log_likelihood : (n,) float64
    offset_power : (n,) float64
        Expectation of the squared whole shift, pixels².
    cross, power : (n, shells) float64
        Expectations of Re⟨S c y, P⟩ and c²|P|² over the masked, whitened image.
    direction_mass : (directions or classes,) float64
        Summed probability.
    """

    orientation: np.ndarray
    child: np.ndarray
    shift: np.ndarray
    top_weight: np.ndarray
    significant: np.ndarray
    log_likelihood: np.ndarray
    offset_power: np.ndarray
    cross: np.ndarray
    power: np.ndarray
    direction_mass: np.ndarray


def sorted_samples(orientation: np.ndarray, particle: np.ndarray, shift: np.ndarray, log_prior: np.ndarray) -> Samples:
    """Return samples in the order that the kernels need."""
    order = np.lexsort((shift, particle, orientation))
    return Samples(orientation[order], particle[order].astype(np.int64), shift[order].astype(np.int64),
                   log_prior[order].astype(np.float32))


@dataclass(frozen=True)
class CoarseSlices:
    """Slices of all coarse orientations as operands of a matrix product; made once per iteration."""

    stacked: np.ndarray  # (2 pixels, orientations): real parts above imaginary parts
    power: np.ndarray  # (pixels, orientations)


def coarse_slices(reference: Reference, band: Band) -> CoarseSlices:
    """Return the slices at all coarse orientations within a band."""
    real, imaginary = reference.coarse(np.arange(reference.grid.size), band)
    power = real**2 + imaginary**2
    return CoarseSlices(np.ascontiguousarray(np.concatenate([real, imaginary], 1).T), np.ascontiguousarray(power.T))


def search_everywhere(operands: Operands, slices: CoarseSlices, band: Band, shifts: ShiftGrid, log_prior: np.ndarray,
                      correlation: bool = False, at_once: int = 16, significant: float = SIGNIFICANT) -> Samples:
    """Return the significant coarse samples over all orientations and shifts.

    Parameters
    ----------
    operands : Operands
    slices : CoarseSlices
        At the pixels of `band`, a prefix of those of the operands.
    shifts : ShiftGrid
    log_prior : (orientations,) or (n, orientations) float32
    correlation : bool
        Score by correlation coefficient, which does not depend on the reference's scale, and keep the best alone.
    at_once : int
        Particles per matrix product; the scores should stay in the cache.
    significant : float
        Fraction of the probability that is carried on, where that takes few samples; at least SIGNIFICANT.
    """
    n, pixels, count = len(operands), band.kx.size, len(shifts.coarse)
    phases, prior = band.phases(shifts.coarse), operands.shift_prior(shifts.coarse)
    found: list[tuple[np.ndarray, ...]] = []
    for begin in range(0, n, at_once):
        rows = slice(begin, min(begin + at_once, n))
        moved = 2.0 * operands.masked[rows, None, :pixels] * phases
        left = np.concatenate([moved.real, moved.imag], -1).reshape(-1, 2 * pixels)
        cross = (left @ slices.stacked).reshape(-1, count, slices.power.shape[1])
        norm = operands.ctf2[rows, :pixels] @ slices.power
        fraction, shift_prior = significant, prior[rows]
        if correlation:
            cross *= (_CC_DEPTH / np.sqrt(np.maximum(norm, 1e-20)))[:, None, :] / _image_norms(operands, rows, pixels)
            norm, fraction, shift_prior = np.zeros_like(norm), 1e-9, np.zeros_like(shift_prior)
        else:
            norm -= log_prior if log_prior.ndim == 1 else log_prior[rows]
        found.append(_select(cross, norm, shift_prior, fraction, begin))
    orientation, shift, particle = (np.concatenate(parts) for parts in zip(*found, strict=True))
    chosen = log_prior[orientation] if log_prior.ndim == 1 else log_prior[particle, orientation]
    return sorted_samples(orientation, particle, shift, chosen)


def _image_norms(operands: Operands, rows: slice, pixels: int) -> np.ndarray:
    return np.sqrt((np.abs(operands.masked[rows, :pixels]) ** 2).sum(1))[:, None, None] + np.float32(1e-20)


def _select(cross: np.ndarray, norm: np.ndarray, prior: np.ndarray, fraction: float, begin: int,
            ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    cuts, counts = np.empty(len(cross), np.float32), np.empty(len(cross), np.int64)
    selection.find_cuts(cross, norm, prior, fraction, cuts, counts)
    many = np.flatnonzero(counts > _MANY) if fraction > SIGNIFICANT else counts[:0]
    if len(many):  # with that many, no single one decides
        fewer = np.empty(len(many), np.float32), np.empty(len(many), np.int64)
        selection.find_cuts(cross[many], norm[many], prior[many], SIGNIFICANT, *fewer)
        cuts[many], counts[many] = fewer
    offsets = np.concatenate([[0], np.cumsum(counts)])
    orientation, shift = np.full(offsets[-1], -1), np.zeros(offsets[-1], np.int64)
    selection.gather_samples(cross, norm, prior, cuts, offsets, orientation, shift)
    particle = np.repeat(np.arange(begin, begin + len(cross)), counts)
    real = orientation >= 0
    return orientation[real], shift[real], particle[real]


def search_nearby(operands: Operands, reference: Reference, band: Band, shifts: ShiftGrid, particle: np.ndarray,
                  orientation: np.ndarray, log_prior: np.ndarray, significant: float = SIGNIFICANT) -> Samples:
    """Return the significant coarse samples among given pairs of particle and orientation, at all shifts."""
    count, pixels = len(shifts.coarse), band.kx.size
    pairs = sorted_samples(orientation, particle, np.zeros(len(particle), np.int64), log_prior)
    together = ShiftGrid(shifts.coarse, shifts.coarse, np.arange(count)[None, :])
    values = _scores(operands.cut(pixels), pairs, reference, band, together, kept=None)
    weights = probabilities(values, pairs, len(operands), significant)
    pair, shift = np.nonzero(weights.values[:, 0, :])
    return Samples(pairs.orientation[pair], pairs.particle[pair], shift, pairs.log_prior[pair])


@dataclass(frozen=True)
class _Probabilities:
    values: np.ndarray  # (samples, children, sub) float32
    drawn: np.ndarray  # the same with few samples, see `selection.normalise`
    best: np.ndarray
    top_weight: np.ndarray
    significant: np.ndarray
    log_sum: np.ndarray


def probabilities(values: np.ndarray, samples: Samples, particles: int, fraction: float = SIGNIFICANT,
                  numbers: np.ndarray | None = None) -> _Probabilities:
    """Turn log-weights (samples, children, sub) of so many particles into probabilities, in place."""
    order = np.argsort(samples.particle, kind="stable")
    starts = np.searchsorted(samples.particle[order], np.arange(particles + 1))
    best, significant = np.zeros(particles, np.int64), np.zeros(particles, np.int64)
    top_weight, log_sum = np.zeros(particles), np.zeros(particles)
    drawn = np.empty_like(values)
    numbers = np.arange(particles) if numbers is None else numbers
    selection.normalise(values, order, starts, fraction, _DRAWS, numbers, drawn, best, top_weight, significant, log_sum)
    return _Probabilities(values, drawn, best, top_weight, significant, log_sum)


def chunks_of_orientations(count: int, children: int, pixels: int) -> list[tuple[int, int]]:
    """Return runs of orientations whose children's slices fit the budget for slices."""
    size = max(1, _SLICE_BYTES // (8 * children * pixels))
    return [(begin, min(begin + size, count)) for begin in range(0, count, size)]


def split(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return real and imaginary parts, each contiguous."""
    return np.ascontiguousarray(values.real), np.ascontiguousarray(values.imag)


def _scores(operands: Operands, samples: Samples, reference: Reference, band: Band, shifts: ShiftGrid,
            kept: _Slices | None) -> np.ndarray:
    """Return log likelihood plus log prior of all children, (samples, children, sub).

    Oversampled orientations when `kept` is given; it gains the slices when they are few enough to be kept.
    """
    numbers, starts = samples.runs()
    oversampled = kept is not None
    children = reference.grid.children if oversampled else 1
    values = np.empty((len(samples), children, shifts.sub.shape[1]), np.float32)
    image, phase = split(operands.masked), split(band.phases(shifts.fine))
    for begin, end in chunks_of_orientations(len(numbers), children, band.kx.size):
        rows = slice(starts[begin], starts[end])
        slices = (reference.fine if oversampled else reference.coarse)(numbers[begin:end], band)
        kernels.score(*slices, starts[begin : end + 1] - starts[begin], samples.particle[rows], samples.shift[rows],
                      *image, operands.ctf2, *phase, shifts.sub, values[rows])
        if kept is not None and end - begin == len(numbers):
            kept[numbers.tobytes()] = slices
    prior = operands.shift_prior(shifts.fine)
    values += prior[samples.particle[:, None], shifts.sub[samples.shift]][:, None, :]
    values += samples.log_prior[:, None, None]
    return values


def expectation(operands: Operands, samples: Samples, reference: Reference, band: Band, shifts: ShiftGrid,
                sums: np.ndarray) -> Outcome:
    """Score the oversampled samples at the full band and add the block's back-projections to `sums`.

    Parameters
    ----------
    operands, samples, reference, band, shifts
        The block, its significant coarse samples, and the pixels of this iteration.
    sums : (threads, …) float32
        Gains the weighted images and squared CTFs.
    """
    kept: _Slices = {}
    values = _scores(operands, samples, reference, band, shifts, kept)
    found = probabilities(values, samples, len(operands), numbers=operands.numbers)
    cross, power = _accumulate(operands, samples, reference, band, shifts, found, sums, kept)
    per_sample = values.shape[1] * values.shape[2]
    sample, inner = found.best // per_sample, found.best % per_sample
    child, sub = inner // values.shape[2], inner % values.shape[2]
    fine = shifts.sub[samples.shift[sample], sub]
    whole = operands.offsets[samples.particle][:, None, :] + shifts.fine[shifts.sub[samples.shift]]
    moved = (found.values.sum(1) * (whole**2).sum(-1)).sum(1)
    directions = reference.grid.direction_of(samples.orientation)
    return Outcome(
        samples.orientation[sample], child, shifts.fine[fine], found.top_weight, found.significant, found.log_sum,
        np.bincount(samples.particle, moved, len(operands)), cross, power,
        np.bincount(directions, found.values.sum((1, 2))),
    )


def _accumulate(operands: Operands, samples: Samples, reference: Reference, band: Band, shifts: ShiftGrid,
                found: _Probabilities, sums: np.ndarray, kept: _Slices) -> tuple[np.ndarray, np.ndarray]:
    used, weights, drawn = samples, found.values, found.drawn
    if samples.runs()[0].tobytes() not in kept:
        chosen = np.flatnonzero(weights.any((1, 2)))
        used, weights, drawn = samples.take(chosen), weights[chosen], drawn[chosen]
    numbers, starts = used.runs()
    children, shell_starts = reference.grid.children, np.append(band.shell_starts(), band.kx.size)
    cross = np.zeros((nb.get_num_threads(), len(operands), len(shell_starts) - 1), np.float32)
    power = np.zeros_like(cross)
    image, raw, phase = split(operands.masked), split(operands.raw), split(band.phases(shifts.fine))
    for begin, end in chunks_of_orientations(len(numbers), children, band.kx.size):
        rows = slice(starts[begin], starts[end])
        slices = kept.get(numbers.tobytes()) or reference.fine(numbers[begin:end], band)
        data = [np.empty_like(slices[0]) for _ in range(3)]
        kernels.accumulate(*slices, starts[begin : end + 1] - starts[begin], used.particle[rows], used.shift[rows],
                           weights[rows], drawn[rows], *image, *raw, operands.ctf2, *phase, shifts.sub, shell_starts,
                           *data, cross, power)
        inside = np.logical_or.reduceat(weights[rows].any(2), starts[begin:end] - starts[begin])
        filled = np.flatnonzero(inside)
        reference.insert(sums, numbers[begin:end], filled, (data[0], data[1]), data[2], band)
    return cross.sum(0, dtype=np.float64), power.sum(0, dtype=np.float64)


def best_scale(operands: Operands, samples: Samples, slices: CoarseSlices, band: Band, shifts: ShiftGrid,
               ) -> tuple[float, float]:
    """Return Σ⟨S c y, P⟩ and Σ⟨c², |P|²⟩ over samples (the best of each particle): their ratio scales the reference."""
    pixels = band.kx.size
    left = operands.masked[samples.particle, :pixels] * band.phases(shifts.coarse)[samples.shift]
    chosen = slices.stacked[:, samples.orientation].T
    cross = (left.real * chosen[:, :pixels] + left.imag * chosen[:, pixels:]).sum()
    norm = (operands.ctf2[samples.particle, :pixels] * slices.power[:, samples.orientation].T).sum()
    return float(cross), float(norm)


def blocks_of(counts: np.ndarray, limit: int = _SAMPLES_AT_ONCE) -> list[slice]:
    """Return runs of particles whose numbers of samples (n,) add up to at most `limit` (one particle at least)."""
    runs, begin, total = [], 0, 0
    for i, count in enumerate(counts):
        if total + count > limit and i > begin:
            runs.append(slice(begin, i))
            begin, total = i, 0
        total += int(count)
    return [*runs, slice(begin, len(counts))]
