"""The expectation step over particles of a set, block by block; shared by all refinements and classifications."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from scipy.spatial import cKDTree

from cryosnake.numerics import healpix
from cryosnake.numerics.backend import Array, is_gpu
from cryosnake.numerics.refine.grids.bands import full_band
from cryosnake.numerics.refine.grids.grids import PlaneGrid, SphereGrid
from cryosnake.numerics.refine.kernels.budget import budget, use_budget
from cryosnake.numerics.refine.search.expectation import BlockResult, best_scale, coarse_slices, search_everywhere
from cryosnake.numerics.refine.sums.maximisation import group_scales
from cryosnake.parallel.workers import share_out, workers_available
from cryosnake.programs.refinement.block import Block, prepare_block
from cryosnake.programs.refinement.device_images import image_blocks
from cryosnake.programs.refinement.outcomes import Found, outcomes_of
from cryosnake.programs.refinement.particles import ParticleSet
from cryosnake.programs.refinement.state import LEAST_NOISE, Statistics
from cryosnake.programs.refinement.step import Accumulated, ExpectationStep, Report, empty_accumulated

BLOCK = 256  # particles at a time on a CPU


def expect(step: ExpectationStep, sums: Array | None = None) -> Accumulated:
    """Run an expectation step; `sums` are zeros to be filled with back-projections, by default `step.empty_sums()`."""
    sums = step.empty_sums() if sums is None else sums
    outcomes = outcomes_of(step)
    workers = 1 if is_gpu(sums) else workers_available()
    parts = [sums[number % len(sums)][None] for number in range(workers)] if workers > 1 else [sums]
    total = empty_accumulated(step, sums)
    shares = [empty_accumulated(step, part, total.assigned) for part in parts]
    turns = [threading.Lock() for _ in sums]
    order = np.arange(len(step.rows))
    if isinstance(step.reference.grid, SphereGrid):
        order = _by_orientation(step.assignments.pose[step.rows])

    def work(worker: int, item: tuple[slice, Array], report: Report) -> None:
        where, images = item
        chosen, share = order[where], shares[worker]
        block = prepare_block(step, chosen, images)
        for found in outcomes(block, share.sums, turns[worker % len(turns)]):
            _record(share, step, block, chosen, found)
            report(len(found[0]))  # with many samples a block takes long, and an abort must not wait

    step.work.expect_rows(step.rows[order])
    size = _block_size(len(step.rows), step.work.block or BLOCK, workers)
    with use_budget(budget().divided(workers)):
        share_out(work, image_blocks(step.work, step.rows[order], size), workers, step.report)
    return _together(total, shares)


def _block_size(count: int, most: int, workers: int) -> int:
    """Return how many particles make a block, so that all workers get about the same amount of work."""
    rounds = max(1, -(-count // (most * workers)))
    return max(1, -(-count // (rounds * workers))) if workers > 1 else most


def _together(total: Accumulated, shares: Sequence[Accumulated]) -> Accumulated:
    """Return what all workers accumulated; each particle is one worker's."""
    added = ("noise", "cross", "power", "residual", "offset_power", "direction")
    return replace(total, **{name: sum(getattr(share, name) for share in shares) for name in added})


def _by_orientation(poses: np.ndarray, order: int = 3) -> np.ndarray:
    """Return the order of poses (n, 3, 3) in which neighbours have similar directions, so that they share slices."""
    _, pixel = cKDTree(healpix.directions(*healpix.pixel_angles(order, np.arange(healpix.pixel_count(order))))).query(
        poses[:, 2])
    return np.argsort(pixel, kind="stable")


def _record(total: Accumulated, step: ExpectationStep, block: Block, chosen: np.ndarray, found: Found) -> None:
    """Add the results for some particles of a block, whose places among those of the step are `chosen`."""
    part, outcome, grid = found
    where, images, assigned = chosen[part], (block.power[part], block.noise[part]), total.assigned
    total.add_fit(step, where, images, outcome.cross, outcome.power)
    total.offset_power += outcome.offset_power.sum()
    mass = outcome.direction_mass
    if step.plan.sigma > 0:  # angles have a Gaussian prior then; only the classes' shares are learnt
        assert isinstance(grid, SphereGrid)
        mass = grid.class_mass(mass)
    total.direction[: len(mass)] += mass
    assigned.pose[where] = _poses(grid, outcome)
    assigned.class_index[where] = grid.class_of(outcome.orientation)
    assigned.offset[where] = block.operands.offsets[part] + outcome.shift
    assigned.top_weight[where] = outcome.top_weight
    assigned.significant[where] = outcome.significant
    assigned.log_likelihood[where] = outcome.log_likelihood - 0.5 * (images[0] / images[1]).sum(1)


def _poses(grid: SphereGrid | PlaneGrid, outcome: BlockResult) -> np.ndarray:
    each = np.arange(len(outcome.child))
    if isinstance(grid, SphereGrid):
        return grid.child_matrices(outcome.orientation)[each, outcome.child]
    psi = np.radians(grid.child_angles(outcome.orientation)[each, outcome.child])
    matrix = np.zeros((len(psi), 3, 3))
    matrix[:, 0, 0] = matrix[:, 1, 1] = np.cos(psi)
    matrix[:, 0, 1], matrix[:, 1, 0] = np.sin(psi), -np.sin(psi)
    matrix[:, 2, 2] = 1.0
    return matrix


def reference_scale(step: ExpectationStep) -> float:
    """Return the factor that puts the step's reference on the particles' grey scale, by correlation with them.

    In place of a first iteration with correlation coefficients: each particle's best pose by correlation, which knows
    no scale, then least squares over all.
    """
    shifts = step.plan.shifts
    slices = coarse_slices(step.reference, full_band(step.particles.box).cut(step.plan.coarse_size))
    flat = np.zeros(step.reference.grid.size, np.float32)

    def terms(block: Block) -> tuple[float, float]:
        samples = search_everywhere(block.operands, slices, shifts, flat, correlation=True)
        return best_scale(block.operands, samples, slices, shifts)

    return fitted_scale(step, terms)


def fitted_scale(step: ExpectationStep, terms: Callable[[Block], tuple[float, float]]) -> float:
    """Return Σ⟨image, projection⟩ / Σ|projection|² over the step's particles, from both sums of a block; 0 for none."""
    cross = norm = 0.0
    for chosen, images in image_blocks(step.work, step.rows, step.work.block or BLOCK):
        part = terms(prepare_block(step, chosen, images))
        cross, norm = cross + part[0], norm + part[1]
    return cross / norm if norm > 0 else 0.0


def new_statistics(particles: ParticleSet, rows: np.ndarray, accumulated: Accumulated, old: Statistics,
                   ) -> tuple[Statistics, np.ndarray]:
    """Return the statistics for the next iteration, and the particles' norms (n,), from a step over `rows`."""
    filled = accumulated.counts > 0
    noise = old.noise.copy()
    noise[filled] = accumulated.noise[filled] / (accumulated.counts[filled, None] * np.bincount(
        full_band(particles.box).shell))
    noise = np.maximum(noise, LEAST_NOISE * noise.max(1, keepdims=True))
    norm = accumulated.assigned.norm * np.sqrt(2.0 * accumulated.residual) / old.norm_average
    norm = np.maximum(norm, 0.01 * np.median(norm))  # images almost without contrast leave no residual
    direction = old.direction
    if accumulated.direction.sum() > 0:
        direction = accumulated.direction + 1.0  # one extra particle everywhere: no direction is excluded
        direction = direction / direction.sum()
    return Statistics(
        noise=noise, scale=group_scales(accumulated.cross, accumulated.power, particles.group[rows], old.scale),
        norm_average=float(norm.mean()),
        offset_sigma=max(float(np.sqrt(0.5 * accumulated.offset_power / len(rows))), 0.3), direction=direction), norm
