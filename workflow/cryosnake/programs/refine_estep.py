"""The expectation step over a set of particles, block by block; shared by Class2D and Refine3D."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from cryosnake.numerics import healpix
from cryosnake.numerics.backend import Array, is_gpu, namespace, to_numpy
from cryosnake.numerics.refine.bands import Band, full_band
from cryosnake.numerics.refine.budget import budget, use_budget
from cryosnake.numerics.refine.dense_block import dense_block
from cryosnake.numerics.refine.dispatch import parts_of_sums
from cryosnake.numerics.refine.expectation import (
    CoarseSlices,
    Operands,
    Outcome,
    Samples,
    best_scale,
    blocks_of,
    coarse_slices,
    expectation,
    search_everywhere,
)
from cryosnake.numerics.refine.grids import PlaneGrid, ShiftGrid, SphereGrid
from cryosnake.numerics.refine.images import fill_outside, fourier_pixels, shell_power, shift_images
from cryosnake.numerics.refine.references import MapReference, Reference, empty_map_sums
from cryosnake.numerics.refine.schedule import coarse_size
from cryosnake.numerics.refine.search import global_search, search_all, search_levels, search_local
from cryosnake.parallel.workers import share_out, workers_available
from cryosnake.programs.device_images import image_blocks, images_on_device
from cryosnake.programs.particles import Particles
from cryosnake.programs.refine_state import Assignments, Statistics

BLOCK = 256  # particles at a time on a CPU
_MANY = 500.0  # significant samples, from which on to take all is cheaper than to choose


@dataclass(frozen=True)
class Pass:
    """How an iteration searches.

    Attributes
    ----------
    size, coarse_size : int
        Fourier pixels of the fine and the coarse pass.
    shifts : ShiftGrid
    sigma : float
        Standard deviation of local angular searches, degrees; 0 searches everywhere.
    use_ctf, intact_first_peak, zero_mask : bool
    mask : (box, box) float32
        Soft disc about the particle.
    signal : (shells,) bool
        Shells with enough signal to estimate intensities from.
    seed : int
        For the noise outside the mask, when it is not set to 0.
    diameter : float
        Å, the particle's: the levels of a search in 3D see what their steps allow for it.
    tf32 : bool
        Let a GPU round the operands of the global coarse search to TF32.
    """

    size: int
    coarse_size: int
    shifts: ShiftGrid
    sigma: float
    use_ctf: bool
    intact_first_peak: bool
    zero_mask: bool
    mask: np.ndarray
    signal: np.ndarray
    seed: int = 0
    diameter: float = 0.0
    tf32: bool = True


@dataclass
class Gathered:
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


@dataclass(frozen=True)
class _Block:
    rows: np.ndarray
    operands: Operands
    power: np.ndarray  # (n, shells) of the masked images
    noise: np.ndarray  # (n, shells)


def prepare_block(particles: Particles, rows: np.ndarray, state: Assignments, statistics: Statistics, plan: Pass,
                  images: Array | None = None) -> _Block:
    """Read (unless given), centre, normalise, mask, transform and whiten the images of `rows`."""
    band = full_band(particles.box)
    count = band.count(plan.size)
    offsets = np.rint(state.offset[rows])
    images = shift_images(images_on_device(particles, rows) if images is None else images, offsets)
    xp = namespace(images)
    images *= xp.asarray((statistics.norm_average / state.norm[rows]).astype(np.float32))[:, None, None]
    mask = xp.asarray(plan.mask)
    masked = fourier_pixels(fill_outside(images, mask, _background(images, rows, plan)), band)
    raw = fourier_pixels(images, band.cut(plan.size))
    noise = statistics.noise[particles.optics[rows]]
    whiten = xp.asarray((1.0 / np.sqrt(noise)).astype(np.float32))[:, xp.asarray(band.shell[:count])]
    ctf = xp.ones((len(rows), count), xp.float32)
    if plan.use_ctf:
        ctf = particles.ctf(rows, band.cut(plan.size), plan.intact_first_peak, like=images)
    ctf *= whiten * xp.asarray(statistics.scale[particles.group[rows], None].astype(np.float32))
    whiten *= ctf
    operands = Operands(masked[:, :count] * whiten, raw * whiten, ctf**2, offsets, statistics.offset_sigma, rows)
    return _Block(rows, operands, to_numpy(shell_power(masked, band)), noise)


def _background(images: Array, rows: np.ndarray, plan: Pass) -> Array | None:
    """Noise with each image's own level outside the mask; None for zeros."""
    if plan.zero_mask:
        return None
    xp, outside = namespace(images), np.flatnonzero(plan.mask == 0)
    spread = images.reshape(len(images), -1)[:, xp.asarray(outside)].std(1) if outside.size else images.std((1, 2))
    noise = np.empty(images.shape, np.float32)
    for image, row in zip(noise, rows.tolist(), strict=True):  # by particle: the same whatever it is computed with
        np.random.default_rng([plan.seed, row]).standard_normal(out=image, dtype=np.float32)
    return xp.asarray(noise) * spread[:, None, None]


def expect(particles: Particles, rows: np.ndarray, state: Assignments, statistics: Statistics, reference: Reference,
           plan: Pass, log_prior: np.ndarray, sums: Array, report: Callable[[int], None]) -> Gathered:
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
    outcomes = _outcomes(particles, rows, state, reference, plan, log_prior, band)
    workers = 1 if is_gpu(sums) else workers_available()
    parts = [sums[number % len(sums)][None] for number in range(workers)] if workers > 1 else [sums]
    shares = [empty_gathered(particles, rows, statistics, part) for part in parts]
    turns = [threading.Lock() for _ in sums]
    order = _by_orientation(state.pose[rows]) if isinstance(reference.grid, SphereGrid) else np.arange(len(rows))

    def work(worker: int, item: tuple[slice, Array], tell: Callable[[int], None]) -> None:
        where, images = item
        chosen, gathered, turn = order[where], shares[worker], turns[worker % len(turns)]
        block = prepare_block(particles, rows[chosen], state, statistics, plan, images)
        for part, outcome in outcomes(block, chosen, gathered.sums, turn):
            _record(particles, block, part, chosen[part], outcome, reference.grid, state, plan, gathered)
            tell(part.stop - part.start)  # where samples are many a block takes long, and an abort must not wait

    particles.follow(rows[order])
    size = _block_size(len(rows), particles.block or BLOCK, workers)
    with use_budget(budget().divided(workers)):
        share_out(work, image_blocks(particles, rows[order], size), workers, report)
    return _together(shares, sums)


_Turn = AbstractContextManager[Any]
_Outcomes = Callable[[_Block, np.ndarray, Array, _Turn], Iterator[tuple[slice, Outcome]]]  # of parts of a block


def _outcomes(particles: Particles, rows: np.ndarray, state: Assignments, reference: Reference, plan: Pass,
              log_prior: np.ndarray, band: Band) -> _Outcomes:
    """Return what computes a block: by its significant samples, or, where nearly all are, as a whole."""
    slices = _all_slices(reference, plan, band, state.significant[rows])
    if slices is not None:

        def whole(block: _Block, places: np.ndarray, sums: Array, turn: _Turn) -> Iterator[tuple[slice, Outcome]]:
            prior = log_prior if log_prior.ndim == 1 else log_prior[places]
            outcome = _dense(block.operands, slices, reference, band, plan.shifts, prior, sums, turn)
            yield slice(0, len(places)), outcome

        return whole
    search = _searcher(particles, state, reference, plan, log_prior)

    def searched(block: _Block, places: np.ndarray, sums: Array, turn: _Turn) -> Iterator[tuple[slice, Outcome]]:
        samples = search(block.rows, places, block.operands)
        for part in blocks_of(np.bincount(to_numpy(samples.particle), minlength=len(block.rows))):
            yield part, expectation(block.operands.part(part), samples.of_particles(part), reference, band,
                                    plan.shifts, sums, turn)

    return searched


def _block_size(count: int, most: int, workers: int) -> int:
    """Return how many particles make a block, so that all workers get about as much to do."""
    rounds = max(1, -(-count // (most * workers)))
    return max(1, -(-count // (rounds * workers))) if workers > 1 else most


def _together(shares: Sequence[Gathered], sums: Array) -> Gathered:
    """Return what all workers gathered; each particle is one worker's."""
    first = shares[0]
    if len(shares) == 1:
        return first
    added = {name: sum(getattr(share, name) for share in shares)
             for name in ("noise", "cross", "power", "residual", "offset_power", "direction")}
    return replace(first, sums=sums, **added)


def _all_slices(reference: Reference, plan: Pass, band: Band, significant: np.ndarray) -> CoarseSlices | None:
    """Return the slices at all orientations where a step without oversampling is better done as a whole, else None.

    That is while a particle has many significant samples, or none that are known. On a GPU the search is cheap enough.
    """
    oversampled = reference.grid.children > 1 or plan.shifts.sub.shape[1] > 1
    if oversampled or plan.coarse_size < plan.size or is_gpu(reference.transforms):
        return None
    return coarse_slices(reference, band) if (significant == 0).any() or significant.mean() > _MANY else None


def _dense(operands: Operands, slices: CoarseSlices, reference: Reference, band: Band, shifts: ShiftGrid,
           log_prior: np.ndarray, sums: Array, turn: _Turn) -> Outcome:
    outcome, images, weights = dense_block(operands, slices, band, shifts, log_prior, reference.grid)
    pixels, numbers = band.kx.size, np.arange(len(weights))
    with turn:
        reference.insert(sums, numbers, numbers, (np.ascontiguousarray(images[:, :pixels]),
                                                  np.ascontiguousarray(images[:, pixels:])), weights, band)
    return outcome


_Search = Callable[[np.ndarray, np.ndarray, Operands], Samples]  # rows, their places in the set, operands


def _searcher(particles: Particles, state: Assignments, reference: Reference, plan: Pass, log_prior: np.ndarray,
              ) -> _Search:
    """Return what finds the significant coarse samples of a block."""
    whole = full_band(particles.box)
    if isinstance(reference, MapReference) and log_prior.ndim == 1:

        def band_of(step: float) -> Band:
            return whole.cut(coarse_size(step, plan.diameter, particles.pixel_size, whole.box, plan.size, False))

        levels = search_levels(reference, band_of)
        if plan.sigma > 0:
            return lambda rows, places, operands: search_local(operands, levels, plan.shifts, state.pose[rows],
                                                               plan.sigma)
        everywhere = global_search(levels, log_prior)
        return lambda rows, places, operands: search_all(operands, everywhere, plan.shifts, plan.tf32)
    coarse = whole.cut(plan.coarse_size)
    slices = coarse_slices(reference, coarse)
    return lambda rows, places, operands: search_everywhere(
        operands, slices, coarse, plan.shifts, log_prior if log_prior.ndim == 1 else log_prior[places],
        reduced=plan.tf32)


def _by_orientation(poses: np.ndarray, order: int = 3) -> np.ndarray:
    """Return the order of poses (n, 3, 3) in which neighbours have like directions, so that they share slices."""
    _, pixel = cKDTree(healpix.directions(*healpix.pixel_angles(order, np.arange(healpix.pixel_count(order))))).query(
        poses[:, 2])
    return np.argsort(pixel, kind="stable")


def empty_gathered(particles: Particles, rows: np.ndarray, statistics: Statistics, sums: Array) -> Gathered:
    """Return what was gathered over `rows` before the first of them."""
    zeros = np.zeros(len(rows))
    counts = np.bincount(particles.optics[rows], minlength=len(statistics.noise))
    return Gathered(sums, np.zeros_like(statistics.noise), counts, zeros.copy(), zeros.copy(), zeros.copy(), 0.0,
                    np.zeros_like(statistics.direction))


def _record(particles: Particles, block: _Block, part: slice, where: np.ndarray, outcome: Outcome,
            grid: SphereGrid | PlaneGrid, state: Assignments, plan: Pass, gathered: Gathered) -> None:
    rows = block.rows[part]
    shells = outcome.cross.shape[1]
    residual = block.power[part].copy()
    residual[:, :shells] += block.noise[part, :shells] * (outcome.power - 2.0 * outcome.cross)
    residual = np.maximum(residual, 0.0)
    np.add.at(gathered.noise, particles.optics[rows], residual)
    gathered.residual[where] = residual.sum(1)
    signal = plan.signal[:shells]
    gathered.cross[where] = outcome.cross[:, signal].sum(1)
    gathered.power[where] = outcome.power[:, signal].sum(1)
    gathered.offset_power += outcome.offset_power.sum()
    mass = outcome.direction_mass
    if plan.sigma > 0:  # angles have a Gaussian prior then; only the classes' shares are learnt
        assert isinstance(grid, SphereGrid)
        mass = grid.class_mass(mass)
    gathered.direction[: len(mass)] += mass
    state.pose[rows] = _poses(grid, outcome)
    state.klass[rows] = grid.class_of(outcome.orientation)
    state.offset[rows] = block.operands.offsets[part] + outcome.shift
    state.top_weight[rows] = outcome.top_weight
    state.significant[rows] = outcome.significant
    state.log_likelihood[rows] = outcome.log_likelihood - 0.5 * (block.power[part] / block.noise[part]).sum(1)


def _poses(grid: SphereGrid | PlaneGrid, outcome: Outcome) -> np.ndarray:
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
                    reference: Reference, plan: Pass, most: int = 500) -> float:
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


def update_statistics(particles: Particles, rows: np.ndarray, gathered: Gathered, statistics: Statistics,
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
