"""InitialModel: maps from particles alone, from several random starts, and whether they can be believed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cryosnake.errors import CryosnakeError
from cryosnake.numerics.refine.sums.online import Stage, stage_at
from cryosnake.numerics.symmetry import operators
from cryosnake.numerics.symmetry_axes import find_axes
from cryosnake.parallel.world import lead
from cryosnake.programs.initialmodel.files import write_final, write_maps
from cryosnake.programs.initialmodel.images import small_particles
from cryosnake.programs.initialmodel.model import (
    Model,
    Settings,
    first_model,
    impose_symmetry,
    likelihood,
    say_stage,
    use_batch,
)
from cryosnake.programs.initialmodel.verdict import Verdict, judge, map_agreement
from cryosnake.programs.refinement.iteration_pictures import Pictures, views
from cryosnake.programs.refinement.particle_images import iteration_written, open_particles
from cryosnake.programs.refinement.particles import Particles, require_diameter, require_members
from cryosnake.programs.refinement.state import first_assignments

Report = Callable[[int, int, str], None]
_CHOICE = (0.35, 0.6)  # parts of the way between which one start is chosen: when its poses become definite
_AXES = 0.7  # part after which the axes are looked for
_AXES_RESOLUTION = 20.0  # Å, that their search uses at most
_COMPARED_PARTICLES = 200
_WRITE_EVERY = 10
_FEWEST = 20


def run(options: Any, inputs: Mapping[str, str | Path], out: str | Path, progress: Report) -> None:
    """Make maps from `inputs["particles"]`; see jobs/initialmodel.py for options and outputs.

    Raises
    ------
    CryosnakeError
        when an input cannot be used
    """
    with open_particles(inputs["particles"], options, out, need_ctf=options.ctf) as particles:
        _make_model(particles, options, Path(out) / "run", progress)


def _make_model(particles: Particles, options: Any, root: Path, progress: Report) -> None:
    settings = _settings(particles, options)
    small = small_particles(particles, options.final_resolution)
    print(f"{len(particles)} particles, {particles.box} px of {particles.pixel_size:g} Å (used: {small.box} px of "
          f"{small.pixel_size:.2f} Å); {settings.classes} map(s), symmetry {settings.symmetry}, "
          f"{options.starts} start(s)", flush=True)
    tell = _counter(particles, options, progress)
    if small.ranks.rank == 0:
        say_stage(small, settings, _stage(options.iterations - 1, options), first_assignments(small))
    model, step, agreements = _best_start(small, settings, options, tell)
    save = partial(_save, particles, small, options, root, progress, Pictures(options.pictures))
    model, symmetry = _grow(small, model, settings, options, step, tell, save)
    last = stage_at(1.0, *_range(options))
    model = use_batch(small, model, settings, last, np.arange(len(small)), _rng(options, 3), decay=0.0,
                      report=lambda done: tell(0, "all particles"))
    tell(len(small), "all particles")
    verdict = lead(small.ranks, lambda: judge(small, model, settings, last, agreements, symmetry, _rng(options, 4)))
    if small.ranks.rank == 0:
        write_final(particles, small, model, settings, root, options, verdict)
        iteration_written(progress, options.iterations)
    _say(verdict)


def _settings(particles: Particles, options: Any) -> Settings:
    require_diameter(particles, options.particle_diameter)
    require_members(particles, options.classes)
    if len(particles) < _FEWEST:
        raise CryosnakeError(f"{particles.path} has {len(particles)} particle(s); an initial model takes views from "
                             f"all sides, so at least {_FEWEST}, better some hundred. Pick more.")
    if options.final_resolution > options.initial_resolution:
        raise CryosnakeError(f"final_resolution is {options.final_resolution:g} Å, coarser than initial_resolution, "
                             f"{options.initial_resolution:g} Å; swap them.")
    operators(options.symmetry)  # refuses unknown names
    return Settings(options.classes, options.symmetry.strip().upper(), options.particle_diameter, options.offset_range,
                    options.initial_resolution, options.ctf, options.ctf_intact_first_peak, options.zero_mask,
                    options.seed)


def _range(options: Any) -> tuple[tuple[float, float], tuple[int, int], float]:
    return ((options.initial_resolution, options.final_resolution), (options.initial_batch, options.final_batch),
            options.particle_diameter)


def _stage(step: int, options: Any) -> Stage:
    return stage_at(step / (options.iterations - 1), *_range(options))


def _rng(options: Any, *purpose: int) -> np.random.Generator:
    return np.random.default_rng([options.seed, *purpose])


def _counter(particles: Particles, options: Any, progress: Report) -> Callable[[int, str], None]:
    """Return what counts particles for the progress bar; it may raise to stop."""
    batches = [min(_stage(step, options).batch, len(particles)) for step in range(options.iterations)]
    most = round(_CHOICE[1] * options.iterations)  # each start may take so many; most are done earlier
    total, done = options.starts * sum(batches[:most]) + sum(batches[most:]) + len(particles), 0

    def tell(count: int, message: str) -> None:
        nonlocal done
        done = min(done + count, total)
        progress(done, total, message)

    return tell


def _batch(count: int, step: int, options: Any) -> np.ndarray:
    """Return the rows of a mini-batch: random ones, so that every start sees the same."""
    size = min(_stage(step, options).batch, count)
    return np.sort(_rng(options, 1, step).choice(count, size, replace=False))


def _one(small: Particles, model: Model, settings: Settings, options: Any, step: int) -> Model:
    return use_batch(small, model, settings, _stage(step, options), _batch(len(small), step, options),
                     _rng(options, 2, step))


def _best_start(small: Particles, settings: Settings, options: Any, tell: Callable[[int, str], None],
                ) -> tuple[Model, int, list[float]]:
    """Return the start that explains some particles best, its next step, and how well the others' maps agree with it.

    All starts go as far as the first one, which goes on until few orientations of each particle are probable: before
    that all maps are blobs.
    """
    earliest, latest = (round(part * options.iterations) for part in _CHOICE)
    first, step = _one_start(small, settings, options, 0, (earliest, latest), tell)
    models = [first] + [_one_start(small, settings, options, number, (step, step), tell)[0]
                        for number in range(1, options.starts)]
    if len(models) == 1:
        return first, step, []
    rows = np.sort(_rng(options, 5).permutation(len(small))[:_COMPARED_PARTICLES])
    stage, noise = _stage(step, options), first.statistics.noise
    scores = lead(small.ranks, lambda: [likelihood(small, model, settings, stage, rows, noise) for model in models])
    best = int(np.argmax(scores))
    length = small.box * small.pixel_size
    agreements = lead(small.ranks, lambda: [map_agreement(_largest(model), _largest(models[best]), length)
                                            for number, model in enumerate(models) if number != best])
    print(f"starts at {stage.resolution:.0f} Å: log likelihood per particle {', '.join(f'{s:.1f}' for s in scores)}; "
          f"start {best + 1} goes on; the others' maps correlate with its map by "
          f"{', '.join(f'{a:.2f}' for a in agreements)}", flush=True)
    return models[best], step, agreements


def _one_start(small: Particles, settings: Settings, options: Any, number: int, steps: tuple[int, int],
               tell: Callable[[int, str], None]) -> tuple[Model, int]:
    """Run a start for the first number of steps, and on to the second while its poses are indefinite."""
    symmetry = "C1" if options.run_in_c1 else settings.symmetry
    model, step = lead(small.ranks, lambda: first_model(small, settings, symmetry, options.initial_resolution,
                                                        _rng(options, 0, number))), 0
    while step < steps[0] or (step < steps[1] and not model.concentrated):
        tell(_stage(step, options).batch, f"start {number + 1}")
        model = _one(small, model, settings, options, step)
        step += 1
    return model, step


def _largest(model: Model) -> np.ndarray:
    return model.volumes[int(np.argmax(model.statistics.direction))]


def _grow(small: Particles, model: Model, settings: Settings, options: Any, first: int,
          tell: Callable[[int, str], None], save: Callable[..., object]) -> tuple[Model, float]:
    """Take the chosen start from its step `first` to the last resolution.

    Returns it, and how well the map had its symmetry before it was imposed.
    """
    symmetry = 1.0
    for step in range(first, options.iterations):
        stage = _stage(step, options)
        tell(stage.batch, f"batch {step + 1} of {options.iterations}, {stage.resolution:.0f} Å")
        if step >= _AXES * options.iterations and model.symmetry != settings.symmetry:
            model, symmetry = lead(small.ranks, partial(_on_axes, small, model, settings))
        model = _one(small, model, settings, options, step)
        if (step + 1) % _WRITE_EVERY == 0:
            if small.ranks.rank == 0:
                save(model, step + 1)
            print(f"batch {step + 1:3d}: {stage.resolution:.1f} Å, {model.radius} shells, Pmax "
                  f"{model.state.top_weight[_batch(len(small), step, options)].mean():.3f}, classes "
                  f"{' '.join(f'{share:.2f}' for share in model.statistics.direction)}, offsets "
                  f"{model.statistics.offset_sigma * small.pixel_size:.1f} Å", flush=True)
    return model, symmetry


def _save(particles: Particles, small: Particles, options: Any, root: Path, progress: Report, pictures: Pictures,
          model: Model, iteration: int) -> None:
    """Write the maps after a batch, and their picture."""
    def figure() -> Any:
        from cryosnake.report.panels.iteration import map_picture

        captions = [f"{number}: {share:.0%}" for number, share in enumerate(model.statistics.direction, 1)]
        title = f"batch {iteration} of {options.iterations}: {_stage(iteration - 1, options).resolution:.0f} Å"
        return map_picture(list(model.volumes), captions, small.pixel_size, title,
                           directions=views(model.state.pose, model.symmetry))

    write_maps(particles, small, model.volumes, root, iteration)
    iteration_written(progress, iteration)
    pictures.draw(f"{root}_it{iteration:03d}.png", figure, iteration == options.iterations)


def _on_axes(small: Particles, model: Model, settings: Settings) -> tuple[Model, float]:
    """Return the model with its maps turned onto their axes, and how well they had the symmetry before."""
    length = small.box * small.pixel_size
    radius = min(model.radius, max(int(length / _AXES_RESOLUTION), 4))
    axes = [find_axes(volume, settings.symmetry, radius) for volume in model.volumes]
    symmetry = axes[int(np.argmax(model.statistics.direction))].agreement
    print(f"axes of {settings.symmetry} found at {length / radius:.0f} Å; the turned copies of the map correlate by "
          f"{symmetry:.2f}", flush=True)
    impose_symmetry(small, model, settings, axes)
    return model, symmetry


def _say(verdict: Verdict) -> None:
    print(f"Pmax {verdict.top_weight:.3f}; FSC of the halves 0.5 at {verdict.resolution:.1f} Å; poses found with "
          f"either half's map agree for {verdict.reproduced:.0%} of the particles ({verdict.by_chance:.0%} by chance)")
    if verdict.doubts:
        print("NOT CONVERGED: " + "; ".join(verdict.doubts) + ". Do not refine from this map: try more starts, more "
              "iterations, cleaner particles, another particle_diameter or seed.", flush=True)
    else:
        print("Converged. The hand is not known: it is right in one case of two.", flush=True)
