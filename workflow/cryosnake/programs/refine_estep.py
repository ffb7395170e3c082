"""The expectation step over a set of particles, block by block; shared by Class2D and Refine3D."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cryosnake.numerics.backend import Array, namespace, to_numpy
from cryosnake.numerics.refine.bands import Band, full_band
from cryosnake.numerics.refine.dispatch import parts_of_sums
from cryosnake.numerics.refine.expectation import (
    Operands,
    Outcome,
    Samples,
    best_scale,
    blocks_of,
    coarse_slices,
    expectation,
    search_everywhere,
    search_nearby,
)
from cryosnake.numerics.refine.grids import PlaneGrid, ShiftGrid, SphereGrid
from cryosnake.numerics.refine.images import fill_outside, fourier_pixels, shell_power, shift_images
from cryosnake.numerics.refine.references import Reference
from cryosnake.programs.device_images import image_blocks, images_on_device
from cryosnake.programs.particles import Particles
from cryosnake.programs.refine_state import Assignments, Statistics


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
    operands = Operands(masked[:, :count] * whiten, raw * whiten, ctf**2, offsets, statistics.offset_sigma)
    return _Block(rows, operands, to_numpy(shell_power(masked, band)), noise)


def _background(images: Array, rows: np.ndarray, plan: Pass) -> Array | None:
    """Noise with each image's own level outside the mask; None for zeros."""
    if plan.zero_mask:
        return None
    xp, outside = namespace(images), np.flatnonzero(plan.mask == 0)
    spread = images.reshape(len(images), -1)[:, xp.asarray(outside)].std(1) if outside.size else images.std((1, 2))
    rng = np.random.default_rng([plan.seed, int(rows[0])])
    return xp.asarray(rng.standard_normal(images.shape, np.float32)) * spread[:, None, None]


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
    whole = full_band(particles.box)
    band, coarse = whole.cut(plan.size), whole.cut(plan.coarse_size)
    slices = None if plan.sigma > 0 else coarse_slices(reference, coarse)
    gathered = _empty(particles, rows, statistics, sums)
    for chosen, images in image_blocks(particles, rows):
        block = prepare_block(particles, rows[chosen], state, statistics, plan, images)
        if slices is None:
            assert isinstance(reference.grid, SphereGrid)
            pairs = reference.grid.near(state.pose[block.rows], plan.sigma)
            samples = search_nearby(block.operands, reference, coarse, plan.shifts, *pairs)
        else:
            prior = log_prior if log_prior.ndim == 1 else log_prior[chosen]
            samples = search_everywhere(block.operands, slices, coarse, plan.shifts, prior, reduced=plan.tf32)
        for part in blocks_of(np.bincount(to_numpy(samples.particle), minlength=len(block.rows))):
            outcome = expectation(block.operands.part(part), _of_part(samples, part), reference, band, plan.shifts,
                                  gathered.sums)
            _record(particles, block, part, chosen.start, outcome, reference.grid, state, plan, gathered)
        report(chosen.stop)
    return gathered


def _of_part(samples: Samples, part: slice) -> Samples:
    mine = namespace(samples.particle).flatnonzero((samples.particle >= part.start) & (samples.particle < part.stop))
    taken = samples.take(mine)
    return Samples(taken.orientation, taken.particle - part.start, taken.shift, taken.log_prior)


def _empty(particles: Particles, rows: np.ndarray, statistics: Statistics, sums: Array) -> Gathered:
    zeros = np.zeros(len(rows))
    counts = np.bincount(particles.optics[rows], minlength=len(statistics.noise))
    return Gathered(sums, np.zeros_like(statistics.noise), counts, zeros.copy(), zeros.copy(), zeros.copy(), 0.0,
                    np.zeros_like(statistics.direction))


def _record(particles: Particles, block: _Block, part: slice, begin: int, outcome: Outcome,
            grid: SphereGrid | PlaneGrid, state: Assignments, plan: Pass, gathered: Gathered) -> None:
    rows = block.rows[part]
    where = slice(begin + part.start, begin + part.stop)
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
    if plan.sigma == 0:
        gathered.direction[: len(outcome.direction_mass)] += outcome.direction_mass
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
    for chosen, images in image_blocks(particles, rows[:most]):
        block = prepare_block(particles, rows[:most][chosen], state, statistics, plan, images)
        samples = search_everywhere(block.operands, slices, coarse, plan.shifts, flat, correlation=True)
        part = best_scale(block.operands, samples, slices, coarse, plan.shifts)
        cross, norm = cross + part[0], norm + part[1]
    return cross / norm if norm > 0 else 0.0


def thread_sums(shape: tuple[int, ...], like: Array) -> Array:
    """Return one volume of zeros per thread; where `like` is on a GPU one, with four numbers per voxel there."""
    xp, components = namespace(like), 3 if isinstance(like, np.ndarray) else 4
    return xp.zeros((parts_of_sums(like), *shape[:-1], components), xp.float32)


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
