"""The expectation step of InitialModel: over all samples while many are probable, then over significant ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cryosnake.numerics.refine.grids.references import MapReference
from cryosnake.numerics.refine.search.dense import dense_expectation, insert_outcome
from cryosnake.numerics.refine.search.expectation import coarse_slices
from cryosnake.programs.refinement.block import prepare_block
from cryosnake.programs.refinement.device_images import image_blocks
from cryosnake.programs.refinement.estep import expect
from cryosnake.programs.refinement.step import Accumulated, ExpectationStep, empty_accumulated

_DENSE_BLOCK = 512  # particles whose images are in memory at once


def expect_maps(step: ExpectationStep, reference: MapReference, temperature: float | None) -> Accumulated:
    """Run an expectation step with maps, the step's reference; over all samples where a temperature is given."""
    grid = reference.grid
    each = grid.size // grid.classes
    step = replace(step, log_prior=np.repeat(np.log(step.statistics.direction / each), each).astype(np.float32))
    if temperature is not None:
        return _expect_dense(step, reference, temperature)
    directions = np.zeros(grid.size // grid.psi_count)
    return expect(replace(step, statistics=replace(step.statistics, direction=directions)))


def _expect_dense(step: ExpectationStep, reference: MapReference, temperature: float) -> Accumulated:
    grid, band, shifts = reference.grid, step.band, step.plan.shifts
    slices = coarse_slices(reference, band)
    total = empty_accumulated(step, step.empty_sums())
    assigned = total.assigned
    for where, images in image_blocks(step.work, step.rows, step.work.block or _DENSE_BLOCK):
        block = prepare_block(step, where, images)
        outcome = dense_expectation(block.operands, slices, shifts, step.log_prior, temperature)
        insert_outcome(total.sums, outcome, grid, band)
        assigned.pose[where] = grid.matrices(outcome.orientation)
        assigned.class_index[where] = grid.class_of(outcome.orientation)
        assigned.offset[where] = block.operands.offsets + shifts.coarse[outcome.shift]
        assigned.significant[where] = np.rint(outcome.effective)
        assigned.top_weight[where], assigned.log_likelihood[where] = outcome.top_weight, outcome.log_likelihood
        change = outcome.residual(slices) * block.noise[:, : step.plan.size // 2 + 1].mean(0)
        total.noise[0] += block.power.sum(0)  # not by optics group: see `moved_statistics`
        total.noise[0, : len(change)] += change
        total.offset_power += outcome.offset_power
        total.direction += outcome.mass.reshape(grid.classes, -1).sum(1)
        step.report(where.stop)
    return total
