"""The state of a 2D classification, and one iteration of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from cryosnake.numerics.backend import to_device
from cryosnake.numerics.euler import angular_distance
from cryosnake.numerics.refine.bands import full_band
from cryosnake.numerics.refine.classes import (
    centre_of_mass,
    class_averages,
    class_shells,
    class_ssnr,
    finish_class_sums,
    random_seeds,
)
from cryosnake.numerics.refine.grids import PlaneGrid, shift_grid
from cryosnake.numerics.refine.images import shift_images
from cryosnake.numerics.refine.maximisation import group_scales
from cryosnake.numerics.refine.reconstruction import mean_weight
from cryosnake.numerics.refine.references import class_references, empty_class_sums
from cryosnake.numerics.refine.schedule import coarse_size
from cryosnake.programs.particles import Particles
from cryosnake.programs.refine_estep import Pass, expect, thread_sums, update_statistics
from cryosnake.programs.refine_model import image_mask
from cryosnake.programs.refine_state import Assignments, Statistics

FIRST_RESOLUTION = 50.0  # Å, at which the averages of random particles start
_GROWTH = 10  # shells that the images reach beyond the best class


@dataclass(frozen=True)
class Settings2D:
    """What stays the same through a classification; see `jobs/class2d.py` for the options."""

    classes: int
    diameter: float
    tau2_fudge: float
    psi_step: float  # coarse, degrees
    offset_range: float  # pixels
    offset_step: float  # coarse, pixels
    use_ctf: bool
    intact_first_peak: bool
    zero_mask: bool
    highres_limit: float  # Å; 0 for none
    centre: bool
    seed: int


@dataclass
class Classification:
    """Class averages, assignments and statistics after an iteration."""

    iteration: int
    state: Assignments
    statistics: Statistics
    averages: np.ndarray  # (classes, box, box), masked
    ssnr: np.ndarray  # (classes, shells)
    size: int
    weight: np.ndarray  # (classes, shells)
    change: tuple[float, float, float] = (999.0, 999.0, 1.0)  # degrees, pixels, fraction of classes
    perturbation: float = 0.0
    unmasked: np.ndarray = field(default_factory=lambda: np.zeros(0))


def plane_grid(settings: Settings2D, perturbation: float) -> PlaneGrid:
    """Return the in-plane orientations of all classes."""
    return PlaneGrid(settings.classes, max(1, int(np.ceil(360.0 / settings.psi_step))), perturbation)


def first_averages(particles: Particles, classes: np.ndarray, offsets: np.ndarray, count: int) -> np.ndarray:
    """Return the plain averages (count, box, box) of the particles of each class."""
    total = np.zeros((count, particles.box, particles.box))
    for begin in range(0, len(particles), 256):
        rows = np.arange(begin, min(begin + 256, len(particles)))
        np.add.at(total, classes[rows], shift_images(particles.images(rows), np.rint(offsets[rows])))
    number = np.maximum(np.bincount(classes, minlength=count), 1)
    return (total / number[:, None, None]).astype(np.float32)


def _pass_of(particles: Particles, model: Classification, settings: Settings2D, grid: PlaneGrid) -> Pass:
    coarse = coarse_size(grid.step, settings.diameter, particles.pixel_size, particles.box, model.size, True)
    shifts = shift_grid(settings.offset_range, settings.offset_step, model.perturbation)
    return Pass(model.size, coarse, shifts, 0.0, settings.use_ctf, settings.intact_first_peak, settings.zero_mask,
                image_mask(particles, settings.diameter), model.ssnr.max(0) > 3.0, settings.seed + model.iteration)


def iterate(particles: Particles, model: Classification, settings: Settings2D, report: Callable[[int], None],
            ) -> Classification:
    """Return the model after one more iteration; the given one is left as it was.

    In the first iteration every particle may only go to the class that it was drawn for, which makes the classes
    different; from then on it goes where it fits.
    """
    iteration = model.iteration + 1
    rng = np.random.default_rng([settings.seed, iteration])
    model = Classification(**{**vars(model), "iteration": iteration, "state": model.state.copy(),
                              "perturbation": float(rng.uniform(-0.5, 0.5))})
    before, rows = model.state.copy(), np.arange(len(particles))
    grid = plane_grid(settings, model.perturbation)
    plan = _pass_of(particles, model, settings, grid)
    references = class_references(to_device(model.averages, particles.device), plan.size, grid)
    prior = _class_prior(particles, model, settings, grid)
    sums = thread_sums(empty_class_sums(settings.classes, plan.size // 2).shape, references.transforms)
    gathered = expect(particles, rows, model.state, model.statistics, references, plan, prior, sums, report)
    old = model.statistics
    scales = group_scales(gathered.cross, gathered.power, particles.group, old.scale)
    model.statistics = update_statistics(particles, rows, gathered, old, model.state, full_band(particles.box), scales)
    model.change = _changes(before, model.state)
    _maximise(particles, model, settings, finish_class_sums(gathered.sums), references.transforms)
    return model


def _class_prior(particles: Particles, model: Classification, settings: Settings2D, grid: PlaneGrid) -> np.ndarray:
    if model.iteration == 1:
        seeds = random_seeds(len(particles), settings.classes, np.random.default_rng([settings.seed, 0]))
        allowed = np.arange(grid.size) // grid.psi_count == seeds[:, None]
        return np.where(allowed, 0.0, -1e5).astype(np.float32)
    return np.log(np.repeat(model.statistics.direction, grid.psi_count)).astype(np.float32)


def _changes(before: Assignments, after: Assignments) -> tuple[float, float, float]:
    angle = float(angular_distance(before.pose, after.pose).mean())
    shift = float(np.sqrt(0.5 * ((before.offset - after.offset) ** 2).sum(1).mean()))
    return angle, shift, float((before.klass != after.klass).mean())


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
    model.weight = np.stack([mean_weight(plane, radius) for plane in sums])


def _centred(averages: np.ndarray, model: Classification) -> np.ndarray:
    """Move the averages' centres of mass to the box's centre, by whole pixels, and their particles with them."""
    centre = np.rint(centre_of_mass(averages)).astype(np.int64)
    rotation = model.state.pose[:, :2, :2]
    # The rows of R are the image's axes in the average's frame: a move of −c there is one of −R c in the image.
    model.state.offset -= np.einsum("nij,nj->ni", rotation, centre[model.state.klass].astype(np.float64))
    return shift_images(averages, -centre)


def next_size(particles: Particles, ssnr: np.ndarray, settings: Settings2D) -> int:
    """Return the number of Fourier pixels for the next iteration: the best class's and ten shells more."""
    shell = int(class_shells(ssnr).max()) + _GROWTH
    if settings.highres_limit > 0:
        shell = min(shell, int(particles.box * particles.pixel_size / settings.highres_limit))
    return min(2 * shell, particles.box)
