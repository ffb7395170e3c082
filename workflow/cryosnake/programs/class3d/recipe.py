"""Class3D: maps of several structures from one particle set, with or without alignment."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cryosnake.errors import CryosnakeError
from cryosnake.numerics.backend import to_device
from cryosnake.numerics.refine.classes.averages import class_shells
from cryosnake.numerics.refine.grids.grids import shift_grid
from cryosnake.numerics.refine.grids.references import map_reference
from cryosnake.numerics.refine.sums.maximisation import low_pass
from cryosnake.parallel.world import lead
from cryosnake.programs.class3d.files import read_classification, write_classes
from cryosnake.programs.class3d.model import (
    Classification3D,
    Settings3D,
    flat_direction,
    grid_of,
    iterate,
    next_size,
    pass_of,
)
from cryosnake.programs.class3d.scale import scale_at_poses
from cryosnake.programs.refinement.disc import image_mask
from cryosnake.programs.refinement.estep import reference_scale
from cryosnake.programs.refinement.iteration_pictures import Pictures, views
from cryosnake.programs.refinement.particle_images import iteration_written, open_particles, root_of
from cryosnake.programs.refinement.particles import Particles, require_diameter, require_members
from cryosnake.programs.refinement.plan import say_plan, say_plan_at_poses
from cryosnake.programs.refinement.reference_maps import order_of, read_map, reference_names, solvent_mask
from cryosnake.programs.refinement.state import first_assignments, first_statistics

Report = Callable[[int, int, str], None]
_RANGE = 3.0  # standard deviations of a local search (RELION: sigma_ang = range / 3)


def run(options: Any, inputs: Mapping[str, str | Path], out: str | Path, progress: Report) -> None:
    """Classify `inputs["particles"]`; see jobs/class3d.py for options and outputs.

    Raises
    ------
    CryosnakeError
        when an input cannot be used
    """
    with open_particles(inputs["particles"], options, out, need_ctf=options.ctf) as particles:
        _classify(particles, options, inputs, root_of(progress, out), progress)


def _classify(particles: Particles, options: Any, inputs: Mapping[str, str | Path], root: Path, progress: Report,
              ) -> None:
    names, ranks = reference_names(inputs["reference"], options.classes), particles.ranks
    mask = str(inputs["mask"]) if "mask" in inputs else None
    settings = _settings(particles, options, len(names), mask)
    if options.continue_from:
        model = lead(ranks, lambda: read_classification(options.continue_from, particles, settings))
        print(f"Continuing after iteration {model.iteration} of {options.continue_from}")
    else:
        model = lead(ranks, lambda: _start(particles, settings, options, names))
        if ranks.rank == 0:
            write_classes(particles, model, settings, root, options, mask)
    pictures = Pictures(options.pictures)
    if ranks.rank == 0:
        _say_plan(particles, model, settings)
    while model.iteration < options.iterations:
        model = _one(particles, model, settings, options, progress)
        if ranks.rank == 0:
            write_classes(particles, model, settings, root, options, mask)
            iteration_written(progress, model.iteration)
            pictures.draw(f"{root}_it{model.iteration:03d}.png", partial(_picture, particles, model, settings),
                          model.iteration == options.iterations)
        model.size = next_size(particles, model.ssnr)


def _picture(particles: Particles, model: Classification3D, settings: Settings3D) -> Any:
    from cryosnake.report.panels.iteration import map_picture

    resolutions = particles.box * particles.pixel_size / class_shells(model.ssnr)
    captions = [f"{number}: {share:.0%} · {resolution:.1f} Å" if share > 0 else f"{number}: empty" for
                number, (share, resolution) in enumerate(zip(model.shares, resolutions, strict=True), 1)]
    return map_picture(list(model.volumes), captions, particles.pixel_size,
                       f"iteration {model.iteration}: {len(particles):,} particles",
                       directions=views(model.state.pose, settings.symmetry))


def _say_plan(particles: Particles, model: Classification3D, settings: Settings3D) -> None:
    plan = pass_of(particles, model, settings)
    if settings.align:
        say_plan(particles, plan, grid_of(settings, 0.0, settings.classes), len(particles), model.state)
    else:
        say_plan_at_poses(particles, plan, settings.classes)


def _one(particles: Particles, model: Classification3D, settings: Settings3D, options: Any, progress: Report,
         ) -> Classification3D:
    begin, number = time.monotonic(), model.iteration + 1
    total = len(particles) * options.iterations

    def report(done: int) -> None:
        progress(len(particles) * (number - 1) + done, total, f"iteration {number}")

    report(0)
    model = iterate(particles, model, settings, report)
    pixel = particles.pixel_size
    length, shells = particles.box * pixel, class_shells(model.ssnr)
    classes = ", ".join(f"{share:.0%} {length / shell:.1f} Å" if share > 0 else "empty"
                        for share, shell in zip(model.shares, shells, strict=True))
    print(f"iteration {number:3d}: {classes}; {model.size} px, Pmax {model.state.top_weight.mean():.3f}, changes "
          f"{model.change[0]:.1f}° {model.change[1] * pixel:.2f} Å {model.change[2]:.1%} of classes, "
          f"{time.monotonic() - begin:.1f} s", flush=True)
    return model


def _settings(particles: Particles, options: Any, references: int, mask: str | None) -> Settings3D:
    require_diameter(particles, options.particle_diameter)
    require_members(particles, options.classes)
    if options.local_range and not options.align:
        raise CryosnakeError("local_range sets how far orientations are searched, and align: false searches none; "
                             "leave one of them out.")
    if (options.local_range or not options.align) and "rlnAngleRot" not in particles.table:
        option = "align: false" if not options.align else f"local_range: {options.local_range:g}"
        raise CryosnakeError(f"{particles.path} has no orientations (rlnAngleRot), which {option} starts from. Give "
                             "the particles of a refinement, or search all orientations.")
    return Settings3D(
        options.classes, references == 1, options.symmetry, options.particle_diameter, options.tau2_fudge,
        options.align, order_of(options.sampling, "sampling"), (options.local_range or 0.0) / _RANGE,
        options.offset_range, 2.0 * options.offset_step, options.ctf, options.ctf_intact_first_peak,
        options.zero_mask, options.highres_limit or 0.0, options.seed,
        solvent_mask(mask, options.particle_diameter, particles))


def _start(particles: Particles, settings: Settings3D, options: Any, names: list[str]) -> Classification3D:
    box, pixel = particles.box, particles.pixel_size
    volumes = [_reference(name, particles, settings, options.initial_lowpass) for name in names]
    state = first_assignments(particles)
    statistics = first_statistics(particles, np.arange(len(particles)), state.offset,
                                  image_mask(particles, settings.diameter), 1)
    statistics.direction = flat_direction(settings)
    shell = min(max(int(box * pixel / options.initial_lowpass), 2), box // 2)
    ssnr = np.tile(np.where(np.arange(box // 2 + 1) <= shell, 10.0, 0.0), (settings.classes, 1))
    model = Classification3D(0, state, statistics, np.stack(volumes), ssnr, next_size(particles, ssnr),
                             np.zeros((settings.classes, 1)))
    if not options.reference_absolute_greyscale:
        _rescale(particles, model, settings)
    if len(names) < settings.classes:
        model.volumes = np.repeat(model.volumes, settings.classes, axis=0)
    grid = grid_of(settings, 0.0, settings.classes)
    searched = "no alignment"
    if settings.align:
        shifts = len(shift_grid(settings.offset_range, settings.offset_step).coarse)
        searched = (f"local search within {_RANGE * settings.sigma:g}°" if settings.sigma > 0 else
                    f"orientations {grid.size}") + f" at {grid.step:g}°, shifts {shifts}"
    print(f"{len(particles)} particles, {box} px of {pixel:g} Å, {len(particles.group_names)} micrographs, "
          f"{len(particles.tables['optics'])} optics group(s); {settings.classes} classes from {len(names)} map(s), "
          f"symmetry {settings.symmetry}; {searched}", flush=True)
    return model


def _reference(name: str, particles: Particles, settings: Settings3D, resolution: float) -> np.ndarray:
    volume = read_map(name, "reference", particles)
    if not volume.any():
        raise CryosnakeError(f"{name}: the reference is zero everywhere; leave it out.")
    return low_pass(volume, particles.pixel_size, resolution) * settings.solvent


def _rescale(particles: Particles, model: Classification3D, settings: Settings3D) -> None:
    """Put each reference on the particles' grey scale, by some particles drawn at random."""
    rows = np.random.default_rng([settings.seed, 1]).permutation(len(particles))
    plan, grid = pass_of(particles, model, settings), grid_of(replace(settings, sigma=0.0), 0.0, 1)
    for number, volume in enumerate(model.volumes):
        reference = map_reference(to_device(volume[None], particles.device), plan.size, grid)
        measure = reference_scale if settings.align and settings.sigma == 0 else scale_at_poses
        scale = measure(particles, rows, model.state, model.statistics, reference, plan)
        if not np.isfinite(scale) or scale <= 0:
            raise CryosnakeError(f"Reference {number + 1} does not correlate with the particles at any orientation "
                                 f"(scale {scale:g}). Is its contrast inverted, or is it another molecule?")
        model.volumes[number] = volume * np.float32(scale)
