"""The expectation step of a block without oversampling: all of it matrix products, and an `BlockResult` as of a search.

While the images decide little, most samples of a coarse grid are significant. Scoring, weighting and adding them one by
one costs ten times as much as products over all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from cryosnake.numerics.backend import Array, is_gpu, namespace, to_numpy
from cryosnake.numerics.refine.grids.bands import Band
from cryosnake.numerics.refine.grids.grids import ShiftGrid
from cryosnake.numerics.refine.grids.images import shell_sums
from cryosnake.numerics.refine.grids.references import Reference
from cryosnake.numerics.refine.grids.samples import Operands
from cryosnake.numerics.refine.kernels.budget import budget
from cryosnake.numerics.refine.kernels.dispatch import kernels_of, particles_at_once
from cryosnake.numerics.refine.search.dense import dense_probabilities
from cryosnake.numerics.refine.search.expectation import (
    SIGNIFICANT,
    BlockResult,
    CoarseSlices,
    coarse_slices,
    shifted,
)

_SCORES_AT_ONCE = 1 << 20  # 4 MB: they are read four times
Insert = Callable[[slice, Array, Array], None]


@dataclass(frozen=True)
class SliceParts:
    """Slices at all coarse orientations, in parts; more than one are computed again whenever they are needed."""

    reference: Reference
    band: Band
    parts: list[slice]
    first: CoarseSlices

    def __iter__(self) -> Iterator[tuple[slice, CoarseSlices]]:
        for part in self.parts:
            yield part, self.first if len(self.parts) == 1 else coarse_slices(self.reference, self.band, part)


def slice_parts(reference: Reference, band: Band, workers: int) -> SliceParts:
    """Return the slices in one part, unless these and the sums of all workers exceed the budget."""
    count = reference.grid.size
    most = count
    if not is_gpu(reference.transforms):
        most = max(1, min(count, budget().dense // (12 * band.kx.size * (1 + 2 * workers))))
    parts = [slice(begin, min(begin + most, count)) for begin in range(0, count, most)]
    return SliceParts(reference, band, parts, coarse_slices(reference, band, parts[0]))


def dense_block(operands: Operands, slices: SliceParts, shifts: ShiftGrid, log_prior: Array, insert: Insert,
                ) -> BlockResult:
    """Return the outcome over all coarse orientations and shifts for a block.

    Parameters
    ----------
    operands : Operands
    slices : SliceParts
        At the pixels of the operands.
    shifts : ShiftGrid
    log_prior : (orientations,) float32
    insert : callable
        insert(part, images, weights) receives the summed weighted raw images (orientations, 2 pixels) float32, real
        parts before imaginary parts, and the summed weighted squared CTFs (orientations, pixels) of a part of the
        orientations.

    Returns
    -------
    outcome : BlockResult
        Residuals are exact, not from drawn samples.
    """
    grid, band, orientations = slices.reference.grid, slices.band, slices.reference.grid.size
    xp, pixels, in_parts = namespace(operands.masked), band.kx.size, len(slices.parts) > 1
    phases, shift_prior = band.phases(shifts.coarse, operands.masked), operands.shift_prior(shifts.coarse)
    log_prior = xp.asarray(log_prior)
    mass, found = xp.zeros(orientations), []
    images, weights = (xp.zeros((0 if in_parts else orientations, each), xp.float32) for each in (2 * pixels, pixels))
    on_cpu = max(1, _SCORES_AT_ONCE // (len(phases) * orientations))
    if in_parts:  # few particles at once would need the slices often
        on_cpu = max(1, budget().block // (len(phases) * (32 * pixels + 8 * orientations)))
    at_once = particles_at_once(phases, len(phases), orientations, on_cpu)
    for begin in range(0, len(operands), at_once):
        rows = slice(begin, min(begin + at_once, len(operands)))
        left, ctf2 = shifted(operands.masked[rows], phases), operands.ctf2[rows]
        scores, norm = _scores(left, ctf2, slices)
        norm -= log_prior
        cuts, significant = xp.empty(len(ctf2), xp.float32), xp.empty(len(ctf2), xp.int64)
        kernels_of(scores).find_cuts(scores, norm, shift_prior[rows], SIGNIFICANT, cuts, significant)
        by_orientation, by_shift, shift, orientation, _, log_sum = dense_probabilities(scores, norm, shift_prior[rows])
        flat = scores.reshape(-1, orientations)
        expected, norms, raw = xp.zeros_like(left), xp.zeros_like(ctf2), shifted(operands.raw[rows], phases)
        for part, of_part in slices:
            expected += flat[:, part] @ of_part.stacked.T
            norms += by_orientation[:, part] @ of_part.power.T
            own = flat[:, part].T @ raw, by_orientation[:, part].T @ ctf2
            if in_parts:
                insert(part, *own)
            else:
                images += own[0]
                weights += own[1]
        agreement = (left * expected).reshape(len(ctf2), -1, 2, pixels).sum((1, 2))
        mass += by_orientation.sum(0)
        top = scores[xp.arange(len(ctf2)), shift, orientation]
        found.append((orientation, shift, top, significant, log_sum, by_shift, shell_sums(agreement, band),
                      shell_sums(norms * ctf2, band)))
    if not in_parts:
        insert(slices.parts[0], images, weights)
    orientation, shift, top, significant, log_sum, by_shift, cross, power = (
        to_numpy(xp.concatenate(parts)) for parts in zip(*found, strict=True))
    whole = ((operands.offsets[:, None, :] + shifts.coarse) ** 2).sum(-1)
    directions = np.bincount(grid.direction_of(np.arange(orientations)), to_numpy(mass))
    return BlockResult(
        orientation=orientation, child=np.zeros_like(orientation), shift=shifts.coarse[shift],
        top_weight=top.astype(np.float64), significant=significant, log_likelihood=log_sum,
        offset_power=(by_shift * whole).sum(1), cross=cross.astype(np.float64), power=power.astype(np.float64),
        direction_mass=directions)


def _scores(left: Array, ctf2: Array, slices: SliceParts) -> tuple[Array, Array]:
    """Return 2 Re⟨S c y, P⟩ (n, shifts, orientations) and ⟨c², |P|²⟩ (n, orientations), from all shifted images."""
    xp, n, orientations = namespace(left), len(ctf2), slices.reference.grid.size
    scores = xp.empty((n, len(left) // n, orientations), xp.float32)
    norm = xp.empty((n, orientations), xp.float32)
    for part, of_part in slices:
        scores[:, :, part] = (left @ of_part.stacked).reshape(n, len(left) // n, -1)
        norm[:, part] = ctf2 @ of_part.power
    scores *= 2.0
    return scores, norm
