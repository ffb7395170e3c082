"""The expectation step over a set of particles, block by block; shared by Class2D and Refine3D."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial import cKDTree

from cryosnake.numerics import healpix
from cryosnake.numerics.backend import Array, is_gpu, namespace
from cryosnake.numerics.refine.grids.bands import Band, full_band
from cryosnake.numerics.refine.grids.grids import PlaneGrid, SphereGrid
from cryosnake.numerics.refine.grids.references import Reference, empty_map_sums
from cryosnake.numerics.refine.kernels.budget import budget, use_budget
from cryosnake.numerics.refine.kernels.dispatch import parts_of_sums
from cryosnake.numerics.refine.search.expectation import BlockResult, best_scale, coarse_slices, search_everywhere
from cryosnake.parallel.workers import share_out, workers_available
from cryosnake.programs.refinement.block import Block, SearchPlan, prepare_block
from cryosnake.programs.refinement.device_images import image_blocks
from cryosnake.programs.refinement.outcomes import outcomes_of
from cryosnake.programs.refinement.particles import Particles
from cryosnake.programs.refinement.state import Assignments, Statistics

BLOCK = 256  # particles at a time on a CPU


@dataclass
class Accumulated:
    """Sums over the particles of an expectation step.

    Attributes
    ----------
    sums : (threads, …) float32
        Back-projections; on the GPU when that is where they were made.
    noise : (optics groups, shells) float64
        Summed residual power.
    counts : (optics groups,) int64
        Particles behind it.
    cross, power : (n,) float64
        Per particle, over the shells with signal: see `maximisation.group_scales`.
    residual : (n,) float64
        Per particle, summed residual power of the half plane.
    offset_power : float
        Summed expectation of the squared whole shift, pixels².
    direction : (directions or classes,) float64
    """

    sums: Array
    noise: np.ndarray
    counts: np.ndarray
    cross: np.ndarray
    power: np.ndarray
    residual: np.ndarray
    offset_power: float
    direction: np.ndarray


def expect(particles: Particles, rows: np.ndarray, state: Assignments, statistics: Statistics, reference: Reference,
           plan: SearchPlan, log_prior: np.ndarray, sums: Array, report: Callable[[int], None]) -> Accumulated:
    """Run the expectation step over `rows`; updates `state` in place and returns the sums.

    Parameters
    ----------
    log_prior : (orientations,) or (n, orientations) float32
        Prior of global searches; (n, …) is by row.
    sums : (threads, …) float32
        Zeros, to be filled with back-projections.
    report
        Called with the number of particles done after each block; may raise to stop.
    """
    band = full_band(particles.box).cut(plan.size)
    outcomes = outcomes_of(particles, rows, state, statistics, reference, plan, log_prior, band)
    workers = 1 if is_gpu(sums) else workers_available()
    parts = [sums[number % len(sums)][None] for number in range(workers)] if workers > 1 else [sums]
    shares = [empty_gathered(particles, rows, statistics, part) for part in parts]
    turns = [threading.Lock() for _ in sums]
    order = _by_orientation(state.pose[rows]) if isinstance(reference.grid, SphereGrid) else np.arange(len(rows))

    def work(worker: int, item: tuple[slice, Array], tell: Callable[[int], None]) -> None:
        where, images = item
        chosen, gathered, turn = order[where], shares[worker], turns[worker % len(turns)]
        block = prepare_block(particles, rows[chosen], state, statistics, plan, images)
        for places, outcome, grid in outcomes(block, chosen, gathered.sums, turn):
            _record(particles, block, places, chosen[places], outcome, grid, state, plan, gathered)
            tell(len(places))  # where samples are many a block takes long, and an abort must not wait

    particles.follow(rows[order])
    size = _block_size(len(rows), particles.block or BLOCK, workers)
    with use_budget(budget().divided(workers)):
        share_out(work, image_blocks(particles, rows[order], size), workers, report)
    return _together(shares, sums)


def _block_size(count: int, most: int, workers: int) -> int:
    """Return how many particles make a block, so that all workers get about as much to do."""
    rounds = max(1, -(-count // (most * workers)))
    return max(1, -(-count // (rounds * workers))) if workers > 1 else most


def _together(shares: Sequence[Accumulated], sums: Array) -> Accumulated:
    """Return what all workers gathered; each particle is one worker's."""
    first = shares[0]
    if len(shares) == 1:
        return first
    added = {name: sum(getattr(share, name) for share in shares)
             for name in ("noise", "cross", "power", "residual", "offset_power", "direction")}
    return replace(first, sums=sums, **added)


def _by_orientation(poses: np.ndarray, order: int = 3) -> np.ndarray:
    """Return the order of poses (n, 3, 3) in which neighbours have like directions, so that they share slices."""
    _, pixel = cKDTree(healpix.directions(*healpix.pixel_angles(order, np.arange(healpix.pixel_count(order))))).query(
        poses[:, 2])
    return np.argsort(pixel, kind="stable")


def empty_gathered(particles: Particles, rows: np.ndarray, statistics: Statistics, sums: Array) -> Accumulated:
    """Return what was gathered over `rows` before the first of them."""
    zeros = np.zeros(len(rows))
    counts = np.bincount(particles.optics[rows], minlength=len(statistics.noise))
    return Accumulated(sums, np.zeros_like(statistics.noise), counts, zeros.copy(), zeros.copy(), zeros.copy(), 0.0,
                    np.zeros_like(statistics.direction))


def _record(particles: Particles, block: Block, part: np.ndarray, where: np.ndarray, outcome: BlockResult,
            grid: SphereGrid | PlaneGrid, state: Assignments, plan: SearchPlan, gathered: Accumulated) -> None:
    rows = block.rows[part]
    gather_fit(gathered, particles.optics[rows], where, (block.power[part], block.noise[part]), outcome.cross,
               outcome.power, plan.signal)
    gathered.offset_power += outcome.offset_power.sum()
    mass = outcome.direction_mass
    if plan.sigma > 0:  # angles have a Gaussian prior then; only the classes' shares are learnt
        assert isinstance(grid, SphereGrid)
        mass = grid.class_mass(mass)
    gathered.direction[: len(mass)] += mass
    state.pose[rows] = _poses(grid, outcome)
    state.class_index[rows] = grid.class_of(outcome.orientation)
    state.offset[rows] = block.operands.offsets[part] + outcome.shift
    state.top_weight[rows] = outcome.top_weight
    state.significant[rows] = outcome.significant
    state.log_likelihood[rows] = outcome.log_likelihood - 0.5 * (block.power[part] / block.noise[part]).sum(1)


def gather_fit(gathered: Accumulated, optics: np.ndarray, where: np.ndarray | slice, images: tuple[np.ndarray,
                                                                                                   np.ndarray],
               cross: np.ndarray, power: np.ndarray, signal: np.ndarray) -> None:
    """Add what is left of particles' power beside their projections, and how strong these are.

    Parameters
    ----------
    optics : (n,) int64
    where
        The places of the particles among those gathered over.
    images : (n, all shells) each
        Power of the images, and of the noise.
    cross, power : (n, shells)
        Of images with projections, and of projections, over the noise; in the band.
    signal : (all shells,) bool
        Shells that intensities are estimated from.
    """
    shells = cross.shape[1]
    residual = images[0].copy()
    residual[:, :shells] += images[1][:, :shells] * (power - 2.0 * cross)
    residual = np.maximum(residual, 0.0)
    np.add.at(gathered.noise, optics, residual)
    gathered.residual[where] = residual.sum(1)
    gathered.cross[where] = cross[:, signal[:shells]].sum(1)
    gathered.power[where] = power[:, signal[:shells]].sum(1)


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


def reference_scale(particles: Particles, rows: np.ndarray, state: Assignments, statistics: Statistics,
                    reference: Reference, plan: SearchPlan, most: int = 500) -> float:
    """Return the factor that puts a reference on the particles' grey scale, by correlation with some of them.

    In place of a first iteration with correlation coefficients: each particle's best pose by correlation, which knows
    no scale, then least squares over all.
    """
    coarse = full_band(particles.box).cut(plan.coarse_size)
    slices = coarse_slices(reference, coarse)
    flat = np.zeros(reference.grid.size, np.float32)
    cross = norm = 0.0
    for chosen, images in image_blocks(particles, rows[:most], BLOCK):
        block = prepare_block(particles, rows[:most][chosen], state, statistics, plan, images)
        samples = search_everywhere(block.operands, slices, coarse, plan.shifts, flat, correlation=True)
        part = best_scale(block.operands, samples, slices, coarse, plan.shifts)
        cross, norm = cross + part[0], norm + part[1]
    return cross / norm if norm > 0 else 0.0


def thread_sums(shape: tuple[int, ...], like: Array | None = None) -> Array:
    """Return one array of zeros per thread; where `like` is on a GPU one, with four numbers per voxel there."""
    like = np.empty(0) if like is None else like
    components = 4 if is_gpu(like) else 3
    return namespace(like).zeros((parts_of_sums(like), *shape[:-1], components), np.float32)


def map_sums(classes: int, radius: int, like: Array) -> Array:
    """Return zeros for the sums of maps: a volume per thread, or one that the threads share where that is too much.

    In memory the class comes first, so that the volumes of one class, which a kernel takes, are contiguous.
    """
    one = empty_map_sums(1, radius)
    if is_gpu(like):
        return thread_sums((classes, *one.shape[1:]), like)
    threads = own_volumes(classes * one.nbytes, parts_of_sums(like))
    return np.zeros((classes, threads, *one.shape[1:]), np.float32).swapaxes(0, 1)


def own_volumes(size: int, threads: int) -> int:
    """Return how many volumes of `size` bytes there are: one for each thread, or one that all share."""
    return threads if size * threads <= budget().sums else 1


def all_threads(sums: Array) -> Array:
    """Return the sums (1, …) of all threads (threads, …)."""
    return sums.sum(0, keepdims=True) if len(sums) > 1 else sums


def update_statistics(particles: Particles, rows: np.ndarray, gathered: Accumulated, statistics: Statistics,
                      state: Assignments, band: Band, scales: np.ndarray) -> Statistics:
    """Return the statistics for the next iteration, and set the particles' norms."""
    pixels = np.bincount(band.shell)
    filled = gathered.counts > 0
    noise = statistics.noise.copy()
    noise[filled] = gathered.noise[filled] / (gathered.counts[filled, None] * pixels)
    noise = np.maximum(noise, 1e-4 * noise.max(1, keepdims=True))
    norm = state.norm[rows] * np.sqrt(2.0 * gathered.residual) / statistics.norm_average
    state.norm[rows] = np.maximum(norm, 0.01 * np.median(norm))  # images almost without contrast leave no residual
    average = float(state.norm[rows].mean())
    sigma = max(float(np.sqrt(0.5 * gathered.offset_power / len(rows))), 0.3)
    direction = statistics.direction
    if gathered.direction.sum() > 0:
        direction = gathered.direction + 1.0  # one particle more everywhere: no direction is ruled out
        direction = direction / direction.sum()
    return Statistics(noise, scales, average, sigma, direction)
