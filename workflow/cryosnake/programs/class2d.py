"""Class2D: class averages of particles by regularised likelihood, from random starts."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import scipy.fft

from cryosnake.errors import CryosnakeError
from cryosnake.numerics.backend import use_device
from cryosnake.numerics.refine.classes import class_shells, random_seeds
from cryosnake.numerics.refine.grids import shift_grid
from cryosnake.programs.class2d_files import read_classification, write_classes, write_unmasked
from cryosnake.programs.class2d_model import (
    FIRST_RESOLUTION,
    Classification,
    Settings2D,
    first_averages,
    iterate,
    next_size,
    plane_grid,
)
from cryosnake.programs.particles import Particles, read_particles
from cryosnake.programs.refine_model import image_mask
from cryosnake.programs.refine_state import first_assignments, first_statistics

Report = Callable[[int, int, str], None]


def run(options: Any, inputs: Mapping[str, str | Path], out: str | Path, progress: Report) -> None:
    """Classify `inputs["particles"]`; see jobs/class2d.py for options and outputs.

    Raises
    ------
    CryosnakeError
        when an input cannot be used
    """
    device = use_device(options.device, options.gpu_ids)
    particles = read_particles(inputs["particles"], options.ctf, device)
    settings = _settings(particles, options)
    root = Path(out) / "run"
    if options.continue_from:
        model = read_classification(options.continue_from, particles, settings)
        print(f"Continuing after iteration {model.iteration} of {options.continue_from}")
    else:
        model = _start(particles, settings)
        write_classes(particles, model, settings, root, options)
    while model.iteration < options.iterations:
        model = _one(particles, model, settings, options, progress)
        write_classes(particles, model, settings, root, options)
    if model.unmasked.size:
        write_unmasked(particles, model, root)


def _one(particles: Particles, model: Classification, settings: Settings2D, options: Any, progress: Report,
         ) -> Classification:
    begin, number = time.monotonic(), model.iteration + 1
    total = len(particles) * options.iterations

    def report(done: int) -> None:
        progress(len(particles) * (number - 1) + done, total, f"iteration {number}")

    report(0)
    model = iterate(particles, model, settings, report)
    pixel, shells = particles.pixel_size, class_shells(model.ssnr)
    length, members = particles.box * pixel, np.bincount(model.state.klass, minlength=settings.classes)
    print(f"iteration {number:3d}: best class {length / shells.max():.1f} Å, {(members > 0).sum()} of "
          f"{settings.classes} classes in use, largest {members.max() / len(particles):.0%}, {model.size} px, Pmax "
          f"{model.state.top_weight.mean():.3f}, changes {model.change[0]:.1f}° {model.change[1] * pixel:.2f} Å "
          f"{model.change[2]:.1%} of classes, {time.monotonic() - begin:.1f} s", flush=True)
    model.size = next_size(particles, model.ssnr, settings)
    return model


def _settings(particles: Particles, options: Any) -> Settings2D:
    box, pixel = particles.box, particles.pixel_size
    if not 0 < options.particle_diameter < box * pixel:
        raise CryosnakeError(f"particle_diameter is {options.particle_diameter:g} Å; it must be smaller than the box "
                             f"of {particles.path}, {box} × {pixel:g} = {box * pixel:g} Å.")
    if options.classes > len(particles):
        raise CryosnakeError(f"classes is {options.classes}, but {particles.path} has {len(particles)} particle(s); "
                             "ask for fewer classes.")
    return Settings2D(options.classes, options.particle_diameter, options.tau2_fudge, 2.0 * options.psi_step,
                      options.offset_range, 2.0 * options.offset_step, options.ctf, options.ctf_intact_first_peak,
                      options.zero_mask, max(options.highres_limit or 0.0, 0.0), options.center_classes, options.seed)


def _start(particles: Particles, settings: Settings2D) -> Classification:
    box, pixel = particles.box, particles.pixel_size
    state = first_assignments(particles)
    state.klass = random_seeds(len(particles), settings.classes, np.random.default_rng([settings.seed, 0]))
    mask = image_mask(particles, settings.diameter)
    rows = np.arange(len(particles))
    statistics = first_statistics(particles, rows, state.offset, mask, settings.classes)
    shell = min(max(int(box * pixel / FIRST_RESOLUTION), 2), box // 2)
    averages = _low_passed(first_averages(particles, state.klass, state.offset, settings.classes), shell)
    averages *= mask
    ssnr = np.tile(np.where(np.arange(box // 2 + 1) <= shell, 10.0, 0.0), (settings.classes, 1))
    grid = plane_grid(settings, 0.0)
    print(f"{len(particles)} particles, {box} px of {pixel:g} Å, {len(particles.group_names)} micrographs, "
          f"{len(particles.tables['optics'])} optics group(s); {settings.classes} classes, {grid.psi_count} angles of "
          f"{grid.step:g}°, {len(shift_grid(settings.offset_range, settings.offset_step).coarse)} shifts", flush=True)
    return Classification(0, state, statistics, averages, ssnr, next_size(particles, ssnr, settings),
                          np.zeros((settings.classes, 1)))


def _low_passed(images: np.ndarray, shell: int) -> np.ndarray:
    box = images.shape[1]
    ky = np.fft.fftfreq(box, 1.0 / box)[:, None]
    radius = np.hypot(ky, np.arange(box // 2 + 1))
    keep = 0.5 + 0.5 * np.cos(np.pi * np.clip((radius - shell) / 2.0, 0.0, 1.0))
    return scipy.fft.irfft2(scipy.fft.rfft2(images) * keep, s=(box, box)).astype(np.float32)
