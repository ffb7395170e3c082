"""One iteration of a 2D classification: expectation over a batch of particles, then new averages and statistics."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cryosnake.numerics.backend import to_device, to_numpy
from cryosnake.numerics.euler import angular_distance
from cryosnake.numerics.refine.classes.averages import (
    centre_of_mass,
    class_averages,
    class_ssnr,
    decayed_sums,
    finish_class_sums,
    is_fine_enough,
    moved_sums,
    random_seeds,
    revived,
    sums_of_averages,
)
from cryosnake.numerics.refine.grids.bands import full_band
from cryosnake.numerics.refine.grids.grids import PlaneGrid, shift_grid
from cryosnake.numerics.refine.grids.images import shift_images
from cryosnake.numerics.refine.grids.references import ClassReferences, class_references, empty_class_sums
from cryosnake.numerics.refine.search.schedule import coarse_size
from cryosnake.numerics.refine.sums.maximisation import group_scales
from cryosnake.numerics.refine.sums.reconstruction import mean_weight
from cryosnake.parallel.world import lead
from cryosnake.programs.class2d.batches import WHOLE_AT_END, batch_rows, batch_sizes, step_size, updates_until
from cryosnake.programs.class2d.model import Classification, Settings2D, best_resolution, next_size, plane_grid
from cryosnake.programs.refinement.block import SearchPlan
from cryosnake.programs.refinement.disc import image_mask
from cryosnake.programs.refinement.estep import Accumulated, all_threads, expect, thread_sums, update_statistics
from cryosnake.programs.refinement.limit import seen_to, shell_of
from cryosnake.programs.refinement.particles import Particles
from cryosnake.programs.refinement.ranks import expect_on_ranks
from cryosnake.programs.refinement.sampled import expect_drawn
from cryosnake.programs.refinement.state import Assignments, Statistics

Report = Callable[[int], None]


def iterate(particles: Particles, model: Classification, settings: Settings2D, report: Report) -> Classification:
    """Return the model after one more iteration; the given one is left as it was.

    Over mini-batches an iteration is several updates.
    """
    model = Classification(**{**vars(model), "iteration": model.iteration + 1, "state": model.state.copy()})
    last = updates_until(model.iteration, settings.iterations, settings.gradient)
    for number in range(updates_until(model.iteration - 1, settings.iterations, settings.gradient) + 1, last + 1):
        model.size = next_size(particles, model.ssnr)
        model = _update(particles, model, settings, number, report)
    return model


def _update(particles: Particles, model: Classification, settings: Settings2D, number: int, report: Report,
            ) -> Classification:
    """Run the expectation over one batch, then set new statistics and averages; returns the model.

    In the first update every particle may only go to the class that it was drawn for, which makes the classes
    different; from then on it goes where it fits.
    """
    count = len(particles)
    model.perturbation = float(np.random.default_rng([settings.seed, number]).uniform(-0.5, 0.5))
    sizes = batch_sizes(count, settings.classes, settings.iterations, settings.gradient)
    rows = model.rows = batch_rows(count, sizes, number, settings.seed)
    step, before = step_size(count, sizes, number), model.state.copy()
    grid, plan = search_plan(particles, model, settings)
    references = class_references(to_device(model.averages, particles.device), plan.size, grid)
    seen = seen_to(particles, references, settings.highres_limit)

    def work(_: int, positions: np.ndarray, told: Report) -> Accumulated:
        mine = rows[positions]
        if number == 1:
            gathered = _expect_seeds(particles, mine, model, seen, plan, told)
        else:
            prior = _prior(model, grid, step)
            sums = thread_sums(empty_class_sums(settings.classes, plan.size // 2).shape, references.transforms)
            gathered = expect(particles, mine, model.state, model.statistics, seen, plan, prior, sums, told)
        gathered.sums = all_threads(gathered.sums)
        return gathered

    gathered = expect_on_ranks(particles, [rows], model.state, work, report)
    return lead(particles.ranks, lambda: _learnt(particles, model, settings, before, gathered[0], references, step))


def _learnt(particles: Particles, model: Classification, settings: Settings2D, before: Assignments,
            gathered: Accumulated, references: ClassReferences, step: float) -> Classification:
    """Complete the model, in place, from what the expectation step gathered."""
    model.statistics = _new_statistics(particles, model.rows, gathered, model, step)
    model.change = _changes(before, model.state, model.rows)
    sums = finish_class_sums(gathered.sums)
    if step < 1.0:
        batch = sums
        sums = decayed_sums(_remembered(model, references), batch, step)
        revived(sums, batch, model.statistics.direction)
    model.sums = sums if settings.gradient else None
    _maximise(particles, model, settings, sums, references.transforms)
    return model


def _prior(model: Classification, grid: PlaneGrid, step: float) -> np.ndarray:
    """Return the log prior of all orientations: the classes' shares; over mini-batches all classes are equal.

    Shares estimated early feed on themselves: a class that is large by chance takes what fits several.
    """
    direction = model.statistics.direction if step == 1.0 else np.full(grid.classes, 1.0 / grid.classes)
    floor = 0.1 / grid.classes  # no class is ruled out
    return np.log(np.repeat(np.maximum(direction, floor), grid.psi_count)).astype(np.float32)


def search_plan(particles: Particles, model: Classification, settings: Settings2D) -> tuple[PlaneGrid, SearchPlan]:
    """Return what the next iteration searches; steps that the averages' resolution needs no finer are not halved.

    The last iterations halve them all the same: from these come the averages and alignments that are kept.
    """
    last = model.iteration > settings.iterations - WHOLE_AT_END
    resolution = 0.0 if last else best_resolution(particles, model)
    coarse = plane_grid(settings, model.perturbation)
    pixel, radius = particles.pixel_size, settings.diameter / 2.0
    fine_turns = is_fine_enough(np.radians(coarse.step) * radius, resolution)
    fine_shifts = is_fine_enough(settings.offset_step * pixel, resolution)
    grid = PlaneGrid(coarse.classes, coarse.psi_count, coarse.perturbation, 1 if fine_turns else 2)
    shifts = shift_grid(settings.offset_range, settings.offset_step, model.perturbation, not fine_shifts)
    reach = min(model.size, 2 * shell_of(particles, settings.highres_limit))
    size = coarse_size(grid.step, settings.diameter, pixel, particles.box, reach, True)
    return grid, SearchPlan(model.size, size, shifts, 0.0, settings.use_ctf, settings.intact_first_peak,
                            settings.zero_mask, image_mask(particles, settings.diameter), model.ssnr.max(0) > 3.0,
                      settings.seed + model.iteration)


def _expect_seeds(particles: Particles, rows: np.ndarray, model: Classification, references: ClassReferences,
                  plan: SearchPlan, report: Report) -> Accumulated:
    """Run the expectation step with each particle in the class that it was drawn for, class by class."""
    grid, state = references.grid, model.state
    sums = thread_sums(empty_class_sums(grid.classes, plan.size // 2).shape, references.transforms)
    one = PlaneGrid(1, grid.psi_count, grid.perturbation, grid.children)

    def alone(number: int) -> ClassReferences:
        return ClassReferences(references.transforms[number : number + 1], one)

    return expect_drawn(particles, rows, state.class_index[rows].copy(), state, model.statistics, alone,
                        np.zeros(one.size, np.float32), plan, sums, report)


def _new_statistics(particles: Particles, rows: np.ndarray, gathered: Accumulated, model: Classification, step: float,
                    ) -> Statistics:
    old = model.statistics
    scales = old.scale  # a mini-batch holds too few particles of a micrograph
    if len(rows) == len(particles):
        scales = group_scales(gathered.cross, gathered.power, particles.group, old.scale)
    new = update_statistics(particles, rows, gathered, old, model.state, full_band(particles.box), scales)
    new.noise = (1.0 - step) * old.noise + step * new.noise
    if step < 1.0:
        new.direction = (1.0 - step) * old.direction + step * gathered.direction / gathered.direction.sum()
    return new


def _remembered(model: Classification, references: ClassReferences) -> np.ndarray:
    """Return the sums of the batches so far; from the averages where a run goes on and they were not kept."""
    if model.sums is not None:
        return model.sums
    return sums_of_averages(to_numpy(references.transforms), model.weight, model.ssnr)


def _changes(before: Assignments, after: Assignments, rows: np.ndarray) -> tuple[float, float, float]:
    angle = float(angular_distance(before.pose[rows], after.pose[rows]).mean())
    shift = float(np.sqrt(0.5 * ((before.offset[rows] - after.offset[rows]) ** 2).sum(1).mean()))
    return angle, shift, float((before.class_index[rows] != after.class_index[rows]).mean())


def _maximise(particles: Particles, model: Classification, settings: Settings2D, sums: np.ndarray,
              transforms: np.ndarray) -> None:
    box, radius = particles.box, model.size // 2
    ssnr = class_ssnr(sums, transforms, radius, settings.tau2_fudge)
    averages = class_averages(sums, radius, box, ssnr)
    if settings.centre:
        averages = _centred(averages, model)
    model.unmasked = averages
    model.averages = averages * image_mask(particles, settings.diameter)
    model.ssnr = np.zeros((settings.classes, box // 2 + 1))
    model.ssnr[:, : radius + 1] = ssnr
    model.weight = np.zeros_like(model.ssnr)
    model.weight[:, : radius + 1] = np.stack([mean_weight(plane, radius) for plane in sums])


def _centred(averages: np.ndarray, model: Classification) -> np.ndarray:
    """Move the averages' centres of mass to the box's centre, by whole pixels; their particles and sums with them."""
    centre = np.rint(centre_of_mass(averages)).astype(np.int64)
    seen = model.state.top_weight > 0
    rotation, class_index = model.state.pose[seen, :2, :2], model.state.class_index[seen]
    # The rows of R are the image's axes in the average's frame: a move of −c there is one of −R c in the image.
    model.state.offset[seen] -= np.einsum("nij,nj->ni", rotation, centre[class_index].astype(np.float64))
    if model.sums is not None:
        model.sums = moved_sums(model.sums, -centre, averages.shape[-1])
    return shift_images(averages, -centre)


def first_seeds(count: int, settings: Settings2D) -> np.ndarray:
    """Return the class that each particle is drawn for."""
    return random_seeds(count, settings.classes, np.random.default_rng([settings.seed, 0]))
