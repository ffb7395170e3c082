"""The expectation step of a block without oversampling: all of it matrix products, and an `BlockResult` as of a search.

While the images decide little, most samples of a coarse grid are significant. Scoring, weighting and adding them one by
one costs ten times as much as products over all of them.
"""

from __future__ import annotations

import numpy as np

from cryosnake.numerics.backend import Array, namespace, to_numpy
from cryosnake.numerics.refine.grids.grids import PlaneGrid, ShiftGrid, SphereGrid
from cryosnake.numerics.refine.grids.images import shell_sums
from cryosnake.numerics.refine.grids.samples import Operands
from cryosnake.numerics.refine.kernels.dispatch import kernels_of, particles_at_once
from cryosnake.numerics.refine.search.dense import dense_probabilities
from cryosnake.numerics.refine.search.expectation import SIGNIFICANT, BlockResult, CoarseSlices, shifted

_SCORES_AT_ONCE = 1 << 20  # 4 MB: they are read four times


def dense_block(operands: Operands, slices: CoarseSlices, shifts: ShiftGrid, log_prior: Array,
                grid: SphereGrid | PlaneGrid) -> tuple[BlockResult, Array, Array]:
    """Return the outcome over all coarse orientations and shifts for a block, and its sums by orientation.

    Parameters
    ----------
    operands : Operands
    slices : CoarseSlices
        At the pixels of the operands.
    shifts : ShiftGrid
    log_prior : (orientations,) float32
    grid : PlaneGrid or SphereGrid
        The grid of these orientations.

    Returns
    -------
    outcome : BlockResult
        Residuals are exact, not from drawn samples.
    images : (orientations, 2 pixels) float32
        Summed weighted raw images, real parts before imaginary parts.
    weights : (orientations, pixels) float32
        Summed weighted squared CTFs.
    """
    xp, band, orientations = namespace(operands.masked), slices.band, slices.power.shape[1]
    pixels = band.kx.size
    phases, shift_prior = band.phases(shifts.coarse, operands.masked), operands.shift_prior(shifts.coarse)
    stacked, log_prior = slices.stacked.T, xp.asarray(log_prior)
    images, weights = xp.zeros((orientations, 2 * pixels), xp.float32), xp.zeros((orientations, pixels), xp.float32)
    mass, found = xp.zeros(orientations), []
    on_cpu = max(1, _SCORES_AT_ONCE // (len(phases) * orientations))
    at_once = particles_at_once(phases, len(phases), orientations, on_cpu)
    for begin in range(0, len(operands), at_once):
        rows = slice(begin, min(begin + at_once, len(operands)))
        left, ctf2 = shifted(operands.masked[rows], phases), operands.ctf2[rows]
        scores = (left @ (2.0 * slices.stacked)).reshape(len(ctf2), -1, orientations)
        norm = ctf2 @ slices.power - log_prior
        cuts, significant = xp.empty(len(ctf2), xp.float32), xp.empty(len(ctf2), xp.int64)
        kernels_of(scores).find_cuts(scores, norm, shift_prior[rows], SIGNIFICANT, cuts, significant)
        by_orientation, by_shift, shift, orientation, _, log_sum = dense_probabilities(scores, norm, shift_prior[rows])
        flat = scores.reshape(-1, orientations)
        agreement = (left * (flat @ stacked)).reshape(len(ctf2), -1, 2, pixels).sum((1, 2))
        power = (by_orientation @ slices.power.T) * ctf2
        images += flat.T @ shifted(operands.raw[rows], phases)
        weights += by_orientation.T @ ctf2
        mass += by_orientation.sum(0)
        top = scores[xp.arange(len(ctf2)), shift, orientation]
        found.append((orientation, shift, top, significant, log_sum, by_shift, shell_sums(agreement, band),
                      shell_sums(power, band)))
    orientation, shift, top, significant, log_sum, by_shift, cross, power = (
        to_numpy(xp.concatenate(parts)) for parts in zip(*found, strict=True))
    whole = ((operands.offsets[:, None, :] + shifts.coarse) ** 2).sum(-1)
    directions = np.bincount(grid.direction_of(np.arange(orientations)), to_numpy(mass))
    outcome = BlockResult(
        orientation=orientation, child=np.zeros_like(orientation), shift=shifts.coarse[shift],
        top_weight=top.astype(np.float64), significant=significant, log_likelihood=log_sum,
        offset_power=(by_shift * whole).sum(1), cross=cross.astype(np.float64), power=power.astype(np.float64),
        direction_mass=directions)
    return outcome, images, weights
