"""The state of a gold-standard refinement, and one iteration of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from cryosnake.numerics.backend import to_device
from cryosnake.numerics.euler import angular_distance
from cryosnake.numerics.fsc import resolution_at
from cryosnake.numerics.refine.grids.bands import full_band
from cryosnake.numerics.refine.grids.grids import SphereGrid, shift_grid, sphere_grid
from cryosnake.numerics.refine.grids.references import MapReference, map_reference
from cryosnake.numerics.refine.search.accuracy import estimate_accuracy
from cryosnake.numerics.refine.search.schedule import Progress, Sampling, coarse_size
from cryosnake.numerics.refine.sums.least_squares import least_squares_map
from cryosnake.numerics.refine.sums.maximisation import (
    finish_sums,
    gold_standard,
    group_scales,
    join_low_resolution,
    last_shell_above,
    regularised_map,
    ssnr_from_fsc,
)
from cryosnake.numerics.refine.sums.reconstruction import mean_weight
from cryosnake.numerics.symmetry import nearest_mate, operators
from cryosnake.parallel.world import lead
from cryosnake.programs.refinement.block import SearchPlan, prepare_block
from cryosnake.programs.refinement.disc import image_mask
from cryosnake.programs.refinement.estep import (
    Accumulated,
    all_threads,
    expect,
    map_sums,
    update_statistics,
)
from cryosnake.programs.refinement.limit import seen_to, shell_of
from cryosnake.programs.refinement.particles import Particles
from cryosnake.programs.refinement.ranks import expect_on_ranks
from cryosnake.programs.refinement.state import Assignments, Statistics

JOIN_RESOLUTION = 40.0  # Å: the halves share what is coarser
_FIRST_GROWTH = 10  # shells that the images reach beyond the map's resolution, at least


@dataclass(frozen=True)
class Settings:
    """What stays the same through a refinement; see `jobs/refine3d.py` for the options."""

    symmetry: str
    diameter: float
    local_order: int
    use_ctf: bool
    intact_first_peak: bool
    zero_mask: bool
    seed: int
    solvent: np.ndarray  # (box, box, box) float32
    solvent_fsc: bool
    local_regularisation: bool = False
    highres_limit: float = 0.0  # Å, of the expectation step; 0 for none


@dataclass
class Refinement:
    """The two half-set models, the assignments and the schedule."""

    iteration: int
    half: np.ndarray  # (n,) 1 or 2
    state: Assignments
    statistics: list[Statistics]
    volumes: list[np.ndarray]
    sampling: Sampling
    progress: Progress
    size: int
    fsc: np.ndarray
    ssnr: np.ndarray
    weight: list[np.ndarray]
    accuracy: tuple[float, float] = (999.0, 999.0)  # degrees, pixels
    change: tuple[float, float] = (999.0, 999.0)  # degrees, pixels
    perturbation: float = 0.0
    unfiltered: list[np.ndarray] = field(default_factory=list)
    joined: np.ndarray | None = None


def grid_of(settings: Settings, sampling: Sampling, perturbation: float) -> SphereGrid:
    """Return the orientations: an asymmetric unit, or the whole sphere for local searches."""
    return sphere_grid(sampling.order, settings.symmetry, perturbation, whole=sampling.sigma > 0)


def directions_of(settings: Settings, sampling: Sampling) -> int:
    """Return the number of directions that a prior is kept for."""
    grid = grid_of(settings, sampling, 0.0)
    return len(grid.pixels) if sampling.sigma == 0 else 1


def pass_of(particles: Particles, model: Refinement, settings: Settings, size: int) -> SearchPlan:
    """Return how this iteration searches."""
    sampling, box = model.sampling, particles.box
    step = sampling.fine_step * 2.0
    reach = min(size, 2 * shell_of(particles, settings.highres_limit))
    coarse = coarse_size(step, settings.diameter, particles.pixel_size, box, reach, two_dimensional=False)
    shifts = shift_grid(sampling.offset_range, sampling.offset_step, model.perturbation)
    return SearchPlan(size, coarse, shifts, sampling.sigma, settings.use_ctf, settings.intact_first_peak,
                      settings.zero_mask,
                image_mask(particles, settings.diameter), model.ssnr > 3.0, settings.seed + model.iteration,
                settings.diameter)


def iterate(particles: Particles, model: Refinement, settings: Settings, report: Callable[[int], None],
            last: bool = False) -> Refinement:
    """Return the model after one more iteration; `last` uses data to Nyquist and joins the halves.

    Parameters
    ----------
    particles, model, settings
        The model is left as it was.
    report
        Called with the number of particles done; may raise to stop.
    last : bool
        Fill `unfiltered` (half maps) and `joined` (the map of all particles).
    """
    iteration = model.iteration + 1
    rng = np.random.default_rng([settings.seed, iteration])
    size = particles.box if last else model.size
    model = Refinement(**{**vars(model), "iteration": iteration, "size": size, "state": model.state.copy(),
                          "perturbation": float(rng.uniform(-0.5, 0.5))})
    before = model.state.copy()
    plan, grid = pass_of(particles, model, settings, size), grid_of(settings, model.sampling, model.perturbation)

    def work(half: int, positions: np.ndarray, told: Callable[[int], None]) -> Accumulated:
        return _expect_half(particles, model, settings, plan, grid, half, positions, told)

    sets = [np.flatnonzero(model.half == number) for number in (1, 2)]
    halves = expect_on_ranks(particles, sets, model.state, work, report)
    return lead(particles.ranks, lambda: _learnt(particles, model, settings, before, halves, last))


def _learnt(particles: Particles, model: Refinement, settings: Settings, before: Assignments, halves: list[Accumulated],
            last: bool) -> Refinement:
    """Complete the model from what the expectation step gathered."""
    group = operators(settings.symmetry)
    sums = [finish_sums(gathered.sums[:, 0], group) for gathered in halves]
    _learn(particles, model, halves)
    model.change = _changes(before, model.state, settings.symmetry)
    _maximise(particles, model, settings, sums, last)
    return model


def _expect_half(particles: Particles, model: Refinement, settings: Settings, plan: SearchPlan, grid: SphereGrid,
                 half: int, positions: np.ndarray, report: Callable[[int], None]) -> Accumulated:
    rows = np.flatnonzero(model.half == half + 1)[positions]
    reference = _seen(particles, model.volumes[half], settings, plan, grid)
    statistics = model.statistics[half]
    prior = np.zeros(0, np.float32)
    if plan.sigma == 0:
        prior = np.log(np.repeat(statistics.direction, grid.psi_count)).astype(np.float32)
    gathered = expect(particles, rows, model.state, statistics, reference, plan, prior,
                      map_sums(1, plan.size // 2, reference.transforms), report)
    gathered.sums = all_threads(gathered.sums)
    return gathered


def _seen(particles: Particles, volume: np.ndarray, settings: Settings, plan: SearchPlan,
          grid: SphereGrid) -> MapReference:
    """Return a map (box, box, box) as reference of the expectation step, to the resolution that this may use."""
    reference = map_reference(to_device(volume[None], particles.device), plan.size, grid)
    return seen_to(particles, reference, settings.highres_limit)


def _learn(particles: Particles, model: Refinement, halves: list[Accumulated]) -> None:
    band = full_band(particles.box)
    updated = []
    for index, gathered in enumerate(halves):
        rows, old = np.flatnonzero(model.half == index + 1), model.statistics[index]
        scales = group_scales(gathered.cross, gathered.power, particles.group[rows], old.scale)
        updated.append(update_statistics(particles, rows, gathered, old, model.state, band, scales))
    model.statistics = updated


def _changes(before: Assignments, after: Assignments, symmetry: str) -> tuple[float, float]:
    """Mean change of orientation (degrees; the nearest symmetry mate) and shift (root mean square, pixels)."""
    nearest = nearest_mate(before.pose, after.pose, symmetry)
    angle = float(angular_distance(nearest, after.pose).mean())
    shift = float(np.sqrt(0.5 * ((before.offset - after.offset) ** 2).sum(1).mean()))
    return angle, shift


def _maximise(particles: Particles, model: Refinement, settings: Settings, sums: list[np.ndarray], last: bool) -> None:
    box, radius = particles.box, model.size // 2
    joined = min(int(box * particles.pixel_size / JOIN_RESOLUTION), radius)
    model.fsc = gold_standard(sums[0], sums[1], radius, 0 if last else joined, box // 2 + 1)
    if last or settings.solvent_fsc:
        make = least_squares_map if last else regularised_map
        model.unfiltered = [make(half, radius, box, None) for half in sums]
    if settings.solvent_fsc:
        model.fsc = _masked_fsc(model, settings, 0 if last else joined)
    model.ssnr = ssnr_from_fsc(model.fsc)
    if last:
        both = sums[0] + sums[1]
        model.joined = least_squares_map(both, radius, box, ssnr_from_fsc(model.fsc, both_halves=True))
    else:
        sums = list(join_low_resolution(sums[0], sums[1], joined))
    model.weight = [mean_weight(half, radius) for half in sums]
    if settings.local_regularisation and not last:
        model.volumes = _locally_regularised(sums, radius, settings, particles.pixel_size)
    else:
        model.volumes = [regularised_map(half, radius, box, model.ssnr, mean) * settings.solvent
                         for half, mean in zip(sums, model.weight, strict=True)]


def _locally_regularised(sums: list[np.ndarray], radius: int, settings: Settings, pixel_size: float,
                         ) -> list[np.ndarray]:
    """Return the halves filtered as finely as each predicts the other, place by place, in place of the one SSNR.

    The low band that the halves share passes through every filter of the choice, so that it decides nothing.
    """
    from cryosnake.numerics.refine.sums.local_filter import cross_validated_filter

    box = settings.solvent.shape[0]
    a, b = (regularised_map(half, radius, box, None) for half in sums)
    first, second, _ = cross_validated_filter(a, b, settings.solvent, pixel_size)
    return [first * settings.solvent, second * settings.solvent]


def _masked_fsc(model: Refinement, settings: Settings, joined: int) -> np.ndarray:
    from cryosnake.numerics.postprocessing import fsc_curves

    curve = fsc_curves(model.unfiltered[0], model.unfiltered[1], settings.solvent, settings.seed).corrected.copy()
    curve[: joined + 1] = 1.0
    curve[model.size // 2 + 1 :] = 0.0
    return curve


def resolution_shell(ssnr: np.ndarray) -> int:
    """Return the last shell in which the map holds more signal than noise (FSC above 0.5)."""
    return max(last_shell_above(ssnr, 1.0), 1)


def next_size(fsc: np.ndarray, ssnr: np.ndarray, size: int, box: int) -> int:
    """Return the number of Fourier pixels for the next iteration: some shells beyond the resolution.

    A quarter of all shells more where the FSC at the present limit is still above 0.2, else ten, or what lies between
    FSC 0.5 and 0.143 and five more.
    """
    limit = size // 2
    growth = _FIRST_GROWTH
    if fsc[limit - 1] > 0.2:
        growth = max(growth, round(0.25 * box / 2))
    else:
        curve = fsc[: limit + 1]
        growth = max(growth, last_shell_above(curve, 0.143) - last_shell_above(curve, 0.5) + 5)
    return min(2 * (resolution_shell(ssnr) + growth), box)


def measure_accuracy(particles: Particles, model: Refinement, settings: Settings, most: int = 100,
                     ) -> tuple[float, float]:
    """Return the estimated accuracy of angles (degrees) and shifts (pixels) with the present half-map 1."""
    rng = np.random.default_rng([settings.seed, model.iteration, 7])
    candidates = np.flatnonzero(model.half == 1)
    rows = np.sort(rng.choice(candidates, min(most, len(candidates)), replace=False))
    plan, grid = pass_of(particles, model, settings, model.size), grid_of(settings, model.sampling, 0.0)
    block = prepare_block(particles, rows, model.state, model.statistics[0], plan)
    reference = _seen(particles, model.volumes[0], settings, plan, grid)
    ctf = block.operands.ctf2**0.5
    band = full_band(particles.box).cut(plan.size)
    return estimate_accuracy(reference.transforms[0], model.state.pose[rows], ctf, band, rng)


def resolution(model: Refinement, particles: Particles, threshold: float) -> float:
    """Return the resolution in Å at which the FSC falls below the threshold."""
    return resolution_at(model.fsc, particles.box * particles.pixel_size, threshold)
