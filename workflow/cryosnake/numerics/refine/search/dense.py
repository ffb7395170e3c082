"""The expectation step for flat probabilities: every orientation and shift counts, and all of it is matrix products.

At low resolution, or with annealed noise, nearly all orientations are probable. A search for significant samples is
then wasted. Here the probabilities of a block are one matrix, and the weighted sums of the images by orientation the
product of its transpose with the images: the same cost per particle however flat the probabilities are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numba as nb
import numpy as np

from cryosnake.numerics.backend import Array, is_gpu, namespace, to_numpy
from cryosnake.numerics.refine.grids.bands import Band
from cryosnake.numerics.refine.grids.grids import ShiftGrid, SphereGrid
from cryosnake.numerics.refine.grids.samples import Operands
from cryosnake.numerics.refine.kernels.dispatch import particles_at_once
from cryosnake.numerics.refine.search.expectation import CoarseSlices, shifted
from cryosnake.numerics.refine.sums.insertion import insert_slices

_SCORES_AT_ONCE = 1 << 22
_NEGLIGIBLE = np.float32(14.0)  # a sample e^14 times less probable than the best one counts as impossible


@dataclass(frozen=True, kw_only=True)
class DenseOutcome:
    """Outcome of the expectation step for a block of n particles, and its sums by orientation.

    The sums, `images` and `weights`, are where the block is.

    Attributes
    ----------
    orientation, shift : (n,) int64
        Numbers of the most probable ones.
    top_weight, log_likelihood : (n,) float64
        Probability of that orientation over all shifts; log of the summed likelihood of all samples.
    effective : (n,) float64
        Effective number of orientations, 1 / Σ p².
    offset_power : float
        Summed expectation of the squared whole shift, pixels².
    images : (orientations, 2 pixels) float32
        Summed weighted images, real parts before imaginary parts.
    weights : (orientations, pixels) float32
        Summed weighted squared CTFs.
    mass : (orientations,) float64
        Summed probability.
    """

    orientation: np.ndarray
    shift: np.ndarray
    top_weight: np.ndarray
    log_likelihood: np.ndarray
    effective: np.ndarray
    offset_power: float
    images: Array
    weights: Array
    mass: np.ndarray

    def residual(self, slices: CoarseSlices) -> np.ndarray:
        """Return by shell the expectation of Σ(c²|P|² − 2 Re⟨S c y, P⟩), whitened; add Σ|y|² for the residual power."""
        xp, pixels = namespace(self.images), slices.band.kx.size
        both = xp.einsum("ok,ko->k", self.images, slices.stacked)
        change = xp.einsum("ok,ko->k", self.weights, slices.power) - 2.0 * (both[:pixels] + both[pixels:])
        return np.add.reduceat(to_numpy(change).astype(np.float64), slices.band.shell_starts())


def dense_expectation(operands: Operands, slices: CoarseSlices, shifts: ShiftGrid, log_prior: np.ndarray,
                      temperature: float = 1.0) -> DenseOutcome:
    """Return probabilities and sums over all orientations and coarse shifts.

    Parameters
    ----------
    operands : Operands
        Of a block of particles; `masked` is scored and summed.
    slices : CoarseSlices
        At the pixels of the operands.
    shifts : ShiftGrid
    log_prior : (orientations,) float32
    temperature : float
        Divides the log likelihood: above 1 the noise counts as stronger, and the probabilities are flatter
        (deterministic annealing; Rose 1998, Proc. IEEE 86, 2210).
    """
    band, n, count, orientations = slices.band, len(operands), len(shifts.coarse), slices.power.shape[1]
    pixels = band.kx.size
    xp, operands = namespace(operands.masked), operands.cut(pixels)
    phases, prior = band.phases(shifts.coarse, operands.masked), operands.shift_prior(shifts.coarse)
    log_prior = xp.asarray(log_prior)
    images, weights = xp.zeros((orientations, 2 * pixels), xp.float32), xp.zeros((orientations, pixels), xp.float32)
    found, mass = [], xp.zeros(orientations)
    at_once = particles_at_once(phases, count, orientations, max(1, _SCORES_AT_ONCE // (count * orientations)))
    for begin in range(0, n, at_once):
        rows = slice(begin, min(begin + at_once, n))
        left = shifted(operands.masked[rows], phases)
        scores = (left @ (slices.stacked * np.float32(2.0 / temperature))).reshape(-1, count, orientations)
        norm = (operands.ctf2[rows] @ slices.power) * np.float32(1.0 / temperature) - log_prior
        by_orientation, *others = dense_probabilities(scores, norm, prior[rows])
        found.append([*others, 1.0 / (by_orientation**2).sum(1)])
        mass += by_orientation.sum(0)
        _add_sums(images, weights, scores, by_orientation, left, operands.ctf2[rows])
    by_shift, shift, orientation, top_weight, log_sum, effective = (
        to_numpy(xp.concatenate(parts)) for parts in zip(*found, strict=True))
    whole = ((operands.offsets[:, None, :] + shifts.coarse) ** 2).sum(-1)
    return DenseOutcome(
        orientation=orientation, shift=shift, top_weight=top_weight.astype(np.float64),
        log_likelihood=log_sum.astype(np.float64), effective=effective.astype(np.float64),
        offset_power=float((by_shift * whole).sum()), images=images, weights=weights, mass=to_numpy(mass))


def _add_sums(images: Array, weights: Array, scores: Array, by_orientation: Array, left: Array, ctf2: Array) -> None:
    """Add the images, weighted by the probabilities `scores`, to the sums of each orientation; in place."""
    orientations = len(images)
    probabilities = scores.reshape(-1, orientations)
    if not is_gpu(images):
        used = np.flatnonzero(by_orientation.any(0))
        if len(used) < 0.7 * orientations:
            images[used] += probabilities[:, used].T @ left
            weights[used] += by_orientation[:, used].T @ ctf2
            return
    images += probabilities.T @ left
    weights += by_orientation.T @ ctf2


def dense_probabilities(scores: Array, norm: Array, shift_prior: Array) -> tuple[Array, ...]:
    """Turn log likelihoods (n, shifts, orientations) into probabilities, in place.

    Parameters
    ----------
    scores, norm, shift_prior
        2 Re⟨S c y, P⟩; ⟨c², |P|²⟩ less the log prior, (n, orientations); log prior of the shifts, (n, shifts).

    Returns
    -------
    by_orientation, by_shift : (n, orientations), (n, shifts) float32
    shift, orientation : (n,) int64
        The most probable ones.
    top_weight : (n,)
        Probability of that orientation.
    log_sum : (n,) float64
        Log of the summed likelihood.
    """
    return (_on_device if is_gpu(scores) else _on_host)(scores, norm, shift_prior)


def _on_device(scores: Array, norm: Array, shift_prior: Array) -> tuple[Array, ...]:
    """Turn log likelihoods into probabilities in place; what `_on_host` does, as array operations."""
    xp, (n, _, orientations) = namespace(scores), scores.shape
    scores += shift_prior[:, :, None]
    scores -= norm[:, None, :]
    flat = scores.reshape(n, -1)
    best = flat.argmax(1)
    peak = flat.max(1)
    flat -= peak[:, None]
    impossible = flat <= -_NEGLIGIBLE
    xp.exp(flat, out=flat)
    flat[impossible] = 0.0
    total = flat.sum(1)
    flat /= total[:, None]
    by_orientation = scores.sum(1)
    return (by_orientation, scores.sum(2), best // orientations, best % orientations, by_orientation.max(1),
            peak.astype(xp.float64) + xp.log(total.astype(xp.float64)))


def _on_host(scores: np.ndarray, norm: np.ndarray, shift_prior: np.ndarray) -> tuple[np.ndarray, ...]:
    """Turn log likelihoods (n, shifts, orientations) into probabilities, in place.

    Returns their sums over shifts and over orientations, numbers of the most probable shift and orientation, the
    probability of the most probable orientation, and the log of the summed likelihood.
    """
    n, count, _ = scores.shape
    by_orientation, by_shift = np.zeros(norm.shape, np.float32), np.zeros((n, count), np.float32)
    best, top_weight, log_sum = np.zeros((n, 2), np.int64), np.zeros(n), np.zeros(n)
    _to_probabilities(scores, norm, shift_prior, by_orientation, by_shift, best, top_weight, log_sum)
    return by_orientation, by_shift, best[:, 0], best[:, 1], top_weight, log_sum


@nb.njit(fastmath=True, cache=True)
def _exponential(depth):  # type: ignore[no-untyped-def]
    """e^depth, −25 ≤ depth ≤ 0, to 5e-6 of itself: (e^(depth/32))^32, in operations of which eight are done at once."""
    y = depth * np.float32(1.0 / 32.0) + np.float32(0.4)
    value = np.float32(1.0 / 5040.0)
    for factor in (1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0):
        value = value * y + np.float32(factor)
    value *= np.float32(0.6703200460356393)  # e^-0.4
    for _ in range(5):
        value *= value
    return value


@nb.njit(parallel=True, fastmath=True, nogil=True, cache=True)
def _to_probabilities(scores, norm, shift_prior, by_orientation, by_shift,  # type: ignore[no-untyped-def]
                      best, top_weight, log_sum):
    """Log likelihoods (n, shifts, orientations), in place, to probabilities; sums over shifts and orientations."""
    n, count, orientations = scores.shape
    for i in nb.prange(n):
        peak = np.float32(-1e30)
        for s in range(count):
            row, own, top = scores[i, s], shift_prior[i, s], np.float32(-1e30)
            for o in range(orientations):
                row[o] += own - norm[i, o]
                top = max(top, row[o])
            if top > peak:
                peak, best[i, 0] = top, s
        for o in range(orientations):
            if scores[i, best[i, 0], o] == peak:
                best[i, 1] = o
        total = 0.0
        for s in range(count):
            row, part = scores[i, s], np.float32(0.0)
            for o in range(orientations):
                depth = row[o] - peak
                value = _exponential(max(depth, -_NEGLIGIBLE))
                value = value if depth > -_NEGLIGIBLE else np.float32(0.0)
                row[o] = value
                by_orientation[i, o] += value
                part += value
            by_shift[i, s] = part
            total += part
        scale, top = np.float32(1.0 / total), np.float32(0.0)
        for s in range(count):
            by_shift[i, s] *= scale
            row = scores[i, s]
            for o in range(orientations):
                row[o] *= scale
        for o in range(orientations):
            by_orientation[i, o] *= scale
            top = max(top, by_orientation[i, o])
        top_weight[i] = top
        log_sum[i] = peak + math.log(total)


def insert_outcome(sums: Array, outcome: DenseOutcome, grid: SphereGrid, band: Band) -> None:
    """Back-project the outcome's sums into those of the classes (threads, classes, 2m + 1, 2m + 1, m + 1, 3)."""
    xp, (kx, ky), pixels = namespace(sums), band.frequencies(sums), band.kx.size
    numbers = xp.flatnonzero(outcome.weights.any(1))
    classes = grid.class_of(numbers)
    for number in range(sums.shape[1]):
        mine = numbers[classes == number]
        if not mine.size:
            continue
        images = outcome.images[mine]
        slices = xp.ascontiguousarray(images[:, :pixels]), xp.ascontiguousarray(images[:, pixels:])
        insert_slices(sums[:, number], grid.matrices(mine), kx, ky, slices, outcome.weights[mine])
