"""Class2D: class averages of particles by regularised likelihood, from random starts."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property, partial
from typing import Any

import numpy as np

from cryosnake.jobs.forms import IterationProgress
from cryosnake.jobs.options import Class2DOptions
from cryosnake.numerics.backend import to_device
from cryosnake.numerics.refine.classes.averages import class_shells, is_fine_enough
from cryosnake.numerics.refine.classes.ranking import KEEP
from cryosnake.numerics.refine.grids.grids import PlaneGrid, shift_grid
from cryosnake.numerics.refine.grids.references import ClassReferences, class_references
from cryosnake.programs.class2d.batches import (
    WHOLE_AT_END,
    batch_rows,
    batch_sizes,
    pays,
    step_size,
    updates_until,
)
from cryosnake.programs.class2d.files import read_classification, write_classes
from cryosnake.programs.class2d.model import Classification, class_resolutions, plane_grid
from cryosnake.programs.class2d.start import random_averages
from cryosnake.programs.class2d.update import accumulated_sums, after_batch, centred, maximised
from cryosnake.programs.class2d.validation import validate
from cryosnake.programs.refinement.estep import expect
from cryosnake.programs.refinement.loop import run_recipe
from cryosnake.programs.refinement.memory import Demand
from cryosnake.programs.refinement.particles import require_members
from cryosnake.programs.refinement.plan import say_plan, workload
from cryosnake.programs.refinement.recipe import Recipe, next_size
from cryosnake.programs.refinement.sampled import expect_sampled
from cryosnake.programs.refinement.state import Assignments, first_assignments, first_statistics
from cryosnake.programs.refinement.step import Accumulated, ExpectationStep, Report, SearchPlan

_FIRST_RESOLUTION = 50.0  # Å, at which the averages of random particles start
_WRITE_EVERY = 5  # iterations over mini-batches
_Sampling = tuple[SearchPlan, ClassReferences]


class Class2D(Recipe[Class2DOptions, Classification, _Sampling]):
    """Class averages; over mini-batches an iteration is several updates."""

    may_be_limited = start_has_files = True

    def set_up(self) -> None:
        """See `Recipe`."""
        require_members(self.particles, self.options.classes)

    @cached_property
    def gradient(self) -> bool:
        """Whether the iterations are over mini-batches; `auto` decides by the number of particles."""
        options = self.options
        return options.method == "gradient" or (
            options.method == "auto" and pays(len(self.particles), options.classes, options.iterations))

    @cached_property
    def sizes(self) -> np.ndarray:
        """Number of particles in each update, (updates,)."""
        return batch_sizes(len(self.particles), self.options.classes, self.options.iterations, self.gradient)

    def updates(self, iteration: int) -> int:
        """Return the number of updates up to an iteration."""
        return updates_until(iteration, self.options.iterations, self.gradient)

    def rows(self, update: int) -> np.ndarray:
        """Return the particles of an update."""
        return batch_rows(len(self.particles), self.sizes, update, self.options.seed)

    def start(self) -> Classification:
        """Return averages of random particles."""
        particles, classes = self.particles, self.options.classes
        sampled = self.rng(0).permutation(len(particles)) % classes  # equally many in each class
        assignments = replace(first_assignments(particles), class_index=sampled)
        rows, shell = self.rows(1), max(particles.shell_at(_FIRST_RESOLUTION), 2)
        averages = random_averages(self.work, rows, assignments, classes, shell) * self.mask
        ssnr = np.tile(np.where(np.arange(particles.shells) <= shell, 10.0, 0.0), (classes, 1))
        return Classification(
            iteration=0, assignments=assignments, averages=averages, ssnr=ssnr,
            statistics=first_statistics(self.work, rows, assignments.offset, self.mask, classes),
            size=next_size(ssnr, self.largest), weight=np.zeros_like(ssnr), rows=rows)

    def read(self, path: str) -> Classification:
        """See `Recipe`."""
        model = read_classification(path, self)
        return replace(model, update=self.updates(model.iteration))

    def headline(self) -> str:
        """See `Recipe`."""
        options, sizes, grid = self.options, self.sizes, plane_grid(self.options, 0.0)
        shifts = shift_grid(options.offset_range, 2.0 * options.offset_step)
        batches = "all particles in every iteration"
        if self.gradient:
            batches = (f"mini-batches of {sizes.min()} particles and more, then all: "
                       f"{sizes.sum() / len(self.particles):.1f} passes instead of {options.iterations}")
        return (f"{self.particles.describe()}; {options.classes} classes, {grid.psi_count} angles of {grid.step:g}°, "
                f"{len(shifts.coarse)} shifts; {batches}")

    def demand(self, size: int) -> Demand:
        """See `Recipe`: an iteration over all particles at all frequencies, if the classes get so far."""
        options, grid = self.options, plane_grid(self.options, 0.0)
        plan = self.search_plan(size, size, shift_grid(options.offset_range, 2.0 * options.offset_step),
                                np.zeros(0, bool), 0)
        return Demand(when=f"an iteration at all frequencies of {size} pixels", maps=5 * options.classes, sets=3,
                      load=workload(self.work, plan, grid, len(self.particles)), keeps_references=True)

    def say_plan(self, model: Classification) -> None:
        """See `Recipe`."""
        plan, grid = self._search(model)
        say_plan(self.work, plan, grid, len(model.rows), model.assignments)

    def progress(self, model: Classification) -> tuple[int, int, str]:
        """See `Recipe`."""
        before = self.sizes[: self.updates(model.iteration)].sum()
        return int(before), int(self.sizes.sum()), f"iteration {model.iteration + 1}"

    def complete(self, model: Classification) -> bool:
        """See `Recipe`."""
        return model.update == self.updates(model.iteration)

    def prepare(self, model: Classification) -> Classification:
        """See `Recipe`."""
        update = model.update + 1
        perturbation = float(self.rng(update).uniform(-0.5, 0.5))
        return replace(model, iteration=model.iteration + self.complete(model), update=update, rows=self.rows(update),
                       size=next_size(model.ssnr, self.largest), perturbation=perturbation)

    def sampling(self, model: Classification) -> _Sampling:
        """Return the plan and all classes' references."""
        plan, grid = self._search(model)
        return plan, class_references(to_device(model.averages, self.work.device), plan.size, grid)

    def _search(self, model: Classification) -> tuple[SearchPlan, PlaneGrid]:
        """Return the search of the next update; steps that are fine enough for the averages' resolution are not halved.

        The last iterations always halve them, because their averages and alignments are kept.
        """
        options, particles, offset_step = self.options, self.particles, 2.0 * self.options.offset_step
        last = model.iteration > options.iterations - WHOLE_AT_END
        resolution = 0.0 if last else self.best_resolution(model)
        grid = plane_grid(options, model.perturbation)
        fine_turns = is_fine_enough(np.radians(grid.step) * (options.particle_diameter / 2.0), resolution)
        fine_shifts = is_fine_enough(offset_step * particles.pixel_size, resolution)
        grid = replace(grid, children=1 if fine_turns else 2)
        shifts = shift_grid(options.offset_range, offset_step, model.perturbation, not fine_shifts)
        return self.search_plan(model.size, self.coarse_size(grid.step, model.size, True), shifts,
                                model.ssnr.max(0) > 3.0, options.seed + model.iteration), grid

    def sets(self, model: Classification) -> list[np.ndarray]:
        """See `Recipe`."""
        return [model.rows]

    def expect(self, model: Classification, sampling: _Sampling, number: int, rows: np.ndarray, report: Report,
               ) -> Accumulated:
        """See `Recipe`.

        In the first update each particle may only go to the class that was sampled for it, which makes the classes
        different; later to any class.
        """
        plan, references = sampling[0], self.seen(sampling[1])
        step = ExpectationStep(work=self.work, rows=rows, assignments=model.assignments, statistics=model.statistics,
                               reference=references, plan=plan, log_prior=self._log_prior(model, references.grid),
                               report=report)
        if model.update > 1:
            return expect(step)
        one = replace(references.grid, classes=1)
        return expect_sampled(
            replace(step, log_prior=np.zeros(one.size, np.float32)), model.assignments.class_index[rows],
            lambda number: ClassReferences(references.transforms[number : number + 1], one))

    def _log_prior(self, model: Classification, grid: PlaneGrid) -> np.ndarray:
        """Return the log prior of all orientations: the classes' shares; over mini-batches all classes are equal.

        Shares estimated early feed on themselves: a class that is large by chance takes what fits several.
        """
        whole = self._weight(model) == 1.0
        direction = model.statistics.direction if whole else np.full(grid.classes, 1.0 / grid.classes)
        floor = 0.1 / grid.classes  # no class is ruled out
        return np.log(np.repeat(np.maximum(direction, floor), grid.psi_count)).astype(np.float32)

    def _weight(self, model: Classification) -> float:
        """Return the weight of the update relative to all before it."""
        return step_size(len(self.particles), self.sizes, model.update)

    def learn(self, model: Classification, sampling: _Sampling, found: list[Accumulated], assignments: Assignments,
              ) -> Classification:
        """See `Recipe`."""
        references, weight, options = sampling[1], self._weight(model), self.options
        model = after_batch(self.particles, model, found[0], assignments, weight)
        sums = accumulated_sums(model, found[0].sums, references, weight)
        model = replace(model, sums=sums if self.gradient else None)
        model = maximised(model, sums, references, self.particles.box, options.tau2_fudge)
        if options.center_classes:
            model = centred(model)
        return replace(model, averages=model.unmasked * self.mask)

    def best_resolution(self, model: Classification) -> float:
        """Return the resolution in Å of the best class."""
        return float(self.particles.length / class_shells(model.ssnr).max())

    def line(self, model: Classification, seconds: float) -> str:
        """See `Recipe`."""
        assignments, count, classes = model.assignments, len(model.rows), self.options.classes
        members = np.bincount(assignments.class_index[model.rows], minlength=classes)
        return (f"iteration {model.iteration:3d}: best class {self.best_resolution(model):.1f} Å, {count} particles, "
                f"{(members > 0).sum()} of {classes} classes in use, largest {members.max() / count:.0%}, "
                f"{model.size} px, Pmax {assignments.top_weight[model.rows].mean():.3f}, changes "
                f"{model.change[0]:.1f}° {model.change[1] * self.particles.pixel_size:.2f} Å {model.change[2]:.1%} of "
                f"classes, {seconds:.1f} s")

    def measure(self, model: Classification) -> Classification:
        """Return the model, validated after the last iteration."""
        if not self.finished(model):
            return model
        return self.lead(lambda: replace(model, validation=validate(self, model)))

    def write(self, model: Classification) -> bool:
        """See `Recipe`; of the iterations over mini-batches only every fifth writes files."""
        if not self.finished(model) and len(model.rows) < len(self.particles) and model.iteration % _WRITE_EVERY:
            return False
        write_classes(self, model)
        return True

    def picture(self, model: Classification) -> Any:
        """See `Recipe`."""
        from cryosnake.report.panels.iteration import class_picture

        counts = np.bincount(model.assignments.class_index, minlength=len(model.averages))
        resolutions = class_resolutions(model, self.particles.length)
        return class_picture(
            model.averages, counts, resolutions, f"iteration {model.iteration}: {len(self.particles):,} particles in "
            f"{(counts > 0).sum()} classes, best {resolutions.min():.1f} Å")

    def close(self, model: Classification, progress: IterationProgress) -> None:
        """Print the scores of the classes."""
        if model.validation is None:  # all iterations had been done before
            return
        ranking, membership = model.validation.ranking, model.validation.membership
        counts = np.bincount(model.assignments.class_index, minlength=len(model.averages))
        resolutions = class_resolutions(model, self.particles.length)
        for k in np.argsort(-counts, kind="stable"):
            if counts[k]:
                self.say(f"class {k + 1:3d}: {counts[k]:6d} particles, "
                         f"{resolutions[k]:5.1f} Å, score {ranking.score[k]:.2f}  "
                         f"{ranking.reason(int(k))}")
        good = ranking.score[model.assignments.class_index] >= KEEP
        self.say(f"{good.mean():.0%} of the particles are in classes that score {KEEP:g} or more, "
                 f"{(good & (membership >= KEEP)).mean():.0%} also reach that score themselves; the radius is about "
                 f"{model.validation.radius * self.particles.pixel_size:.0f} Å")


run = partial(run_recipe, Class2D)
