"""The state of a 3D classification, and one iteration of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from cryosnake.numerics.backend import to_device, to_numpy
from cryosnake.numerics.euler import angular_distance
from cryosnake.numerics.refine.classes.averages import class_shells
from cryosnake.numerics.refine.classes.class_maps import class_directions, class_shares, map_ssnr
from cryosnake.numerics.refine.grids.bands import full_band
from cryosnake.numerics.refine.grids.grids import SphereGrid, shift_grid, sphere_grid
from cryosnake.numerics.refine.grids.references import MapReference, map_reference
from cryosnake.numerics.refine.search.accuracy import estimate_accuracy
from cryosnake.numerics.refine.search.schedule import coarse_size
from cryosnake.numerics.refine.sums.maximisation import finish_sums, group_scales, regularised_map
from cryosnake.numerics.refine.sums.reconstruction import mean_weight
from cryosnake.numerics.symmetry import nearest_mate, operators
from cryosnake.parallel.world import lead
from cryosnake.programs.class3d.search import gather
from cryosnake.programs.refinement.block import SearchPlan, prepare_block
from cryosnake.programs.refinement.disc import image_mask
from cryosnake.programs.refinement.estep import Accumulated, update_statistics
from cryosnake.programs.refinement.limit import seen_to, shell_of
from cryosnake.programs.refinement.particles import Particles
from cryosnake.programs.refinement.ranks import expect_on_ranks
from cryosnake.programs.refinement.state import Assignments, Statistics

_GROWTH = 10  # shells that the images reach beyond the best class
_ACCURACY_PARTICLES = 50  # of each class


@dataclass(frozen=True)
class Settings3D:
    """What stays the same through a classification; see `jobs/class3d.py` for the options."""

    classes: int
    one_reference: bool  # all classes start from one map: the first iteration draws their particles
    symmetry: str
    diameter: float
    tau2_fudge: float
    align: bool
    order: int  # HEALPix, of the coarse grid
    sigma: float  # degrees, of local searches; 0 searches everywhere
    offset_range: float  # pixels
    offset_step: float  # coarse, pixels
    use_ctf: bool
    intact_first_peak: bool
    zero_mask: bool
    highres_limit: float  # Å, of the expectation step; 0 for none
    seed: int
    solvent: np.ndarray  # (box, box, box) float32

    @property
    def has_directions(self) -> bool:
        """Whether a prior of directions is kept, beside that of the classes."""
        return self.align and self.sigma == 0


@dataclass
class Classification3D:
    """Maps, assignments and statistics after an iteration.

    `statistics.direction` is the prior of class · directions + direction, or of the classes alone where directions
    have none (`Settings3D.has_directions`).
    """

    iteration: int
    state: Assignments
    statistics: Statistics
    volumes: np.ndarray  # (classes, box, box, box), masked
    ssnr: np.ndarray  # (classes, shells)
    size: int
    weight: np.ndarray  # (classes, shells)
    change: tuple[float, float, float] = (999.0, 999.0, 1.0)  # degrees, pixels, fraction of classes
    accuracy: tuple[tuple[float, float], ...] = ()  # of each class: degrees, pixels
    perturbation: float = 0.0

    @property
    def shares(self) -> np.ndarray:
        """Return the fraction (classes,) of the particles in each class."""
        return class_shares(self.statistics.direction.reshape(len(self.volumes), -1))


def grid_of(settings: Settings3D, perturbation: float, classes: int) -> SphereGrid:
    """Return the orientations of `classes` maps: an asymmetric unit, or the whole sphere for local searches."""
    return sphere_grid(settings.order, settings.symmetry, perturbation, settings.sigma > 0, classes)


def flat_direction(settings: Settings3D) -> np.ndarray:
    """Return a prior that prefers nothing, of the length that the settings need."""
    count = settings.classes
    if settings.has_directions:
        count *= len(grid_of(settings, 0.0, 1).pixels)
    return np.full(count, 1.0 / count)


def pass_of(particles: Particles, model: Classification3D, settings: Settings3D) -> SearchPlan:
    """Return how an iteration searches."""
    step = grid_of(settings, 0.0, 1).step
    reach = min(model.size, 2 * shell_of(particles, settings.highres_limit))
    coarse = coarse_size(step, settings.diameter, particles.pixel_size, particles.box, reach, False)
    shifts = shift_grid(settings.offset_range, settings.offset_step, model.perturbation)
    return SearchPlan(model.size, coarse, shifts, settings.sigma, settings.use_ctf, settings.intact_first_peak,
                settings.zero_mask, image_mask(particles, settings.diameter), model.ssnr.max(0) > 3.0,
                settings.seed + model.iteration, settings.diameter)


def reference_of(particles: Particles, model: Classification3D, settings: Settings3D, size: int) -> MapReference:
    """Return all classes' maps as references of the search, where the particles' images are worked on."""
    volumes = to_device(model.volumes, particles.device)
    return map_reference(volumes, size, grid_of(settings, model.perturbation, settings.classes))


def iterate(particles: Particles, model: Classification3D, settings: Settings3D, report: Callable[[int], None],
            ) -> Classification3D:
    """Return the model after one more iteration; the given one is left as it was."""
    iteration = model.iteration + 1
    rng = np.random.default_rng([settings.seed, iteration])
    model = replace(model, iteration=iteration, state=model.state.copy(), perturbation=float(rng.uniform(-0.5, 0.5)))
    before, everyone = model.state.copy(), np.arange(len(particles))
    plan, reference = pass_of(particles, model, settings), reference_of(particles, model, settings, model.size)
    seen = seen_to(particles, reference, settings.highres_limit)
    drawn = iteration == 1 and settings.one_reference and settings.classes > 1
    seeds = random_classes(len(particles), settings) if drawn else None

    def work(_: int, rows: np.ndarray, told: Callable[[int], None]) -> Accumulated:
        return gather(particles, rows, model.state, model.statistics, seen, plan, settings.align, seeds, told)

    found = expect_on_ranks(particles, [everyone], model.state, work, report)
    return lead(particles.ranks, lambda: _learnt(particles, model, settings, before, found[0], reference, plan))


def _learnt(particles: Particles, model: Classification3D, settings: Settings3D, before: Assignments,
            gathered: Accumulated, reference: MapReference, plan: SearchPlan) -> Classification3D:
    """Complete the model, in place, from what the expectation step gathered."""
    old = model.statistics
    scales = group_scales(gathered.cross, gathered.power, particles.group, old.scale)
    model.statistics = update_statistics(particles, np.arange(len(particles)), gathered, old, model.state,
                                         full_band(particles.box), scales)
    model.statistics.direction = _direction(gathered, settings)
    model.change = _changes(before, model.state, settings.symmetry)
    _maximise(particles, model, settings, gathered.sums, to_numpy(reference.transforms))
    model.accuracy = measure_accuracy(particles, model, settings, plan)
    return model


def random_classes(count: int, settings: Settings3D) -> np.ndarray:
    """Return the class that each particle starts in when all start from one map: at random, equally many in each."""
    return np.random.default_rng([settings.seed, 0]).permutation(count) % settings.classes


def _direction(gathered: Accumulated, settings: Settings3D) -> np.ndarray:
    mass = gathered.direction.reshape(settings.classes, -1)
    return class_directions(mass) if settings.has_directions else class_shares(mass)


def _changes(before: Assignments, after: Assignments, symmetry: str) -> tuple[float, float, float]:
    """Mean change of orientation (degrees), shift (root mean square, pixels), and the fraction that changed class."""
    nearest = nearest_mate(before.pose, after.pose, symmetry)
    shift = float(np.sqrt(0.5 * ((before.offset - after.offset) ** 2).sum(1).mean()))
    changed = float((before.class_index != after.class_index).mean())
    return float(angular_distance(nearest, after.pose).mean()), shift, changed


def _maximise(particles: Particles, model: Classification3D, settings: Settings3D, sums: np.ndarray,
              transforms: np.ndarray) -> None:
    """Make the maps, class by class; a class without particles becomes zero and stays so."""
    box, radius, group = particles.box, model.size // 2, operators(settings.symmetry)
    model.volumes, model.ssnr = np.empty_like(model.volumes), np.zeros((settings.classes, box // 2 + 1))
    weights = []
    for number, transform in enumerate(transforms):
        total = finish_sums(sums[:, number], group)
        ssnr = map_ssnr(total, transform, radius, settings.tau2_fudge)
        model.volumes[number] = regularised_map(total, radius, box, ssnr) * settings.solvent
        model.ssnr[number, : radius + 1] = ssnr
        weights.append(mean_weight(total, radius))
    model.weight = np.stack(weights)


def next_size(particles: Particles, ssnr: np.ndarray) -> int:
    """Return the number of Fourier pixels for the next iteration: the best class's and ten shells more."""
    return min(2 * (int(class_shells(ssnr).max()) + _GROWTH), particles.box)


def measure_accuracy(particles: Particles, model: Classification3D, settings: Settings3D, plan: SearchPlan,
                     ) -> tuple[tuple[float, float], ...]:
    """Return the estimated accuracy of angles (degrees) and shifts (pixels) of each class; 999 where it has none."""
    band, found = full_band(particles.box).cut(plan.size), []
    rng = np.random.default_rng([settings.seed, model.iteration, 7])
    for number in range(settings.classes):
        members = np.flatnonzero(model.state.class_index == number)
        if not members.size or not settings.align:
            found.append((999.0, 999.0))
            continue
        rows = np.sort(rng.choice(members, min(_ACCURACY_PARTICLES, len(members)), replace=False))
        block = prepare_block(particles, rows, model.state, model.statistics, plan)
        volume = to_device(model.volumes[number][None], particles.device)
        reference = map_reference(volume, plan.size, grid_of(settings, 0.0, 1))
        transform = seen_to(particles, reference, settings.highres_limit).transforms[0]
        found.append(estimate_accuracy(transform, model.state.pose[rows], block.operands.ctf2**0.5, band, rng))
    return tuple(found)
