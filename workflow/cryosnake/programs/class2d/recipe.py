"""Class2D: class averages of particles by regularised likelihood, from random starts."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import scipy.fft

from cryosnake.numerics.refine.classes.averages import class_shells
from cryosnake.numerics.refine.classes.ranking import KEEP
from cryosnake.numerics.refine.grids.grids import shift_grid
from cryosnake.numerics.refine.grids.images import shift_images
from cryosnake.parallel.world import lead
from cryosnake.programs.class2d.batches import batch_rows, batch_sizes, pays, updates_until
from cryosnake.programs.class2d.files import read_classification, write_classes, write_unmasked
from cryosnake.programs.class2d.iteration import first_seeds, iterate, search_plan
from cryosnake.programs.class2d.model import (
    FIRST_RESOLUTION,
    Classification,
    Settings2D,
    best_resolution,
    next_size,
    plane_grid,
)
from cryosnake.programs.class2d.validation import Validation, validate
from cryosnake.programs.refinement.disc import image_mask
from cryosnake.programs.refinement.iteration_pictures import Pictures
from cryosnake.programs.refinement.particle_images import iteration_written, open_particles, root_of
from cryosnake.programs.refinement.particles import Particles, require_diameter, require_members
from cryosnake.programs.refinement.plan import say_plan
from cryosnake.programs.refinement.state import first_assignments, first_statistics

Report = Callable[[int, int, str], None]
_WRITE_EVERY = 5  # iterations over mini-batches


def run(options: Any, inputs: Mapping[str, str | Path], out: str | Path, progress: Report) -> None:
    """Classify `inputs["particles"]`; see jobs/class2d.py for options and outputs.

    Raises
    ------
    CryosnakeError
        when an input cannot be used
    """
    with open_particles(inputs["particles"], options, out, need_ctf=options.ctf) as particles:
        _classify(particles, options, root_of(progress, out), progress)


def _classify(particles: Particles, options: Any, root: Path, progress: Report) -> None:
    settings, ranks = _settings(particles, options), particles.ranks
    if options.continue_from:
        model = lead(ranks, lambda: read_classification(options.continue_from, particles, settings))
        print(f"Continuing after iteration {model.iteration} of {options.continue_from}")
    else:
        model = lead(ranks, lambda: _start(particles, settings))
        if ranks.rank == 0:
            write_classes(particles, model, settings, root, options)
    pictures = Pictures(options.pictures)
    if ranks.rank == 0:
        grid, plan = search_plan(particles, model, settings)
        say_plan(particles, plan, grid, len(model.rows), model.state)
    while model.iteration < options.iterations:
        model = _one(particles, model, settings, progress)
        last = model.iteration == options.iterations
        validation = _validated(particles, model, settings) if last else None
        if ranks.rank == 0 and (last or _to_be_written(particles, model)):
            if last:
                write_unmasked(particles, model, root)
            write_classes(particles, model, settings, root, options, validation)
            iteration_written(progress, model.iteration)
            pictures.draw(f"{root}_it{model.iteration:03d}.png", partial(_picture, particles, model), last)
        if validation is not None:
            _print_ranking(particles, model, validation)


def _picture(particles: Particles, model: Classification) -> Any:
    from cryosnake.report.panels.iteration import class_picture

    counts = np.bincount(model.state.class_index, minlength=len(model.averages))
    resolutions = particles.box * particles.pixel_size / class_shells(model.ssnr)
    return class_picture(model.averages, counts, resolutions, f"iteration {model.iteration}: {len(particles):,} "
                         f"particles in {(counts > 0).sum()} classes, best {resolutions.min():.1f} Å")


def _validated(particles: Particles, model: Classification, settings: Settings2D) -> Validation:
    return lead(particles.ranks, lambda: validate(particles, model, settings))


def _to_be_written(particles: Particles, model: Classification) -> bool:
    """Return whether an iteration leaves files: of those over mini-batches only every fifth does."""
    return len(model.rows) == len(particles) or model.iteration % _WRITE_EVERY == 0


def _print_ranking(particles: Particles, model: Classification, validation: Validation) -> None:
    ranking, counts = validation.ranking, np.bincount(model.state.class_index, minlength=len(model.averages))
    length = particles.box * particles.pixel_size
    for k in np.argsort(-counts, kind="stable"):
        if counts[k]:
            print(f"class {k + 1:3d}: {counts[k]:6d} particles, {length / ranking.shells[k]:5.1f} Å, score "
                  f"{ranking.score[k]:.2f}  {ranking.reason(int(k))}")
    good = ranking.score[model.state.class_index] >= KEEP
    likely = good & (validation.membership >= KEEP)
    print(f"{good.mean():.0%} of the particles are in classes that score {KEEP:g} or more, {likely.mean():.0%} score "
          f"that themselves too; the radius is about {validation.radius * particles.pixel_size:.0f} Å", flush=True)


def _one(particles: Particles, model: Classification, settings: Settings2D, progress: Report) -> Classification:
    begin, number = time.monotonic(), model.iteration + 1
    sizes = batch_sizes(len(particles), settings.classes, settings.iterations, settings.gradient)
    before = int(sizes[: updates_until(number - 1, settings.iterations, settings.gradient)].sum())

    def report(done: int) -> None:
        progress(before + done, int(sizes.sum()), f"iteration {number}")

    report(0)
    model = iterate(particles, model, settings, report)
    members = np.bincount(model.state.class_index[model.rows], minlength=settings.classes)
    shift = model.change[1] * particles.pixel_size
    print(f"iteration {number:3d}: best class {best_resolution(particles, model):.1f} Å, {len(model.rows)} particles, "
          f"{(members > 0).sum()} of {settings.classes} classes in use, largest {members.max() / len(model.rows):.0%}, "
          f"{model.size} px, Pmax {model.state.top_weight[model.rows].mean():.3f}, changes {model.change[0]:.1f}° "
          f"{shift:.2f} Å {model.change[2]:.1%} of classes, {time.monotonic() - begin:.1f} s", flush=True)
    return model


def _settings(particles: Particles, options: Any) -> Settings2D:
    require_diameter(particles, options.particle_diameter)
    require_members(particles, options.classes)
    return Settings2D(options.classes, options.particle_diameter, options.tau2_fudge, 2.0 * options.psi_step,
                      options.offset_range, 2.0 * options.offset_step, options.ctf, options.ctf_intact_first_peak,
                      options.zero_mask, max(options.highres_limit or 0.0, 0.0), options.center_classes, options.seed,
                      options.iterations, _is_gradient(len(particles), options))


def _is_gradient(count: int, options: Any) -> bool:
    """Return whether the iterations are over mini-batches; `auto` decides by the number of particles."""
    return options.method == "gradient" or (options.method == "auto"
                                            and pays(count, options.classes, options.iterations))


def _start(particles: Particles, settings: Settings2D) -> Classification:
    box, pixel, count = particles.box, particles.pixel_size, len(particles)
    state = first_assignments(particles)
    state.class_index = first_seeds(count, settings)
    sizes = batch_sizes(count, settings.classes, settings.iterations, settings.gradient)
    rows = batch_rows(count, sizes, 1, settings.seed)
    mask = image_mask(particles, settings.diameter)
    statistics = first_statistics(particles, rows, state.offset, mask, settings.classes)
    shell = min(max(int(box * pixel / FIRST_RESOLUTION), 2), box // 2)
    averages = _low_passed(_plain_averages(particles, rows, state.class_index, state.offset, settings.classes), shell)
    averages *= mask
    ssnr = np.tile(np.where(np.arange(box // 2 + 1) <= shell, 10.0, 0.0), (settings.classes, 1))
    grid, passes = plane_grid(settings, 0.0), sizes.sum() / count
    print(f"{count} particles, {box} px of {pixel:g} Å, {len(particles.group_names)} micrographs, "
          f"{len(particles.tables['optics'])} optics group(s); {settings.classes} classes, {grid.psi_count} angles of "
          f"{grid.step:g}°, {len(shift_grid(settings.offset_range, settings.offset_step).coarse)} shifts; "
          + (f"mini-batches of {sizes.min()} particles and more, then all: {passes:.1f} passes in place of "
             f"{settings.iterations}" if settings.gradient else "all particles in every iteration"), flush=True)
    return Classification(0, state, statistics, averages, ssnr, next_size(particles, ssnr),
                          np.zeros_like(ssnr), rows)


def _plain_averages(particles: Particles, chosen: np.ndarray, classes: np.ndarray, offsets: np.ndarray, count: int,
                    ) -> np.ndarray:
    """Return the averages (count, box, box) of the chosen particles of each class."""
    total = np.zeros((count, particles.box**2))
    for begin in range(0, len(chosen), 256):
        rows = chosen[begin : begin + 256]
        member = (classes[rows] == np.arange(count)[:, None]).astype(np.float32)
        total += member @ shift_images(particles.images(rows), np.rint(offsets[rows])).reshape(len(rows), -1)
    number = np.maximum(np.bincount(classes[chosen], minlength=count), 1)
    return (total / number[:, None]).astype(np.float32).reshape(count, particles.box, particles.box)


def _low_passed(images: np.ndarray, shell: int) -> np.ndarray:
    box = images.shape[1]
    ky = np.fft.fftfreq(box, 1.0 / box)[:, None]
    radius = np.hypot(ky, np.arange(box // 2 + 1))
    keep = 0.5 + 0.5 * np.cos(np.pi * np.clip((radius - shell) / 2.0, 0.0, 1.0))
    return scipy.fft.irfft2(scipy.fft.rfft2(images) * keep, s=(box, box)).astype(np.float32)
