"""The expectation step for flat probabilities: every orientation and shift counts, and all of it is matrix products.

At low resolution, or with annealed noise, nearly all orientations are probable. A search for significant samples then
only costs. Here the probabilities of a block are one matrix, and the weighted sums of the images by orientation the
product of its transpose with the images: the same cost per particle however flat the probabilities are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numba as nb
import numpy as np

from cryosnake.numerics.refine.bands import Band
from cryosnake.numerics.refine.expectation import CoarseSlices, Operands
from cryosnake.numerics.refine.grids import ShiftGrid, SphereGrid
from cryosnake.numerics.refine.insertion import insert_slices

_SCORES_AT_ONCE = 1 << 22
_NEGLIGIBLE = np.float32(14.0)  # a sample e^14 times less probable than the best one counts as impossible


@dataclass(frozen=True)
class DenseOutcome:
    """What the expectation step learnt of a block of n particles, and its sums by orientation.

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
    images: np.ndarray
    weights: np.ndarray
    mass: np.ndarray

    def residual(self, slices: CoarseSlices, band: Band) -> np.ndarray:
        """Return by shell the expectation of Σ(c²|P|² − 2 Re⟨S c y, P⟩), whitened; add Σ|y|² for the residual power."""
        pixels = band.kx.size
        both = np.einsum("ok,ko->k", self.images, slices.stacked)
        change = np.einsum("ok,ko->k", self.weights, slices.power) - 2.0 * (both[:pixels] + both[pixels:])
        return np.add.reduceat(change.astype(np.float64), band.shell_starts())


def dense_expectation(operands: Operands, slices: CoarseSlices, band: Band, shifts: ShiftGrid, log_prior: np.ndarray,
                      temperature: float = 1.0) -> DenseOutcome:
    """Return probabilities and sums over all orientations and coarse shifts.

    Parameters
    ----------
    operands : Operands
        Of a block of particles; `masked` is scored and summed.
    slices : CoarseSlices
        At the pixels of `band`, which are those of the operands.
    shifts : ShiftGrid
    log_prior : (orientations,) float32
    temperature : float
        Divides the log likelihood: above 1 the noise counts as that much stronger, and the probabilities are flatter
        (deterministic annealing; Rose 1998, Proc. IEEE 86, 2210).
    """
    n, pixels, count, orientations = len(operands), band.kx.size, len(shifts.coarse), slices.power.shape[1]
    phases, prior = band.phases(shifts.coarse), operands.shift_prior(shifts.coarse)
    best = np.zeros((n, 2), np.int64)
    top_weight, log_sum, effective = np.zeros(n), np.zeros(n), np.zeros(n)
    by_shift = np.zeros((n, count), np.float32)
    images = np.zeros((orientations, 2 * pixels), np.float32)
    weights, mass = np.zeros((orientations, pixels), np.float32), np.zeros(orientations)
    at_once = max(1, _SCORES_AT_ONCE // (count * orientations))
    for begin in range(0, n, at_once):
        rows = slice(begin, min(begin + at_once, n))
        moved = operands.masked[rows, None, :pixels] * phases
        left = np.concatenate([moved.real, moved.imag], -1).reshape(-1, 2 * pixels)
        scores = (left @ (slices.stacked * np.float32(2.0 / temperature))).reshape(-1, count, orientations)
        norm = (operands.ctf2[rows, :pixels] @ slices.power) * np.float32(1.0 / temperature) - log_prior
        by_orientation = np.zeros(norm.shape, np.float32)
        _to_probabilities(scores, norm, prior[rows], by_orientation, by_shift[rows], best[rows], top_weight[rows],
                          log_sum[rows])
        effective[rows] = 1.0 / (by_orientation**2).sum(1)
        mass += by_orientation.sum(0)
        used = np.flatnonzero(by_orientation.any(0))
        probabilities = scores.reshape(-1, orientations)
        if len(used) < 0.7 * orientations:
            images[used] += probabilities[:, used].T @ left
            weights[used] += by_orientation[:, used].T @ operands.ctf2[rows, :pixels]
        else:
            images += probabilities.T @ left
            weights += by_orientation.T @ operands.ctf2[rows, :pixels]
    whole = ((operands.offsets[:, None, :] + shifts.coarse) ** 2).sum(-1)
    return DenseOutcome(best[:, 1], best[:, 0], top_weight, log_sum, effective,
                        float((by_shift * whole).sum()), images, weights, mass)


@nb.njit(parallel=True, fastmath=True, nogil=True, cache=True)
def _to_probabilities(scores, norm, shift_prior, by_orientation, by_shift,  # type: ignore[no-untyped-def]
                      best, top_weight, log_sum):
    """Log likelihoods (n, shifts, orientations), in place, to probabilities; sums over shifts and orientations."""
    n, count, orientations = scores.shape
    for i in nb.prange(n):
        peak = np.float32(-1e30)
        for s in range(count):
            row, own = scores[i, s], shift_prior[i, s]
            for o in range(orientations):
                row[o] += own - norm[i, o]
                peak = max(peak, row[o])
        total = 0.0
        for s in range(count):
            row, part = scores[i, s], np.float32(0.0)
            for o in range(orientations):
                depth = row[o] - peak
                value = math.exp(depth) if depth > -_NEGLIGIBLE else np.float32(0.0)
                row[o] = value
                by_orientation[i, o] += value
                part += value
                if depth == 0.0:
                    best[i, 0], best[i, 1] = s, o
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


def insert_outcome(sums: np.ndarray, outcome: DenseOutcome, grid: SphereGrid, band: Band) -> None:
    """Back-project the outcome's sums into those of the classes (threads, classes, 2m + 1, 2m + 1, m + 1, 3)."""
    pixels, numbers = band.kx.size, np.flatnonzero(outcome.weights.any(1))
    classes = grid.class_of(numbers)
    for number in np.unique(classes):
        mine = numbers[classes == number]
        insert_slices(sums[:, number], grid.matrices(mine), band.kx, band.ky, outcome.images[mine, :pixels],
                      outcome.images[mine, pixels:], outcome.weights[mine])
