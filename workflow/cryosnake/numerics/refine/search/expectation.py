"""The expectation step on a block of particles: coarse search, fine scores, probabilities, weighted sums.

log p(image | orientation, shift) = 2 Re⟨S c y, P⟩ − ⟨c², |P|²⟩ + constant, for whitened images y and CTFs c (Scheres
2012, J. Mol. Biol. 415, eq. 6). Over all orientations and shifts the first term is one matrix product per block.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np

from cryosnake.numerics.backend import Array, namespace, product, to_numpy
from cryosnake.numerics.refine.grids.bands import Band
from cryosnake.numerics.refine.grids.grids import ShiftGrid
from cryosnake.numerics.refine.grids.references import Reference
from cryosnake.numerics.refine.grids.samples import Operands, Samples, sorted_samples, split
from cryosnake.numerics.refine.kernels.dispatch import (
    kernels_of,
    particles_at_once,
    parts_of_sums,
    slice_bytes,
    twin_of,
)

SIGNIFICANT = 0.999  # fraction of the probability that is kept (RELION's adaptive fraction)
_AT_ONCE = 16  # particles per matrix product on a CPU, see `particles_at_once`
_DRAWS = 64  # samples per particle for the residual power
_MANY = 1000  # significant samples of a particle from which on more than SIGNIFICANT is not asked for
_Slices = dict[bytes, tuple[Array, Array]]  # by their orientations
_NO_TURN = nullcontext()
_CC_DEPTH = 2000.0  # makes one bin of the significance histogram a hundred-thousandth of a correlation


@dataclass(frozen=True, kw_only=True)
class BlockResult:
    """Outcome of the expectation step for the particles of a block.

    Attributes
    ----------
    orientation, child : (n,) int64
        Most probable coarse orientation, and the index of its child.
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


@dataclass(frozen=True)
class Kept:
    """Which samples of a search over all orientations are kept.

    Attributes
    ----------
    significant : float
        Fraction of the probability, where that takes few samples; at least SIGNIFICANT.
    most : float
        Particles with more significant samples than this get none.
    together : float
        With more samples than this the particles so far are searched further before the others.
    """

    significant: float = SIGNIFICANT
    most: float = math.inf
    together: float = math.inf


@dataclass(frozen=True)
class CoarseSlices:
    """Slices of all coarse orientations as operands of a matrix product; made once per iteration."""

    stacked: Array  # (2 pixels, orientations): real parts above imaginary parts
    power: Array  # (pixels, orientations)
    band: Band


def coarse_slices(reference: Reference, band: Band, part: slice = slice(None)) -> CoarseSlices:
    """Return the slices at all coarse orientations, or a part of them, within a band."""
    xp, pixels = namespace(reference.transforms), band.kx.size
    numbers = xp.arange(reference.grid.size)[part]
    stacked = xp.empty((2 * pixels, len(numbers)), xp.float32)
    power = xp.empty((pixels, len(numbers)), xp.float32)
    for begin, end in chunks_of_orientations(len(numbers), 1, pixels, slice_bytes(stacked)):
        real, imaginary = reference.coarse(numbers[begin:end], band)
        stacked[:pixels, begin:end], stacked[pixels:, begin:end] = real.T, imaginary.T
        power[:, begin:end] = (real**2 + imaginary**2).T
    return CoarseSlices(stacked, power, band)


def search_everywhere(operands: Operands, slices: CoarseSlices, shifts: ShiftGrid, log_prior: Array, *,
                      correlation: bool = False, reduced: bool = False, kept: Kept = Kept()) -> Samples:
    """Return the significant coarse samples over all orientations and shifts.

    Parameters
    ----------
    operands : Operands
    slices : CoarseSlices
        At pixels that are a prefix of those of the operands.
    shifts : ShiftGrid
    log_prior : (orientations,) float32
    correlation : bool
        Score by correlation coefficient, which does not depend on the reference's scale, and keep only the best.
    reduced : bool
        Let a GPU round the operands of the matrix product to TF32.
    kept : Kept
    """
    ((_, samples),) = search_in_parts(operands, slices, shifts, log_prior, correlation=correlation, reduced=reduced,
                                      kept=kept)
    return samples


def search_in_parts(operands: Operands, slices: CoarseSlices, shifts: ShiftGrid, log_prior: Array, *,
                    correlation: bool = False, reduced: bool = False, kept: Kept = Kept(),
                    ) -> Iterator[tuple[slice, Samples]]:
    """Yield the samples of `search_everywhere` for runs of particles, closed by more than `kept.together` samples.

    Each with the particles' rows; samples count the particles from the first of these.
    """
    band, n, pixels, count = slices.band, len(operands), slices.band.kx.size, len(shifts.coarse)
    xp = namespace(operands.masked)
    phases, prior = band.phases(shifts.coarse, operands.masked), operands.shift_prior(shifts.coarse)
    log_prior = xp.asarray(log_prior)
    at_once = particles_at_once(phases, count, slices.power.shape[1], _AT_ONCE)
    found: list[tuple[Array, ...]] = []
    first = 0
    for begin in range(0, n, at_once):
        rows = slice(begin, min(begin + at_once, n))
        left = shifted(2.0 * operands.masked[rows, :pixels], phases)
        cross = product(left, slices.stacked, reduced).reshape(-1, count, slices.power.shape[1])
        norm = operands.ctf2[rows, :pixels] @ slices.power
        fraction, shift_prior = kept.significant, prior[rows]
        if correlation:
            cross *= (_CC_DEPTH / xp.sqrt(xp.maximum(norm, 1e-20)))[:, None, :] / _image_norms(operands, rows, pixels)
            norm, fraction, shift_prior = xp.zeros_like(norm), 1e-9, xp.zeros_like(shift_prior)
        else:
            norm -= log_prior
        part = _select(cross, norm, shift_prior, fraction, begin)
        if kept.most < math.inf:
            few = (xp.bincount(part[2] - begin, minlength=1) <= kept.most)[part[2] - begin]
            part = part[0][few], part[1][few], part[2][few]
        found.append(part)
        if rows.stop == n or sum(len(part[0]) for part in found) > kept.together:
            orientation, shift, particle = (xp.concatenate(parts) for parts in zip(*found, strict=True))
            yield slice(first, rows.stop), sorted_samples(orientation, particle - first, shift, log_prior[orientation])
            found, first = [], rows.stop


def shifted(images: Array, phases: Array) -> Array:
    """Return images (n, pixels) at all shifts: (n · shifts, 2 pixels), real parts before imaginary parts."""
    xp, moved = namespace(images), images[:, None] * phases
    return xp.concatenate([moved.real, moved.imag], -1).reshape(-1, 2 * images.shape[1])


def _image_norms(operands: Operands, rows: slice, pixels: int) -> Array:
    xp = namespace(operands.masked)
    return xp.sqrt((xp.abs(operands.masked[rows, :pixels]) ** 2).sum(1))[:, None, None] + np.float32(1e-20)


def _select(cross: Array, norm: Array, prior: Array, fraction: float, begin: int) -> tuple[Array, Array, Array]:
    xp, selection = namespace(cross), kernels_of(cross)
    cuts, counts = xp.empty(len(cross), xp.float32), xp.empty(len(cross), xp.int64)
    selection.find_cuts(cross, norm, prior, fraction, cuts, counts)
    many = xp.flatnonzero(counts > _MANY) if fraction > SIGNIFICANT else counts[:0]
    if len(many):  # with this many, no single one decides
        fewer = xp.empty(len(many), xp.float32), xp.empty(len(many), xp.int64)
        selection.find_cuts(cross[many], norm[many], prior[many], SIGNIFICANT, *fewer)
        cuts[many], counts[many] = fewer
    offsets = xp.zeros(len(cross) + 1, xp.int64)
    offsets[1:] = xp.cumsum(counts)
    total = int(offsets[-1])
    orientation, shift = xp.full(total, -1, xp.int64), xp.zeros(total, xp.int64)
    selection.gather_samples(cross, norm, prior, cuts, offsets, orientation, shift)
    particle = begin + xp.searchsorted(offsets[1:], xp.arange(total), side="right")
    real = orientation >= 0
    return orientation[real], shift[real], particle[real]


def search_nearby(operands: Operands, reference: Reference, band: Band, shifts: ShiftGrid, pairs: Samples,
                  significant: float) -> Samples:
    """Return the significant coarse samples among `pairs` of particle and orientation, at all shifts."""
    xp, count = namespace(operands.masked), len(shifts.coarse)
    together = ShiftGrid(shifts.coarse, shifts.coarse, np.arange(count)[None, :])
    values = _scores(operands.cut(band.kx.size), pairs, reference, band, together, kept=None)
    weights = probabilities(values, pairs, len(operands), significant)
    pair, shift = xp.nonzero(weights.values[:, 0, :])
    return Samples(pairs.orientation[pair], pairs.particle[pair], xp.ascontiguousarray(shift), pairs.log_prior[pair])


@dataclass(frozen=True, kw_only=True)
class _Probabilities:
    values: Array  # (samples, children, sub) float32
    sampled: Array  # the same with few samples, see `selection.normalise`; on a GPU the same array
    best: Array
    top_weight: Array
    significant: Array
    log_sum: Array


def probabilities(values: Array, samples: Samples, particles: int, fraction: float = SIGNIFICANT,
                  numbers: np.ndarray | None = None) -> _Probabilities:
    """Turn log-weights (samples, children, sub) of this many particles into probabilities, in place."""
    xp, sampled = namespace(values), twin_of(values)
    order = xp.argsort(samples.particle, kind="stable")
    starts = xp.searchsorted(samples.particle[order], xp.arange(particles + 1))
    best, significant = xp.zeros(particles, xp.int64), xp.zeros(particles, xp.int64)
    top_weight, log_sum = xp.zeros(particles), xp.zeros(particles)
    numbers = np.arange(particles) if numbers is None else numbers
    kernels_of(values).normalise(values, order, starts, fraction, _DRAWS, numbers, sampled, best, top_weight,
                                 significant, log_sum)
    return _Probabilities(values=values, sampled=sampled, best=best, top_weight=top_weight, significant=significant,
                          log_sum=log_sum)


def orientations_at_once(children: int, pixels: int, most: int) -> int:
    """Return the number of orientations whose children's slices take at most this many bytes; at least one."""
    return max(1, most // (8 * children * pixels))


def chunks_of_orientations(count: int, children: int, pixels: int, most: int) -> list[tuple[int, int]]:
    """Return runs of orientations whose children's slices take at most this many bytes."""
    size = orientations_at_once(children, pixels, most)
    return [(begin, min(begin + size, count)) for begin in range(0, count, size)]


def _scores(operands: Operands, samples: Samples, reference: Reference, band: Band, shifts: ShiftGrid,
            kept: _Slices | None) -> Array:
    """Return log likelihood plus log prior of all children, (samples, children, sub).

    Oversampled orientations when `kept` is given; it gains the slices when they are few enough to be kept.
    """
    xp, numbers = namespace(operands.masked), samples.runs()[0]

    def slices_of(run: slice) -> tuple[Array, Array]:
        slices = (reference.coarse if kept is None else reference.fine)(numbers[run], band)
        if kept is not None and run == slice(0, len(numbers)):
            kept[numbers.tobytes()] = slices
        return slices

    children = 1 if kept is None else reference.grid.children
    values = likelihoods(operands, samples, children, band, shifts, slices_of)
    prior = operands.shift_prior(shifts.fine)
    values += prior[samples.particle[:, None], xp.asarray(shifts.sub)[samples.shift]][:, None, :]
    values += samples.log_prior[:, None, None]
    return values


def likelihoods(operands: Operands, samples: Samples, children: int, band: Band, shifts: ShiftGrid,
                slices_of: Callable[[slice], tuple[Array, Array]]) -> Array:
    """Return the log likelihoods, up to a constant, of samples at the fine shifts: (samples, children, sub).

    `slices_of` gives the slices of some of the samples' distinct orientations, `children` for each.
    """
    xp, starts = namespace(operands.masked), samples.runs()[1]
    values, sub = xp.empty((len(samples), children, shifts.sub.shape[1]), xp.float32), xp.asarray(shifts.sub)
    image, phase = split(operands.masked), split(band.phases(shifts.fine, operands.masked))
    ctf2 = xp.ascontiguousarray(operands.ctf2)
    for begin, end in chunks_of_orientations(len(starts) - 1, children, band.kx.size, slice_bytes(values)):
        rows, own = slice(starts[begin], starts[end]), xp.asarray(starts[begin : end + 1] - starts[begin])
        kernels_of(values).score(*slices_of(slice(begin, end)), own, samples.particle[rows], samples.shift[rows],
                                 *image, ctf2, *phase, sub, values[rows])
    return values


def expectation(operands: Operands, samples: Samples, reference: Reference, band: Band, shifts: ShiftGrid,
                sums: Array, turn: AbstractContextManager[Any] = _NO_TURN) -> BlockResult:
    """Score the oversampled samples at the full band and add the block's back-projections to `sums`.

    Parameters
    ----------
    operands, samples, reference, band, shifts
        The block, its significant coarse samples, and the pixels of this iteration.
    sums : (threads, …) float32
        Gains the weighted images and squared CTFs.
    turn
        Lock held during additions to the sums, where several threads share them.
    """
    xp, kept = namespace(operands.masked), _Slices()
    values = _scores(operands, samples, reference, band, shifts, kept)
    found = probabilities(values, samples, len(operands), numbers=operands.numbers)
    cross, power = _accumulate(operands, samples, (reference, band, shifts), found, kept, sums, turn)
    sub, fine = xp.asarray(shifts.sub), xp.asarray(shifts.fine)
    per_sample = values.shape[1] * values.shape[2]
    sample, inner = found.best // per_sample, found.best % per_sample
    best_fine = sub[samples.shift[sample], inner % values.shape[2]]
    of_shifts = found.values.sum(1)
    directions = reference.grid.direction_of(samples.orientation)
    result = {"orientation": samples.orientation[sample], "child": inner // values.shape[2], "shift": fine[best_fine],
              "top_weight": found.top_weight, "significant": found.significant, "log_likelihood": found.log_sum,
              "offset_power": _offset_power(operands, samples, of_shifts, fine[sub]), "cross": cross, "power": power,
              "direction_mass": xp.bincount(directions, of_shifts.sum(1))}
    return BlockResult(**{name: to_numpy(values) for name, values in result.items()})


def _offset_power(operands: Operands, samples: Samples, weights: Array, fine: Array) -> Array:
    """Return the expectation (n,) of |offset + shift|², from weights (samples, sub) of shifts (t, sub, 2)."""
    xp = namespace(weights)
    power = xp.zeros(len(operands))
    for axis in (0, 1):
        shift = fine[..., axis].astype(xp.float32)[samples.shift]
        offset = xp.asarray(operands.offsets[:, axis].astype(np.float32))[samples.particle]
        power += xp.bincount(samples.particle, (weights * (shift + offset[:, None]) ** 2).sum(1), len(operands))
    return power


def _accumulate(operands: Operands, samples: Samples, searched: tuple[Reference, Band, ShiftGrid],
                found: _Probabilities, kept: _Slices, sums: Array, turn: AbstractContextManager[Any],
                ) -> tuple[Array, Array]:
    reference, band, shifts = searched
    xp, used, weights, sampled = namespace(found.values), samples, found.values, found.sampled
    if samples.runs()[0].tobytes() not in kept:
        chosen = xp.flatnonzero(weights.any((1, 2)))
        used, weights, sampled = samples.take(chosen), weights[chosen], sampled[chosen]
    numbers, starts = used.runs()
    children, shell_starts = reference.grid.children, xp.asarray(np.append(band.shell_starts(), band.kx.size))
    cross = xp.zeros((parts_of_sums(weights), len(operands), len(shell_starts) - 1), xp.float32)
    power = xp.zeros_like(cross)
    image, raw, phase = (split(values) for values in (operands.masked, operands.raw,
                                                      band.phases(shifts.fine, weights)))
    ctf2, sub = xp.ascontiguousarray(operands.ctf2), xp.asarray(shifts.sub)
    for begin, end in chunks_of_orientations(len(numbers), children, band.kx.size, slice_bytes(weights)):
        rows, own = slice(starts[begin], starts[end]), xp.asarray(starts[begin : end + 1] - starts[begin])
        slices = kept.get(numbers.tobytes()) or reference.fine(numbers[begin:end], band)
        data = [xp.empty_like(slices[0]) for _ in range(3)]
        kernels_of(weights).accumulate(*slices, own, used.particle[rows], used.shift[rows], weights[rows],
                                       sampled[rows], *image, *raw, ctf2, *phase, sub, shell_starts, *data, cross,
                                       power)
        filled = _filled(weights[rows], own)
        with turn:
            reference.insert(sums, numbers[begin:end], filled, (data[0], data[1]), data[2], band)
    return cross.sum(0, dtype=xp.float64), power.sum(0, dtype=xp.float64)


def _filled(weights: Array, starts: Array) -> Array:
    """Return the rows, orientation · children + child, that any weight falls on; samples of an orientation are runs."""
    xp = namespace(weights)
    taken = xp.zeros((len(weights) + 1, weights.shape[1]), xp.int64)
    taken[1:] = xp.cumsum(weights.any(2), axis=0)
    return xp.flatnonzero(taken[starts[1:]] > taken[starts[:-1]])


def best_scale(operands: Operands, samples: Samples, slices: CoarseSlices, shifts: ShiftGrid) -> tuple[float, float]:
    """Return Σ⟨S c y, P⟩ and Σ⟨c², |P|²⟩ over samples (the best of each particle): their ratio scales the reference."""
    pixels, phases = slices.band.kx.size, slices.band.phases(shifts.coarse, operands.masked)
    left = operands.masked[samples.particle, :pixels] * phases[samples.shift]
    chosen = slices.stacked[:, samples.orientation].T
    cross = (left.real * chosen[:, :pixels] + left.imag * chosen[:, pixels:]).sum()
    norm = (operands.ctf2[samples.particle, :pixels] * slices.power[:, samples.orientation].T).sum()
    return float(cross), float(norm)
