"""The expectation step of Class3D: all classes at all or at known poses, or each particle in a sampled class.

All classes are equally likely beforehand: with their shares as prior the largest one attracts what fits two of them,
and in the end all particles.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cryosnake.numerics.refine.classes.class_maps import equal_classes, log_shares
from cryosnake.numerics.refine.grids.references import MapReference
from cryosnake.numerics.refine.search.fixed_poses import classify_at_poses, scale_terms
from cryosnake.programs.refinement.block import prepare_block
from cryosnake.programs.refinement.device_images import image_blocks
from cryosnake.programs.refinement.estep import BLOCK, expect, fitted_scale
from cryosnake.programs.refinement.sampled import expect_sampled
from cryosnake.programs.refinement.step import Accumulated, ExpectationStep, empty_accumulated


def expect_everywhere(step: ExpectationStep, reference: MapReference) -> Accumulated:
    """Search all classes' maps, the step's reference; the statistics' `direction` is the prior within each class."""
    prior = log_shares(equal_classes(step.statistics.direction, len(reference.transforms)))
    if step.plan.sigma > 0:
        grid = replace(reference.grid, log_shares=tuple(prior.tolist()))
        return expect(replace(step, reference=replace(reference, grid=grid)))
    return expect(replace(step, log_prior=np.repeat(prior, reference.grid.psi_count).astype(np.float32)))


def expect_in_sampled(step: ExpectationStep, reference: MapReference, sampled: np.ndarray) -> Accumulated:
    """Search each class's own particles with its map alone; `sampled` (n,) are the classes of the step's particles."""
    grid = replace(reference.grid, classes=1)
    if step.plan.sigma == 0:
        share = step.statistics.direction.reshape(len(reference.transforms), -1).sum(0)
        step = replace(step, log_prior=np.repeat(log_shares(share), grid.psi_count).astype(np.float32))

    def alone(number: int) -> MapReference:
        return replace(reference, transforms=reference.transforms[number : number + 1], grid=grid)

    return expect_sampled(step, sampled, alone)


def expect_at_poses(step: ExpectationStep, sampled: np.ndarray | None) -> Accumulated:
    """Weigh the classes of every particle at its own pose and offset, unchanged; `sampled` allows one class only."""
    transforms, before = step.reference.transforms, step.assignments
    total = empty_accumulated(step, step.empty_sums())
    assigned = total.assigned
    step.work.expect_rows(step.rows)
    for where, images in image_blocks(step.work, step.rows, step.work.block or BLOCK):
        mine = step.rows[where]
        block = prepare_block(step, where, images)
        prior = log_shares(equal_classes(step.statistics.direction, len(transforms)))
        if sampled is not None:
            prior = log_shares((sampled[where, None] == np.arange(len(transforms))).astype(np.float64))
        found = classify_at_poses(block.operands, transforms, before.pose[mine],
                                  before.offset[mine] - block.operands.offsets, step.band, prior, total.sums)
        total.add_fit(step, where, (block.power, block.noise), found.cross, found.power)
        total.offset_power += (before.offset[mine] ** 2).sum()
        total.direction += found.weights.sum(0)
        assigned.class_index[where], assigned.top_weight[where] = found.weights.argmax(1), found.weights.max(1)
        assigned.significant[where] = (found.weights > 0).sum(1)
        assigned.log_likelihood[where] = found.log_likelihood - 0.5 * (block.power / block.noise).sum(1)
        step.report(where.stop)
    return total


def scale_at_poses(step: ExpectationStep) -> float:
    """Return the factor that puts a reference on the particles' grey scale: least squares at their present poses."""
    before = step.assignments
    return fitted_scale(step, lambda block: scale_terms(
        block.operands, step.reference.transforms[0], before.pose[block.rows],
        before.offset[block.rows] - block.operands.offsets, step.band))
