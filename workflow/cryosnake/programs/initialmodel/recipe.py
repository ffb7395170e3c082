"""InitialModel: maps from particles alone, from several random starts, and a verdict on them."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from cryosnake.errors import CryosnakeError
from cryosnake.jobs.forms import IterationProgress, Progress
from cryosnake.jobs.options import InitialModelOptions
from cryosnake.numerics.refine.grids.grids import SphereGrid, shift_grid, sphere_grid
from cryosnake.numerics.refine.grids.references import MapReference
from cryosnake.numerics.refine.sums.online import Stage, stage_at
from cryosnake.numerics.symmetry import operators
from cryosnake.parallel.preread import image_bytes
from cryosnake.programs.initialmodel.even_views import evened
from cryosnake.programs.initialmodel.files import write_final, write_maps
from cryosnake.programs.initialmodel.images import RESIDENT_BYTES, with_small_images
from cryosnake.programs.initialmodel.model import (
    InitialMaps,
    first_maps,
    maps_of,
    moved_statistics,
    on_axes,
    shells_to,
    with_sums,
    with_volumes,
)
from cryosnake.programs.initialmodel.search import expect_maps
from cryosnake.programs.initialmodel.verdict import Verdict, judge, map_agreement
from cryosnake.programs.refinement.iteration_pictures import views
from cryosnake.programs.refinement.loop import iterate, report_written, reporter, run_recipe, update
from cryosnake.programs.refinement.memory import Demand
from cryosnake.programs.refinement.particles import require_members
from cryosnake.programs.refinement.plan import say_plan, workload
from cryosnake.programs.refinement.recipe import Recipe
from cryosnake.programs.refinement.state import Assignments
from cryosnake.programs.refinement.step import Accumulated, ExpectationStep, Report, SearchPlan

_CHOICE = (0.35, 0.6)  # fractions of the iterations between which a start is chosen: when poses become definite
_AXES = 0.7  # fraction after which the symmetry axes are searched
_AXES_RESOLUTION = 20.0  # Å, that their search uses at most
_COMPARED_PARTICLES = 200
_WRITE_EVERY = 10
_FEWEST = 20
_SHIFT_STEP = 0.3  # coarse step of shifts, in units of the resolution
_CONCENTRATED = 8.0  # effective number of orientations per symmetry mate, below which a search finds them cheaper
_Sampling = tuple[SearchPlan, MapReference]


class InitialModel(Recipe[InitialModelOptions, InitialMaps, _Sampling]):
    """Maps from random orientations; an iteration is a mini-batch. The work is on images of fewer pixels."""

    def set_up(self) -> None:
        """See `Recipe`."""
        work, options = self.work, self.options
        require_members(work.particles, options.classes)
        if len(work.particles) < _FEWEST:
            raise CryosnakeError(f"{work.particles.path} has {len(work.particles)} particle(s); an initial model needs "
                                 f"views from all sides, so at least {_FEWEST}, better some hundred. Pick more.")
        if options.final_resolution > options.initial_resolution:
            raise CryosnakeError(f"final_resolution is {options.final_resolution:g} Å, coarser than "
                                 f"initial_resolution, {options.initial_resolution:g} Å; swap them.")
        operators(options.symmetry)  # refuses unknown names
        self.work, self.whole = with_small_images(work, options.final_resolution), work.particles
        self.symmetry = options.symmetry.strip().upper()
        self.solvent = self.particles.disc(options.particle_diameter, 3)

    def stage(self, step: int) -> Stage:
        """Return the treatment of a mini-batch, counted from 0."""
        options = self.options
        return stage_at(step / (options.iterations - 1), (options.initial_resolution, options.final_resolution),
                        (options.initial_batch, options.final_batch), options.particle_diameter)

    def _at(self, model: InitialMaps, step: int) -> InitialMaps:
        """Return the model at a stage, with the number of shells that it uses."""
        stage = self.stage(step)
        return replace(model, stage=stage, radius=shells_to(self.particles, stage.resolution))

    def headline(self) -> str:
        """See `Recipe`."""
        options, whole, small = self.options, self.whole, self.particles
        return (f"{len(whole)} particles, {whole.box} px of {whole.pixel_size:g} Å (used: {small.box} px of "
                f"{small.pixel_size:.2f} Å); {options.classes} map(s), symmetry {self.symmetry}, {options.starts} "
                "start(s)")

    def demand(self, size: int) -> Demand:
        """See `Recipe`: the last stage, of which every start keeps its sums, and small images of all particles."""
        options, stage, particles = self.options, self.stage(self.options.iterations - 1), self.particles
        symmetry = "C1" if options.run_in_c1 else self.symmetry
        plan, grid = self._searched(stage, shells_to(particles, stage.resolution), symmetry, 0.0)
        load = workload(self.work, plan, grid, min(stage.batch, len(particles)))
        images = image_bytes((len(particles), particles.box, particles.box))
        dense = 32 * grid.size * load.pixels  # slices, sums and copies: here all orientations are always computed
        return Demand(when="the last mini-batches", load=load, sets=2 * (options.starts + 4), maps=3 * options.classes,
                      keeps_references=True, more=dense + min(images, RESIDENT_BYTES))

    def say_plan(self, model: InitialMaps) -> None:
        """Print what a mini-batch of the last stage costs."""
        last = replace(self._at(model, self.options.iterations - 1), symmetry=self.symmetry)
        plan, grid = self._search(last)
        say_plan(self.work, plan, grid, min(last.stage.batch, len(self.particles)), model.assignments)

    def start(self) -> InitialMaps:
        """Return the first random start."""
        return self._random_start(0)

    def _random_start(self, number: int) -> InitialMaps:
        symmetry = "C1" if self.options.run_in_c1 else self.symmetry
        return with_volumes(first_maps(self, self.stage(0), symmetry, self.rng(0, number)), self.solvent)

    def begin(self, model: InitialMaps, progress: Progress) -> InitialMaps:
        """Return the start that explains some particles best, after enough steps to compare them.

        All starts take as many steps as the first one, which stops when few orientations of each particle are
        probable: before that all maps are blobs.
        """
        earliest, latest = (round(part * self.options.iterations) for part in _CHOICE)
        models = [self._grown(model, 0, (earliest, latest), progress)]
        steps = models[0].iteration
        for number in range(1, self.options.starts):
            model = self.lead(partial(self._random_start, number))
            models.append(self._grown(model, number, (steps, steps), progress))
        return models[0] if len(models) == 1 else self._best(models)

    def _grown(self, model: InitialMaps, number: int, steps: tuple[int, int], progress: Progress) -> InitialMaps:
        """Run a start for the first number of steps, and up to the second while its poses are indefinite."""
        while model.iteration < steps[0] or (model.iteration < steps[1] and not model.concentrated):
            counts = self._progress(number, model.iteration)
            model = iterate(self, model, reporter(progress, *counts, f"start {number + 1}"))
        return model

    def _best(self, models: list[InitialMaps]) -> InitialMaps:
        rows = np.sort(self.rng(5).permutation(len(self.particles))[:_COMPARED_PARTICLES])
        noise = models[0].statistics.noise
        scores = self.lead(lambda: [self.likelihood(model, rows, noise) for model in models])
        best = int(np.argmax(scores))
        chosen, others = models[best], models[:best] + models[best + 1 :]
        agreements = self.lead(lambda: [map_agreement(model.largest, chosen.largest, self.particles.length)
                                        for model in others])
        self.say(f"starts at {self.stage(chosen.iteration).resolution:.0f} Å: log likelihood per particle "
                 f"{', '.join(f'{s:.1f}' for s in scores)}; continuing with start {best + 1}; the others' maps "
                 f"correlate with its map by {', '.join(f'{a:.2f}' for a in agreements)}")
        return replace(chosen, agreements=agreements)

    def progress(self, model: InitialMaps) -> tuple[int, int, str]:
        """See `Recipe`."""
        step = model.iteration
        message = f"batch {step + 1} of {self.options.iterations}, {self.stage(step).resolution:.0f} Å"
        return *self._progress(self.options.starts - 1, step), message

    def _progress(self, start: int, step: int) -> tuple[int, int]:
        """Return the number of particles done at a step of a start, both counted from 0, and the total.

        Each start counts as the longest possible one; most stop earlier.
        """
        batches = [min(self.stage(step).batch, len(self.particles)) for step in range(self.options.iterations)]
        longest = sum(batches[: round(_CHOICE[1] * self.options.iterations)])
        return (start * longest + sum(batches[:step]),
                (self.options.starts - 1) * longest + sum(batches) + len(self.particles))

    def prepare(self, model: InitialMaps) -> InitialMaps:
        """See `Recipe`; the maps are turned onto their axes when it is time.

        A mini-batch is of random particles, the same for every start.
        """
        step, count = model.iteration, len(self.particles)
        if step >= _AXES * self.options.iterations and model.symmetry != self.symmetry:
            model = self.lead(partial(self._on_axes, model))
        model = self._at(model, step)
        chance = self.lead(partial(evened, model)) if step >= _CHOICE[0] * self.options.iterations else None
        rows = np.sort(self.rng(1, step).choice(count, min(model.stage.batch, count), replace=False, p=chance))
        return replace(model, iteration=step + 1, rows=rows, perturbation=float(self.rng(2, step).uniform(-0.5, 0.5)))

    def _on_axes(self, model: InitialMaps) -> InitialMaps:
        length = self.particles.length
        radius = min(model.radius, max(int(length / _AXES_RESOLUTION), 4))
        model = on_axes(model, self.symmetry, radius, self.solvent)
        self.say(f"axes of {self.symmetry} found at {length / radius:.0f} Å; the turned copies of the map correlate by "
                 f"{model.had_symmetry:.2f}")
        return model

    def _search(self, model: InitialMaps) -> tuple[SearchPlan, SphereGrid]:
        """Return the search of a mini-batch."""
        return self._searched(model.stage, model.radius, model.symmetry, model.perturbation)

    def _searched(self, stage: Stage, radius: int, symmetry: str, perturbation: float) -> tuple[SearchPlan, SphereGrid]:
        options, particles = self.options, self.particles
        grid = sphere_grid(stage.order, symmetry, perturbation, classes=options.classes)
        step = max(_SHIFT_STEP * stage.resolution / particles.pixel_size, 1.0)
        reach = options.offset_range / particles.pixel_size * stage.resolution / options.initial_resolution
        shifts = shift_grid(max(reach, 1.5 * step), step, perturbation)
        return self.search_plan(2 * radius, self.coarse_size(grid.step, 2 * radius), shifts,
                                np.zeros(particles.shells, bool), options.seed), grid

    def sampling(self, model: InitialMaps) -> _Sampling:
        """Return the plan and the maps as references."""
        plan, grid = self._search(model)
        return plan, self.maps(model.volumes, plan.size, grid)

    def sets(self, model: InitialMaps) -> list[np.ndarray]:
        """Return the halves of a mini-batch: even and odd rows."""
        halves = [model.rows[model.rows % 2 == half] for half in (0, 1)]
        return [half for half in halves if len(half)]

    def expect(self, model: InitialMaps, sampling: _Sampling, number: int, rows: np.ndarray, report: Report,
               ) -> Accumulated:
        """See `Recipe`."""
        plan, reference = sampling
        step = ExpectationStep(work=self.work, rows=rows, assignments=model.assignments, statistics=model.statistics,
                               reference=reference, plan=plan, report=report)
        return expect_maps(step, reference, model.stage.temperature if model.dense else None)

    def learn(self, model: InitialMaps, sampling: _Sampling, found: list[Accumulated], assignments: Assignments,
              ) -> InitialMaps:
        """See `Recipe`."""
        if model.dense:
            definite = _CONCENTRATED * len(operators(self.symmetry))
            model = replace(model, concentrated=float(np.median(assignments.significant[model.rows])) < definite)
        halves = [int(rows[0] % 2) for rows in self.sets(model)]
        model = with_sums(model, zip(halves, found, strict=True))
        statistics = moved_statistics(self.particles, model.statistics, model.rows, found)
        return with_volumes(replace(model, assignments=assignments, statistics=statistics), self.solvent)

    def pose_search(self, model: InitialMaps, rows: np.ndarray) -> Assignments:
        """Return the assignments of `rows` found again, by this rank, in the model's maps."""
        model = replace(model, perturbation=0.0)
        return self.expect(model, self.sampling(model), 0, rows, lambda done: None).assigned

    def likelihood(self, model: InitialMaps, rows: np.ndarray, noise: np.ndarray) -> float:
        """Return the mean log likelihood of `rows` under the model's maps and a noise spectrum that is common to all.

        It is relative to that of no map.
        """
        stage = replace(self.stage(model.iteration), temperature=1.0, dense=True)
        rival = replace(model, stage=stage, statistics=replace(model.statistics, noise=noise))
        return float(self.pose_search(rival, rows).log_likelihood.mean())

    def line(self, model: InitialMaps, seconds: float) -> str:
        """See `Recipe`."""
        if model.iteration % _WRITE_EVERY:
            return ""
        statistics, shares = model.statistics, " ".join(f"{share:.2f}" for share in model.statistics.direction)
        return (f"batch {model.iteration:3d}: {model.stage.resolution:.1f} Å, {model.radius} shells, Pmax "
                f"{model.assignments.top_weight[model.rows].mean():.3f}, classes {shares}, offsets "
                f"{statistics.offset_sigma * self.particles.pixel_size:.1f} Å")

    def write(self, model: InitialMaps) -> bool:
        """See `Recipe`; every tenth mini-batch writes its maps."""
        if model.iteration % _WRITE_EVERY:
            return False
        write_maps(self, model, self.whole)
        return True

    def picture(self, model: InitialMaps) -> Any:
        """See `Recipe`."""
        from cryosnake.report.panels.iteration import map_picture

        captions = [f"{number}: {share:.0%}" for number, share in enumerate(model.statistics.direction, 1)]
        title = f"batch {model.iteration} of {self.options.iterations}: {model.stage.resolution:.0f} Å"
        return map_picture(list(model.volumes), captions, self.particles.pixel_size, title,
                           directions=views(model.assignments.pose, model.symmetry))

    def close(self, model: InitialMaps, progress: IterationProgress) -> None:
        """Assign all particles with the last maps, and judge them."""
        report = reporter(progress, *self._progress(self.options.starts - 1, model.iteration), "all particles")
        model = self._at(model, self.options.iterations - 1)
        model = replace(model, stage=replace(model.stage, decay=0.0), rows=np.arange(len(self.particles)),
                        perturbation=float(self.rng(3).uniform(-0.5, 0.5)))
        model = update(self, model, report)
        verdict = self.lead(lambda: self._judged(model))
        if self.work.ranks.rank == 0:
            write_final(self, model, self.whole, verdict)
            report_written(progress, model.iteration)
        self.say(verdict.describe())

    def _judged(self, model: InitialMaps) -> Verdict:
        """Return the verdict on the model whose sums are those of two halves of all particles."""
        count = len(self.particles)
        rows = np.sort(self.rng(4).choice(count, min(_COMPARED_PARTICLES, count), replace=False))
        maps = [maps_of(sums, model.radius, 0.5 * model.ssnr, self.solvent) for sums in model.sums]
        first, second = (self.pose_search(replace(model, volumes=volumes), rows) for volumes in maps)
        return judge(self.particles.length, model, first, second)


run = partial(run_recipe, InitialModel)
