"""InitialModel: maps from particles alone, from several random starts, and whether they can be believed."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from cryosnake.errors import CryosnakeError
from cryosnake.jobs.forms import IterationProgress, Progress
from cryosnake.jobs.options import InitialModelOptions
from cryosnake.numerics.refine.grids.grids import shift_grid, sphere_grid
from cryosnake.numerics.refine.grids.references import MapReference
from cryosnake.numerics.refine.search.schedule import coarse_size
from cryosnake.numerics.refine.sums.online import Stage, resized_sums, stage_at
from cryosnake.numerics.symmetry import operators
from cryosnake.numerics.symmetry_axes import find_axes, symmetrised
from cryosnake.programs.initialmodel.files import write_final, write_maps
from cryosnake.programs.initialmodel.images import with_small_images
from cryosnake.programs.initialmodel.model import (
    InitialMaps,
    first_maps,
    moved_statistics,
    shells_to,
    with_halves_ssnr,
    with_sums,
    with_volumes,
)
from cryosnake.programs.initialmodel.search import expect_maps
from cryosnake.programs.initialmodel.verdict import Verdict, compared_particles, half_maps, judge, map_agreement
from cryosnake.programs.refinement.iteration_pictures import views
from cryosnake.programs.refinement.loop import iterate, run_recipe, tell_written, update
from cryosnake.programs.refinement.particles import require_members
from cryosnake.programs.refinement.plan import say_plan
from cryosnake.programs.refinement.recipe import Recipe
from cryosnake.programs.refinement.state import Assignments
from cryosnake.programs.refinement.step import Accumulated, ExpectationStep, Report, SearchPlan

_CHOICE = (0.35, 0.6)  # parts of the way between which one start is chosen: when its poses become definite
_AXES = 0.7  # part after which the axes are looked for
_AXES_RESOLUTION = 20.0  # Å, that their search uses at most
_COMPARED_PARTICLES = 200
_WRITE_EVERY = 10
_FEWEST = 20
_SHIFT_STEP = 0.3  # coarse step of shifts, in units of the resolution
_CONCENTRATED = 8.0  # effective number of orientations per symmetry mate, below which a search finds them cheaper
_Sampling = tuple[Stage, SearchPlan, MapReference]


class InitialModel(Recipe[InitialModelOptions, InitialMaps, _Sampling]):
    """Maps from random orientations; an iteration is a mini-batch. The work is on images of fewer pixels."""

    def set_up(self) -> None:
        """See `Recipe`."""
        work, options = self.work, self.options
        require_members(work.particles, options.classes)
        if len(work.particles) < _FEWEST:
            raise CryosnakeError(f"{work.particles.path} has {len(work.particles)} particle(s); an initial model takes "
                                 f"views from all sides, so at least {_FEWEST}, better some hundred. Pick more.")
        if options.final_resolution > options.initial_resolution:
            raise CryosnakeError(f"final_resolution is {options.final_resolution:g} Å, coarser than "
                                 f"initial_resolution, {options.initial_resolution:g} Å; swap them.")
        operators(options.symmetry)  # refuses unknown names
        self.work, self.whole = with_small_images(work, options.final_resolution), work.particles
        self.symmetry = options.symmetry.strip().upper()
        self.agreements: list[float] = []  # how well the other starts' maps agree with the chosen one

    def stage(self, step: int) -> Stage:
        """Return how a mini-batch is used, counted from 0."""
        options = self.options
        return stage_at(step / (options.iterations - 1), (options.initial_resolution, options.final_resolution),
                        (options.initial_batch, options.final_batch), options.particle_diameter)

    def stage_of(self, model: InitialMaps) -> Stage:
        """Return how the mini-batch of an iteration is used."""
        return self.stage(self.options.iterations - 1 if model.whole else model.iteration - 1)

    def rng(self, *purpose: int) -> np.random.Generator:
        """Return random numbers for a purpose."""
        return np.random.default_rng([self.options.seed, *purpose])

    def rows(self, model: InitialMaps) -> np.ndarray:
        """Return the rows of a mini-batch: random ones, so that every start sees the same."""
        count = len(self.particles)
        if model.whole:
            return np.arange(count)
        size = min(self.stage_of(model).batch, count)
        return np.sort(self.rng(1, model.iteration - 1).choice(count, size, replace=False))

    def headline(self) -> str:
        """See `Recipe`."""
        options, whole, small = self.options, self.whole, self.particles
        return (f"{len(whole)} particles, {whole.box} px of {whole.pixel_size:g} Å (used: {small.box} px of "
                f"{small.pixel_size:.2f} Å); {options.classes} map(s), symmetry {self.symmetry}, {options.starts} "
                "start(s)")

    def say_plan(self, model: InitialMaps) -> None:
        """Print what a mini-batch of the last stage costs, before the first one."""
        if model.iteration:
            return
        stage = self.stage(self.options.iterations - 1)
        grid = sphere_grid(stage.order, self.symmetry, 0.0, classes=self.options.classes)
        say_plan(self.work, self._plan(stage, 0.0), grid, min(stage.batch, len(self.particles)), model.assignments)

    def start(self) -> InitialMaps:
        """Return the first random start."""
        return self._random_start(0)

    def _random_start(self, number: int) -> InitialMaps:
        symmetry = "C1" if self.options.run_in_c1 else self.symmetry
        return first_maps(self.work, self.options, self.mask, symmetry, self.rng(0, number))

    def begin(self, progress: Progress) -> InitialMaps:
        """Return the start that explains some particles best, as far as it is needed to see that.

        All starts go as far as the first one, which goes on until few orientations of each particle are probable:
        before that all maps are blobs.
        """
        self.say(self.headline())
        earliest, latest = (round(part * self.options.iterations) for part in _CHOICE)
        first = self.lead(self.start)
        if self.work.ranks.rank == 0:
            self.say_plan(first)
        first = self._grown(first, 0, (earliest, latest), progress)
        models = [first]
        for number in range(1, self.options.starts):
            model = self.lead(partial(self._random_start, number))
            models.append(self._grown(model, number, (first.iteration, first.iteration), progress))
        return first if len(models) == 1 else self._best(models)

    def _grown(self, model: InitialMaps, number: int, steps: tuple[int, int], progress: Progress) -> InitialMaps:
        """Take a start through the first number of steps, and on to the second while its poses are indefinite."""
        while model.iteration < steps[0] or (model.iteration < steps[1] and not model.concentrated):
            report = partial(self._report, progress, number, model.iteration, f"start {number + 1}")
            model = iterate(self, model, report)
        return model

    def _best(self, models: list[InitialMaps]) -> InitialMaps:
        rows = np.sort(self.rng(5).permutation(len(self.particles))[:_COMPARED_PARTICLES])
        stage, noise = self.stage(models[0].iteration), models[0].statistics.noise
        scores = self.lead(lambda: [self.likelihood(model, stage, rows, noise) for model in models])
        best = int(np.argmax(scores))
        self.agreements = self.lead(lambda: [
            map_agreement(model.largest, models[best].largest, self.particles.length)
            for number, model in enumerate(models) if number != best])
        self.say(f"starts at {stage.resolution:.0f} Å: log likelihood per particle "
                 f"{', '.join(f'{s:.1f}' for s in scores)}; start {best + 1} goes on; the others' maps correlate with "
                 f"its map by {', '.join(f'{a:.2f}' for a in self.agreements)}")
        return models[best]

    def progress(self, model: InitialMaps) -> tuple[int, int, str]:
        """See `Recipe`."""
        step = model.iteration
        message = f"batch {step + 1} of {self.options.iterations}, {self.stage(step).resolution:.0f} Å"
        return *self._progress(self.options.starts - 1, step), message

    def _progress(self, start: int, step: int) -> tuple[int, int]:
        """Return how many particles are done at a step of a start, both counted from 0, and how many there are in all.

        Each start may take so many as the longest; most are done earlier.
        """
        batches = [min(self.stage(step).batch, len(self.particles)) for step in range(self.options.iterations)]
        longest = sum(batches[: round(_CHOICE[1] * self.options.iterations)])
        return (start * longest + sum(batches[:step]),
                (self.options.starts - 1) * longest + sum(batches) + len(self.particles))

    def _report(self, progress: Progress, start: int, step: int, message: str, done: int) -> None:
        before, total = self._progress(start, step)
        progress(before + done, total, message)

    def prepare(self, model: InitialMaps) -> InitialMaps:
        """See `Recipe`; the maps are turned onto their axes when it is time."""
        step = model.iteration
        if step >= _AXES * self.options.iterations and model.symmetry != self.symmetry:
            model = self.lead(partial(self._on_axes, model))
        perturbation = float(self.rng(2, step).uniform(-0.5, 0.5))
        return replace(model, iteration=step + 1, perturbation=perturbation)

    def _on_axes(self, model: InitialMaps) -> InitialMaps:
        """Return the model with its maps turned onto their axes and averaged over the group.

        The sums, made without it, are forgotten.
        """
        length, diameter = self.particles.length, self.options.particle_diameter
        radius = min(model.radius, max(int(length / _AXES_RESOLUTION), 4))
        axes = [find_axes(volume, self.symmetry, radius) for volume in model.volumes]
        agreement = axes[int(np.argmax(model.statistics.direction))].agreement
        self.say(f"axes of {self.symmetry} found at {length / radius:.0f} Å; the turned copies of the map correlate by "
                 f"{agreement:.2f}")
        solvent = self.particles.disc(diameter, 3)
        volumes = np.stack([symmetrised(volume, own, self.symmetry) * solvent
                            for volume, own in zip(model.volumes, axes, strict=True)])
        return replace(model, volumes=volumes, symmetry=self.symmetry, sums=np.zeros_like(model.sums),
                       had_symmetry=agreement)

    def _plan(self, stage: Stage, perturbation: float, radius: int | None = None) -> SearchPlan:
        options, particles = self.options, self.particles
        radius = shells_to(particles, stage.resolution) if radius is None else radius
        step = max(_SHIFT_STEP * stage.resolution / particles.pixel_size, 1.0)
        reach = options.offset_range / particles.pixel_size * stage.resolution / options.initial_resolution
        coarse = 2 * radius
        if not stage.dense:  # matters to the search for significant samples only
            coarse = coarse_size(60.0 / (1 << stage.order), options.particle_diameter, particles.pixel_size,
                                 particles.box, coarse, two_dimensional=False)
        return self.search_plan(2 * radius, coarse, shift_grid(max(reach, 1.5 * step), step, perturbation),
                                np.zeros(particles.shells, bool), options.seed)

    def sampling(self, model: InitialMaps) -> _Sampling:
        """Return the stage, the plan and the maps as references."""
        stage = self.stage_of(model)
        plan = self._plan(stage, model.perturbation)
        return stage, plan, self._reference(model, model.volumes, stage, plan)

    def _reference(self, model: InitialMaps, volumes: np.ndarray, stage: Stage, plan: SearchPlan) -> MapReference:
        grid = sphere_grid(stage.order, model.symmetry, model.perturbation, classes=self.options.classes)
        return self.maps(volumes, plan.size, grid)

    def _halves(self, model: InitialMaps) -> list[tuple[int, np.ndarray]]:
        """Return halves of a mini-batch, 0 and 1, and their rows; none is empty."""
        rows = self.rows(model)
        return [(half, mine) for half in (0, 1) if len(mine := rows[rows % 2 == half])]

    def sets(self, model: InitialMaps) -> list[np.ndarray]:
        """See `Recipe`."""
        return [rows for _, rows in self._halves(model)]

    def expect(self, model: InitialMaps, sampling: _Sampling, number: int, rows: np.ndarray, report: Report,
               ) -> Accumulated:
        """See `Recipe`."""
        stage, plan, reference = sampling
        step = ExpectationStep(work=self.work, rows=rows, assignments=model.assignments, statistics=model.statistics,
                               reference=reference, plan=plan, report=report)
        return expect_maps(step, reference, stage.temperature if _is_dense(model, stage) else None)

    def learn(self, model: InitialMaps, sampling: _Sampling, found: list[Accumulated], assignments: Assignments,
              ) -> InitialMaps:
        """See `Recipe`."""
        stage, rows, radius = sampling[0], self.rows(model), sampling[1].size // 2
        if _is_dense(model, stage):
            definite = _CONCENTRATED * len(operators(self.symmetry))
            model = replace(model, concentrated=float(np.median(assignments.significant[rows])) < definite)
        sums = resized_sums(model.sums, radius) * np.float32(0.0 if model.whole else stage.decay)
        numbers = [half for half, _ in self._halves(model)]
        model = with_sums(model, sums, list(zip(numbers, found, strict=True)))
        model = with_halves_ssnr(replace(model, radius=radius), self.particles.shells)
        statistics = moved_statistics(self.particles, model.statistics, rows, found)
        return with_volumes(self.particles, self.options.particle_diameter,
                            replace(model, assignments=assignments, statistics=statistics))

    def pose_search(self, model: InitialMaps, stage: Stage, volumes: np.ndarray, rows: np.ndarray) -> Assignments:
        """Return the assignments of `rows` found anew, by this rank, in maps (classes, box, box, box)."""
        model = replace(model, perturbation=0.0)
        plan = self._plan(stage, 0.0, model.radius)
        sampling = stage, plan, self._reference(model, volumes, stage, plan)
        return self.expect(model, sampling, 0, rows, lambda done: None).assigned

    def likelihood(self, model: InitialMaps, stage: Stage, rows: np.ndarray, noise: np.ndarray) -> float:
        """Return the mean log likelihood of `rows` under the model's maps and a noise spectrum that is common to all.

        It is that of the maps over that of no map at all.
        """
        rival = replace(model, statistics=replace(model.statistics, noise=noise))
        found = self.pose_search(rival, replace(stage, temperature=1.0, dense=True), model.volumes, rows)
        return float(found.log_likelihood.mean())

    def line(self, model: InitialMaps, seconds: float) -> str:
        """See `Recipe`."""
        if model.iteration % _WRITE_EVERY:
            return ""
        statistics, shares = model.statistics, " ".join(f"{share:.2f}" for share in model.statistics.direction)
        return (f"batch {model.iteration:3d}: {self.stage_of(model).resolution:.1f} Å, {model.radius} shells, Pmax "
                f"{model.assignments.top_weight[self.rows(model)].mean():.3f}, classes {shares}, offsets "
                f"{statistics.offset_sigma * self.particles.pixel_size:.1f} Å")

    def write(self, model: InitialMaps) -> bool:
        """See `Recipe`; every tenth mini-batch leaves its maps."""
        if model.iteration % _WRITE_EVERY:
            return False
        write_maps(self, model, self.whole)
        return True

    def picture(self, model: InitialMaps) -> Any:
        """See `Recipe`."""
        from cryosnake.report.panels.iteration import map_picture

        captions = [f"{number}: {share:.0%}" for number, share in enumerate(model.statistics.direction, 1)]
        title = (f"batch {model.iteration} of {self.options.iterations}: "
                 f"{self.stage_of(model).resolution:.0f} Å")
        return map_picture(list(model.volumes), captions, self.particles.pixel_size, title,
                           directions=views(model.assignments.pose, model.symmetry))

    def close(self, model: InitialMaps, progress: IterationProgress) -> None:
        """Assign all particles with the last maps, and judge them."""
        report = partial(self._report, progress, self.options.starts - 1, model.iteration, "all particles")
        model = replace(model, whole=True, perturbation=float(self.rng(3).uniform(-0.5, 0.5)))
        model = update(self, model, report)
        verdict = self.lead(lambda: self._judged(model))
        if self.work.ranks.rank == 0:
            write_final(self, model, self.whole, verdict)
            tell_written(progress, model.iteration)
        self._say_verdict(verdict)

    def _judged(self, model: InitialMaps) -> Verdict:
        """Return the verdict on the model whose sums are those of two halves of all particles."""
        rows = compared_particles(len(self.particles), self.rng(4))
        stage, poses = self.stage_of(model), []
        for half in (0, 1):
            volumes = half_maps(self.particles, model, half, self.options.particle_diameter)
            poses.append(self.pose_search(model, stage, volumes, rows))
        return judge(self.particles, model, poses, self.agreements)

    def _say_verdict(self, verdict: Verdict) -> None:
        self.say(f"Pmax {verdict.top_weight:.3f}; FSC of the halves 0.5 at {verdict.resolution:.1f} Å; poses found "
                 f"with either half's map agree for {verdict.reproduced:.0%} of the particles "
                 f"({verdict.by_chance:.0%} by chance)")
        if verdict.doubts:
            self.say("NOT CONVERGED: " + "; ".join(verdict.doubts) + ". Do not refine from this map: try more starts, "
                     "more iterations, cleaner particles, another particle_diameter or seed.")
        else:
            self.say("Converged. The hand is not known: it is right in one case of two.")


def _is_dense(model: InitialMaps, stage: Stage) -> bool:
    return stage.dense or not model.concentrated


run = partial(run_recipe, InitialModel)
