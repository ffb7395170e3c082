"""Refine3D: gold-standard refinement of one map, with automatic sampling and convergence."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cryosnake.errors import CryosnakeError
from cryosnake.numerics.backend import to_device
from cryosnake.numerics.healpix import angular_step
from cryosnake.numerics.refine.grids.grids import shift_grid
from cryosnake.numerics.refine.grids.references import map_reference
from cryosnake.numerics.refine.search.schedule import Progress as Schedule
from cryosnake.numerics.refine.search.schedule import (
    Sampling,
    after_iteration,
    at_floor,
    coarse_size,
    invisible_step,
    last_sampling,
    next_sampling,
)
from cryosnake.numerics.refine.sums.maximisation import low_pass
from cryosnake.parallel.world import lead
from cryosnake.programs.refine3d.files import read_refinement, write_final, write_iteration
from cryosnake.programs.refine3d.model import (
    Refinement,
    Settings,
    directions_of,
    grid_of,
    iterate,
    measure_accuracy,
    next_size,
    pass_of,
    resolution,
    resolution_shell,
)
from cryosnake.programs.refinement.block import SearchPlan
from cryosnake.programs.refinement.disc import image_mask
from cryosnake.programs.refinement.estep import reference_scale
from cryosnake.programs.refinement.iteration_pictures import Pictures, views
from cryosnake.programs.refinement.particle_images import iteration_written, open_particles, root_of
from cryosnake.programs.refinement.particles import Particles, half_sets, require_diameter
from cryosnake.programs.refinement.plan import say_plan
from cryosnake.programs.refinement.reference_maps import order_of, read_map, solvent_mask
from cryosnake.programs.refinement.state import first_assignments, first_statistics

Report = Callable[[int, int, str], None]


def run(options: Any, inputs: Mapping[str, str | Path], out: str | Path, progress: Report) -> None:
    """Refine `inputs["reference"]` against `inputs["particles"]`; see jobs/refine3d.py for options and outputs.

    Raises
    ------
    CryosnakeError
        when an input cannot be used
    """
    with open_particles(inputs["particles"], options, out, need_ctf=options.ctf) as particles:
        _refine(particles, options, inputs, root_of(progress, out), progress)


def _refine(particles: Particles, options: Any, inputs: Mapping[str, str | Path], root: Path, progress: Report,
            ) -> None:
    settings, ranks = _settings(particles, options, inputs.get("mask")), particles.ranks
    if options.continue_from:
        model = lead(ranks, lambda: read_refinement(options.continue_from, particles))
        print(f"Continuing after iteration {model.iteration} of {options.continue_from}")
        model = _schedule(particles, model, settings)
    else:
        model = lead(ranks, lambda: _start(particles, settings, options, inputs["reference"]))
    pictures = Pictures(options.pictures)
    _say_plan(particles, model, settings)
    while not (model.progress.converged or model.iteration >= options.max_iterations):
        model = _one(particles, model, settings, progress, last=False)
        if ranks.rank == 0:
            write_iteration(particles, model, settings, root, options)
            iteration_written(progress, model.iteration)
            _draw(pictures, particles, model, settings, root, last=False)
        before, model = model.sampling.order, _schedule(particles, model, settings)
        if model.sampling.order != before:
            _say_plan(particles, model, settings)
    if not model.progress.converged:
        print(f"Stopping after {model.iteration} iterations (max_iterations) without convergence")
    else:
        model.sampling = last_sampling(model.sampling, accuracy_rotation=model.accuracy[0],
                                       accuracy_offset=model.accuracy[1], offset_change=model.change[1],
                                       local_order=settings.local_order)
    model = _one(particles, model, settings, progress, last=True)
    if ranks.rank == 0:
        write_final(particles, model, settings, root, options)
        _draw(pictures, particles, model, settings, root, last=True)
    print(f"Resolution of the unmasked half maps: {resolution(model, particles, 0.143):.2f} Å (FSC 0.143)")


def _draw(pictures: Pictures, particles: Particles, model: Refinement, settings: Settings, root: Path, last: bool,
          ) -> None:
    def figure() -> Any:
        from cryosnake.report.panels.iteration import map_picture

        both = model.joined if model.joined is not None else 0.5 * (model.volumes[0] + model.volumes[1])
        frequency = np.arange(len(model.fsc)) / (particles.box * particles.pixel_size)
        found = resolution(model, particles, 0.143)
        return map_picture([both], [f"{found:.1f} Å"], particles.pixel_size,
                           f"iteration {model.iteration}: {len(particles):,} particles, {found:.2f} Å (FSC 0.143)",
                           fsc=(frequency, model.fsc), directions=views(model.state.pose, settings.symmetry))

    pictures.draw(f"{root}_it{model.iteration:03d}.png", figure, last)


def _say_plan(particles: Particles, model: Refinement, settings: Settings) -> None:
    if particles.ranks.rank == 0:
        plan, grid = pass_of(particles, model, settings, model.size), grid_of(settings, model.sampling, 0.0)
        say_plan(particles, plan, grid, len(particles), model.state)


def _one(particles: Particles, model: Refinement, settings: Settings, progress: Report, last: bool) -> Refinement:
    begin, number = time.monotonic(), model.iteration + 1

    def report(done: int) -> None:
        progress(done, len(particles), f"iteration {number}" + (", last" if last else ""))

    report(0)
    model = iterate(particles, model, settings, report, last)
    model.progress = after_iteration(model.progress, resolution_shell(model.ssnr), model.change[0],
                                     model.change[1] * particles.pixel_size,
                                     at_floor(model.sampling, *model.change, model.accuracy))
    print(_line(particles, model), f"{time.monotonic() - begin:.1f} s", flush=True)
    if not last:
        model.size = next_size(model.fsc, model.ssnr, model.size, particles.box)
        model.accuracy = lead(particles.ranks, lambda: measure_accuracy(particles, model, settings))
    return model


def _line(particles: Particles, model: Refinement) -> str:
    """Return what a person wants to know of an iteration."""
    sampling, pixel = model.sampling, particles.pixel_size
    shell = resolution_shell(model.ssnr)
    return (f"iteration {model.iteration:3d}: {particles.box * pixel / shell:6.2f} Å (FSC 0.143 "
            f"{resolution(model, particles, 0.143):.2f}), {model.size} px, {'local' if sampling.sigma else 'global'} "
            f"{sampling.fine_step:.2f}°, shifts ±{sampling.offset_range * pixel:.1f}/"
            f"{sampling.offset_step * pixel / 2:.2f} Å, Pmax {model.state.top_weight.mean():.3f}, changes "
            f"{model.change[0]:.2f}° {model.change[1] * pixel:.2f} Å, accuracy {model.accuracy[0]:.2f}° "
            f"{model.accuracy[1] * pixel:.2f} Å,")


def _schedule(particles: Particles, model: Refinement, settings: Settings) -> Refinement:
    """Decide on the sampling of the next iteration; a new grid forgets its prior."""
    invisible = invisible_step(resolution(model, particles, 0.143), settings.diameter)
    sampling, schedule = next_sampling(model.sampling, model.progress, accuracy_rotation=model.accuracy[0],
                                       accuracy_offset=model.accuracy[1], offset_change=model.change[1],
                                       local_order=settings.local_order, invisible=invisible)
    if sampling.order != model.sampling.order:
        count = directions_of(settings, sampling)
        for statistics in model.statistics:
            statistics.direction = np.full(count, 1.0 / count)
    model.sampling, model.progress = sampling, schedule
    return model


def _settings(particles: Particles, options: Any, mask: str | Path | None) -> Settings:
    require_diameter(particles, options.particle_diameter)
    if options.solvent_fsc and mask is None:
        raise CryosnakeError("solvent_fsc needs a mask: connect one to the slot mask, or set solvent_fsc: false.")
    solvent = solvent_mask(mask, options.particle_diameter, particles)
    return Settings(options.symmetry, options.particle_diameter, order_of(options.local_sampling, "local_sampling"),
                    options.ctf, options.ctf_intact_first_peak, options.zero_mask, options.seed, solvent,
                    options.solvent_fsc, options.local_regularisation, options.highres_limit or 0.0)


def _start(particles: Particles, settings: Settings, options: Any, reference: str | Path) -> Refinement:
    box, pixel = particles.box, particles.pixel_size
    volume = read_map(reference, "reference", particles)
    if not volume.any():
        raise CryosnakeError(f"{reference}: the reference is zero everywhere.")
    volume = low_pass(volume, pixel, options.initial_lowpass) * settings.solvent
    half = half_sets(particles, np.random.default_rng([options.seed, 0]))
    state = first_assignments(particles)
    order = order_of(options.sampling, "sampling")
    sampling = Sampling(order, options.offset_range, 2.0 * options.offset_step)
    mask = image_mask(particles, settings.diameter)
    directions = directions_of(settings, sampling)
    statistics = [first_statistics(particles, np.flatnonzero(half == number), state.offset, mask, directions)
                  for number in (1, 2)]
    first_shell = min(int(box * pixel / options.initial_lowpass), box // 2)
    size = min(2 * (first_shell + 10), box)
    ssnr = np.where(np.arange(box // 2 + 1) <= first_shell, 10.0, 1e-3)
    model = Refinement(0, half, state, statistics, [volume, volume], sampling, Schedule(), size,
                       (ssnr > 1).astype(np.float64), ssnr, [np.zeros(size // 2 + 1)] * 2)
    if not options.reference_absolute_greyscale:
        _rescale(particles, model, settings)
    print(f"{len(particles)} particles, {box} px of {pixel:g} Å, {len(particles.group_names)} micrographs, "
          f"{len(particles.tables['optics'])} optics group(s); symmetry {settings.symmetry}; orientations "
          f"{grid_of(settings, sampling, 0.0).size} at {angular_step(order):g}°, shifts "
          f"{len(shift_grid(sampling.offset_range, sampling.offset_step).coarse)}", flush=True)
    return model


def _rescale(particles: Particles, model: Refinement, settings: Settings) -> None:
    """Put the reference on the particles' grey scale, each half by its own particles."""
    grid = grid_of(settings, model.sampling, 0.0)
    coarse = coarse_size(grid.step, settings.diameter, particles.pixel_size, particles.box, model.size, False)
    plan = SearchPlan(model.size, coarse, shift_grid(model.sampling.offset_range, model.sampling.offset_step), 0.0,
                settings.use_ctf, settings.intact_first_peak, settings.zero_mask,
                image_mask(particles, settings.diameter), model.ssnr > 3, settings.seed)
    for half in (0, 1):
        rows = np.flatnonzero(model.half == half + 1)
        reference = map_reference(to_device(model.volumes[half][None], particles.device), plan.size, grid)
        scale = reference_scale(particles, rows, model.state, model.statistics[half], reference, plan)
        if not np.isfinite(scale) or scale <= 0:
            raise CryosnakeError("The reference does not correlate with the particles at any orientation (scale "
                                 f"{scale:g}). Is its contrast inverted, or is it another molecule?")
        model.volumes[half] = model.volumes[half] * np.float32(scale)
