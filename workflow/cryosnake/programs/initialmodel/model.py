"""The state of an ab initio reconstruction, and what one mini-batch does to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from cryosnake.numerics.backend import Array, to_device
from cryosnake.numerics.refine.grids.bands import full_band
from cryosnake.numerics.refine.grids.grids import SphereGrid, shift_grid, sphere_grid
from cryosnake.numerics.refine.grids.images import fourier_pixels, soft_disc
from cryosnake.numerics.refine.grids.references import MapReference, map_reference
from cryosnake.numerics.refine.search.dense import dense_expectation, insert_outcome
from cryosnake.numerics.refine.search.expectation import coarse_slices
from cryosnake.numerics.refine.search.schedule import coarse_size
from cryosnake.numerics.refine.sums.maximisation import finish_sums, regularised_map
from cryosnake.numerics.refine.sums.online import Stage, halves_ssnr, random_sums, resized_sums
from cryosnake.numerics.symmetry import operators
from cryosnake.numerics.symmetry_axes import Axes, symmetrised
from cryosnake.parallel.world import lead
from cryosnake.programs.refinement.block import SearchPlan, prepare_block
from cryosnake.programs.refinement.device_images import image_blocks
from cryosnake.programs.refinement.disc import MASK_EDGE, image_mask
from cryosnake.programs.refinement.estep import (
    Accumulated,
    all_threads,
    empty_gathered,
    expect,
    map_sums,
)
from cryosnake.programs.refinement.particles import Particles
from cryosnake.programs.refinement.plan import say_plan
from cryosnake.programs.refinement.ranks import expect_on_ranks
from cryosnake.programs.refinement.state import Assignments, Statistics, first_assignments, first_statistics

_FIRST_PARTICLES = 1000  # that make the random start
_FIRST_MEMORY = 0.1  # what the random start counts beside the first batches
_LEAST_SSNR = 0.05  # keeps what is not known yet in the map, faintly
_MEMORY = 0.9  # of noise and offset statistics
_CONCENTRATED = 8.0  # effective number of orientations per symmetry mate, below which a search finds them cheaper
_DENSE_BLOCK = 512  # particles whose images are in memory at once
_SHIFT_STEP = 0.3  # coarse step of shifts, in units of the resolution

Report = Callable[[int], None]


@dataclass(frozen=True)
class Settings:
    """What stays the same; see `jobs/initialmodel.py` for the options. Lengths in Å."""

    classes: int
    symmetry: str
    diameter: float
    offset_range: float  # at the first resolution; in proportion to the resolution from then on
    first_resolution: float
    use_ctf: bool
    intact_first_peak: bool
    zero_mask: bool
    seed: int


@dataclass
class Model:
    """Maps, the decaying sums of two halves behind them, and what is known of the particles.

    `sums` are (2, classes, 2m + 1, 2m + 1, m + 1, 3), `volumes` (classes, box, box, box), `ssnr` (classes, shells).
    """

    state: Assignments
    statistics: Statistics
    sums: np.ndarray
    volumes: np.ndarray
    ssnr: np.ndarray
    radius: int
    symmetry: str
    concentrated: bool = False  # few orientations of each particle are probable: the rest need not be summed


def first_model(particles: Particles, settings: Settings, symmetry: str, resolution: float, rng: np.random.Generator,
                ) -> Model:
    """Return the model of particles at random orientations, other ones for each class."""
    state = first_assignments(particles)
    state.offset[:] = 0.0
    mask, everyone = image_mask(particles, settings.diameter), np.arange(len(particles))
    statistics = first_statistics(particles, everyone, state.offset, mask, settings.classes)
    radius = shells_to(particles, resolution)
    band = full_band(particles.box).cut(2 * radius)
    sums = []
    for _ in range(settings.classes):
        rows = rng.permutation(len(particles))[:_FIRST_PARTICLES]
        weight = (1.0 / statistics.noise[particles.optics[rows]])[:, band.shell].astype(np.float32)
        ctf = np.ones_like(weight)
        if settings.use_ctf:
            ctf = particles.ctf(rows, band, settings.intact_first_peak)
        images = fourier_pixels(particles.images(rows) * mask, band) * (ctf * weight)
        sums.append(random_sums(images, ctf**2 * weight, (band.kx, band.ky), radius, operators(symmetry), rng))
    both = np.float32(0.5 * _FIRST_MEMORY) * np.stack([sums, sums])
    model = Model(state, statistics, both, np.zeros(0), np.zeros(0), radius, symmetry)
    model.ssnr = np.full((settings.classes, particles.box // 2 + 1), 10.0)
    _make_volumes(particles, model, settings)
    return model


def shells_to(particles: Particles, resolution: float) -> int:
    """Return the number of shells up to a resolution in Å, at least 3, at most those of the box."""
    return min(max(int(np.ceil(particles.box * particles.pixel_size / resolution)), 3), particles.box // 2)


def use_batch(particles: Particles, model: Model, settings: Settings, stage: Stage, rows: np.ndarray,
              rng: np.random.Generator, decay: float | None = None, report: Report = lambda done: None) -> Model:
    """Return the model after the particles `rows`, which change the given one; all ranks call this together.

    `decay` counts in place of the stage's for the earlier sums. `report` is called after each block with the number of
    particles done; it may raise to stop.
    """
    radius = shells_to(particles, stage.resolution)
    turn = float(rng.uniform(-0.5, 0.5))
    plan = _pass_of(particles, settings, stage, radius, turn)
    reference = _reference(particles, model.volumes, settings, stage, model.symmetry, turn, plan)
    dense = _is_dense(model, stage)
    halves = [(half, mine) for half in (0, 1) if len(mine := rows[rows % 2 == half])]

    def work(number: int, positions: np.ndarray, told: Report) -> Accumulated:
        return _expect(particles, model, stage, plan, reference, halves[number][1][positions], dense, told)

    found = expect_on_ranks(particles, [mine for _, mine in halves], model.state, work, report)

    def learnt() -> Model:
        model.sums = resized_sums(model.sums, radius) * np.float32(stage.decay if decay is None else decay)
        model.radius = radius
        for (half, _), gathered in zip(halves, found, strict=True):
            _add_sums(model, half, gathered.sums)
        if dense:
            definite = _CONCENTRATED * len(operators(settings.symmetry))
            model.concentrated = float(np.median(model.state.significant[rows])) < definite
        _learn(particles, model, rows, found)
        _make_volumes(particles, model, settings, halves=True)
        return model

    return lead(particles.ranks, learnt)


def say_stage(particles: Particles, settings: Settings, stage: Stage, state: Assignments) -> None:
    """Print what a mini-batch does, and what memory it needs."""
    plan = _pass_of(particles, settings, stage, shells_to(particles, stage.resolution), 0.0)
    grid = sphere_grid(stage.order, settings.symmetry, 0.0, classes=settings.classes)
    say_plan(particles, plan, grid, min(stage.batch, len(particles)), state)


def _is_dense(model: Model, stage: Stage) -> bool:
    return stage.dense or not model.concentrated


def _reference(particles: Particles, volumes: np.ndarray, settings: Settings, stage: Stage, symmetry: str, turn: float,
               plan: SearchPlan) -> MapReference:
    grid = sphere_grid(stage.order, symmetry, turn, classes=settings.classes)
    return map_reference(to_device(volumes, particles.device), plan.size, grid)


def _pass_of(particles: Particles, settings: Settings, stage: Stage, radius: int, turn: float) -> SearchPlan:
    pixel = particles.pixel_size
    step = max(_SHIFT_STEP * stage.resolution / pixel, 1.0)
    reach = settings.offset_range / pixel * stage.resolution / settings.first_resolution
    shifts = shift_grid(max(reach, 1.5 * step), step, turn)
    coarse = 2 * radius
    if not stage.dense:  # matters to the search for significant samples only
        degrees = 60.0 / (1 << stage.order)
        coarse = coarse_size(degrees, settings.diameter, pixel, particles.box, coarse, two_dimensional=False)
    return SearchPlan(2 * radius, coarse, shifts, 0.0, settings.use_ctf, settings.intact_first_peak, settings.zero_mask,
                image_mask(particles, settings.diameter), np.zeros(particles.box // 2 + 1, bool), settings.seed)


def _log_prior(model: Model, grid: SphereGrid) -> np.ndarray:
    each = grid.size // grid.classes
    return np.repeat(np.log(model.statistics.direction / each), each).astype(np.float32)


def _expect(particles: Particles, model: Model, stage: Stage, plan: SearchPlan, reference: MapReference,
            rows: np.ndarray, dense: bool, report: Report) -> Accumulated:
    """Run the expectation step over `rows`; updates the model's assignments and returns the sums (1, …)."""
    grid = reference.grid
    sums = map_sums(grid.classes, plan.size // 2, reference.transforms)
    if dense:
        gathered = _dense(particles, model, stage, plan, reference, rows, sums, report)
    else:
        directions = np.zeros(grid.size // grid.psi_count)
        gathered = expect(particles, rows, model.state, replace(model.statistics, direction=directions), reference,
                          plan, _log_prior(model, grid), sums, report)
    gathered.sums = all_threads(gathered.sums)
    return gathered


def _dense(particles: Particles, model: Model, stage: Stage, plan: SearchPlan, reference: MapReference,
           rows: np.ndarray, sums: Array, report: Report) -> Accumulated:
    grid, band, state = reference.grid, full_band(particles.box).cut(plan.size), model.state
    slices, prior = coarse_slices(reference, band), _log_prior(model, grid)
    total = empty_gathered(particles, rows, model.statistics, sums)
    for where, images in image_blocks(particles, rows, particles.block or _DENSE_BLOCK):
        mine = rows[where]
        block = prepare_block(particles, mine, state, model.statistics, plan, images)
        outcome = dense_expectation(block.operands, slices, band, plan.shifts, prior, stage.temperature)
        insert_outcome(sums, outcome, grid, band)
        state.pose[mine] = grid.matrices(outcome.orientation)
        state.class_index[mine] = grid.class_of(outcome.orientation)
        state.offset[mine] = block.operands.offsets + plan.shifts.coarse[outcome.shift]
        state.significant[mine] = np.rint(outcome.effective)
        state.top_weight[mine], state.log_likelihood[mine] = outcome.top_weight, outcome.log_likelihood
        change = outcome.residual(slices, band) * block.noise[:, : plan.size // 2 + 1].mean(0)
        total.noise[0] += block.power.sum(0)  # not apart by optics group: see `_learn`
        total.noise[0, : len(change)] += change
        total.offset_power += outcome.offset_power
        total.direction += outcome.mass.reshape(grid.classes, -1).sum(1)
        report(where.stop)
    return total


def _add_sums(model: Model, half: int, sums: Array) -> None:
    for number in range(sums.shape[1]):
        model.sums[half, number] += finish_sums(sums[:, number], operators(model.symmetry))


def _learn(particles: Particles, model: Model, rows: np.ndarray, halves: list[Accumulated]) -> None:
    """Move noise, width of the offsets and class weights towards what the batch says.

    The noise of all optics groups changes in the same proportion: a batch has too few particles of each.
    """
    old = model.statistics
    residual = sum(gathered.noise.sum(0) for gathered in halves)
    offset_power = sum(gathered.offset_power for gathered in halves)
    mass = sum(gathered.direction.reshape(len(old.direction), -1).sum(1) for gathered in halves)
    expected = old.noise[particles.optics[rows]].sum(0) * np.bincount(full_band(particles.box).shell)
    ratio = np.clip(residual / expected, 0.1, 10.0)
    noise = old.noise * (_MEMORY + (1.0 - _MEMORY) * ratio)
    sigma = max(float(np.sqrt(0.5 * offset_power / len(rows))), 0.3)
    direction = _MEMORY * old.direction + (1.0 - _MEMORY) * mass / mass.sum()
    direction = np.maximum(direction, 0.1 / len(direction))  # a class with few particles can still win some back
    model.statistics = replace(old, noise=noise, offset_sigma=_MEMORY * old.offset_sigma + (1.0 - _MEMORY) * sigma,
                               direction=direction / direction.sum())


def _make_volumes(particles: Particles, model: Model, settings: Settings, halves: bool = False) -> None:
    box, shells = particles.box, particles.box // 2 + 1
    if halves:
        model.ssnr = np.stack([halves_ssnr(pair[0], pair[1], model.radius, shells, _LEAST_SSNR)
                               for pair in model.sums.swapaxes(0, 1)])
    solvent = solvent_sphere(particles, settings.diameter)
    model.volumes = np.stack([regularised_map(pair.sum(0), model.radius, box, curve) * solvent
                              for pair, curve in zip(model.sums.swapaxes(0, 1), model.ssnr, strict=True)])


def solvent_sphere(particles: Particles, diameter: float) -> np.ndarray:
    """Return the soft ball of the particle's diameter (Å), (box, box, box) float32."""
    radius = min(diameter / 2.0 / particles.pixel_size, particles.box / 2 - 1.0)
    return soft_disc(particles.box, radius, MASK_EDGE, dimensions=3)


def pose_search(particles: Particles, model: Model, settings: Settings, stage: Stage, volumes: np.ndarray,
                rows: np.ndarray) -> Assignments:
    """Return the assignments with those of `rows` found anew, by this rank, in maps (classes, box, box, box)."""
    plan = _pass_of(particles, settings, stage, model.radius, 0.0)
    reference = _reference(particles, volumes, settings, stage, model.symmetry, 0.0, plan)
    other = replace(model, state=model.state.copy())
    _expect(particles, other, stage, plan, reference, rows, _is_dense(model, stage), lambda done: None)
    return other.state


def likelihood(particles: Particles, model: Model, settings: Settings, stage: Stage, rows: np.ndarray,
               noise: np.ndarray) -> float:
    """Return the mean log likelihood of `rows` under the model's maps and a noise spectrum that is common to all.

    It is that of the maps over that of no map at all.
    """
    rival = replace(model, statistics=replace(model.statistics, noise=noise))
    state = pose_search(particles, rival, settings, replace(stage, temperature=1.0, dense=True), model.volumes, rows)
    return float(state.log_likelihood[rows].mean())


def impose_symmetry(particles: Particles, model: Model, settings: Settings, axes: list[Axes]) -> None:
    """Turn the maps onto their axes and average them over the group; the sums, made without it, are forgotten."""
    solvent = solvent_sphere(particles, settings.diameter)
    model.volumes = np.stack([symmetrised(volume, own, settings.symmetry) * solvent
                              for volume, own in zip(model.volumes, axes, strict=True)])
    model.symmetry = settings.symmetry
    model.sums = np.zeros_like(model.sums)
