"""The expectation step of Class3D: all classes at all poses, at known poses, or each particle in a drawn class."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from cryosnake.numerics.backend import Array
from cryosnake.numerics.refine.classes.class_maps import log_shares
from cryosnake.numerics.refine.grids.bands import full_band
from cryosnake.numerics.refine.grids.references import MapReference
from cryosnake.numerics.refine.search.fixed_poses import classify_at_poses
from cryosnake.programs.refinement.block import SearchPlan, prepare_block
from cryosnake.programs.refinement.device_images import image_blocks
from cryosnake.programs.refinement.estep import (
    BLOCK,
    Accumulated,
    all_threads,
    empty_gathered,
    expect,
    gather_fit,
    map_sums,
)
from cryosnake.programs.refinement.particles import Particles
from cryosnake.programs.refinement.sampled import expect_drawn
from cryosnake.programs.refinement.state import Assignments, Statistics

Report = Callable[[int], None]


def gather(particles: Particles, rows: np.ndarray, state: Assignments, statistics: Statistics, reference: MapReference,
           plan: SearchPlan, align: bool, seeds: np.ndarray | None, report: Report) -> Accumulated:
    """Run the expectation step over the particles `rows`; updates `state` in place and returns the sums (1, …).

    Parameters
    ----------
    statistics
        Its `direction` is the prior of class · directions + direction, or of the classes.
    reference
        All classes' maps.
    align : bool
        False takes each particle at its pose and offset, in every class.
    seeds : (n,) int64 or None
        The class that each particle of the set must go to, in the first iteration of classes that all start from one
        map.
    """
    sums = map_sums(len(reference.transforms), plan.size // 2, reference.transforms)
    if not align:
        found = _at_poses(particles, rows, state, statistics, reference.transforms, plan, seeds, sums, report)
    elif seeds is not None:
        found = _drawn(particles, rows, state, statistics, reference, plan, seeds, sums, report)
    else:
        found = _searched(particles, rows, state, statistics, reference, plan, sums, report)
    found.sums = all_threads(found.sums)
    return found


def _searched(particles: Particles, rows: np.ndarray, state: Assignments, statistics: Statistics,
              reference: MapReference, plan: SearchPlan, sums: Array, report: Report) -> Accumulated:
    prior = log_shares(statistics.direction)
    if plan.sigma > 0:
        shares = tuple(prior.tolist())
        reference = replace(reference, grid=replace(reference.grid, log_shares=shares))
        prior = np.zeros(0)
    else:
        prior = np.repeat(prior, reference.grid.psi_count)
    return expect(particles, rows, state, statistics, reference, plan, prior.astype(np.float32), sums, report)


def _drawn(particles: Particles, rows: np.ndarray, state: Assignments, statistics: Statistics, reference: MapReference,
           plan: SearchPlan, seeds: np.ndarray, sums: Array, report: Report) -> Accumulated:
    """Search each class's own particles with its map alone: no dearer than one class."""
    classes = len(reference.transforms)
    grid, prior = replace(reference.grid, classes=1), np.zeros(0, np.float32)
    if plan.sigma == 0:
        share = statistics.direction.reshape(classes, -1).sum(0)
        prior = np.repeat(log_shares(share), grid.psi_count).astype(np.float32)

    def alone(number: int) -> MapReference:
        return replace(reference, transforms=reference.transforms[number : number + 1], grid=grid)

    return expect_drawn(particles, rows, seeds[rows], state, statistics, alone, prior, plan, sums, report)


def _at_poses(particles: Particles, rows: np.ndarray, state: Assignments, statistics: Statistics, transforms: Array,
              plan: SearchPlan, seeds: np.ndarray | None, sums: Array, report: Report) -> Accumulated:
    """Weigh the classes of every particle at its own pose and offset, which stay."""
    band = full_band(particles.box).cut(plan.size)
    total = empty_gathered(particles, rows, statistics, sums)
    particles.follow(rows)
    for where, images in image_blocks(particles, rows, particles.block or BLOCK):
        mine = rows[where]
        block = prepare_block(particles, mine, state, statistics, plan, images)
        prior = log_shares(statistics.direction)
        if seeds is not None:
            prior = log_shares((seeds[mine, None] == np.arange(len(transforms))).astype(np.float64))
        found = classify_at_poses(block.operands, transforms, state.pose[mine],
                                  state.offset[mine] - block.operands.offsets, band, prior, sums)
        gather_fit(total, particles.optics[mine], where, (block.power, block.noise), found.cross, found.power,
                   plan.signal)
        total.offset_power += (state.offset[mine] ** 2).sum()
        total.direction += found.weights.sum(0)
        state.class_index[mine], state.top_weight[mine] = found.weights.argmax(1), found.weights.max(1)
        state.significant[mine] = (found.weights > 0).sum(1)
        state.log_likelihood[mine] = found.log_likelihood - 0.5 * (block.power / block.noise).sum(1)
        report(where.stop)
    return total
