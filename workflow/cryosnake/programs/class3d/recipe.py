"""Class3D: maps of several structures from one particle set, with or without alignment."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property, partial
from typing import Any

import numpy as np

from cryosnake.errors import CryosnakeError
from cryosnake.jobs.forms import IterationProgress
from cryosnake.jobs.options import Class3DOptions
from cryosnake.numerics.backend import to_numpy
from cryosnake.numerics.refine.classes.averages import class_shells
from cryosnake.numerics.refine.classes.class_maps import class_directions, class_shares, class_ssnr
from cryosnake.numerics.refine.grids.grids import shift_grid
from cryosnake.numerics.refine.grids.references import MapReference
from cryosnake.numerics.refine.search.accuracy import estimate_accuracy
from cryosnake.numerics.refine.sums.maximisation import finish_sums, reference_power, regularised_map
from cryosnake.numerics.refine.sums.reconstruction import mean_weight
from cryosnake.numerics.symmetry import operators
from cryosnake.programs.class3d.files import read_classification, write_classes
from cryosnake.programs.class3d.model import RANGE, Classification3D, Stage, deaths, prior_for, stages_of
from cryosnake.programs.class3d.search import expect_at_poses, expect_everywhere, expect_in_sampled, scale_at_poses
from cryosnake.programs.refinement.block import prepare_block
from cryosnake.programs.refinement.estep import new_statistics, reference_scale
from cryosnake.programs.refinement.iteration_pictures import views
from cryosnake.programs.refinement.loop import run_recipe
from cryosnake.programs.refinement.memory import Demand
from cryosnake.programs.refinement.particles import require_members
from cryosnake.programs.refinement.plan import say_plan, say_plan_at_poses, workload
from cryosnake.programs.refinement.recipe import Recipe, next_size
from cryosnake.programs.refinement.reference_maps import on_grey_scale, read_reference, reference_names, solvent_mask
from cryosnake.programs.refinement.state import Assignments, first_assignments, first_statistics
from cryosnake.programs.refinement.step import Accumulated, ExpectationStep, Report, SearchPlan

_ACCURACY_PARTICLES = 50  # of each class
_SCALE_PARTICLES = 500  # that put the references on the particles' grey scale
_Sampling = tuple[SearchPlan, MapReference]


class Class3D(Recipe[Class3DOptions, Classification3D, _Sampling]):
    """Classification into maps."""

    may_be_limited = start_has_files = True

    def set_up(self) -> None:
        """See `Recipe`."""
        work, options, inputs = self.work, self.options, self.inputs
        self.names = reference_names(inputs["reference"], options.classes)
        self.first, self.last, self.fine = stages_of(options, len(self.names))
        require_members(work.particles, options.classes)
        if options.local_range and not options.align:
            raise CryosnakeError("local_range sets how far orientations are searched, but align: false does not search "
                                 "them; leave one of the two out.")
        if options.fine_iterations and not options.align:
            raise CryosnakeError("fine_iterations sets how many iterations search orientations more finely, but align: "
                                 "false does not search them; leave one of the two out.")
        if not self.stage(1).has_directions and "rlnAngleRot" not in work.particles.table:
            option = ("align: false" if not options.align else f"local_range: {options.local_range:g}"
                      if options.local_range else f"fine_iterations: {options.fine_iterations}, which is all of them,")
            raise CryosnakeError(f"{work.particles.path} has no orientations (rlnAngleRot), which {option} starts "
                                 "from. Give the particles of a refinement, or search all orientations.")
        self.solvent = solvent_mask(inputs.get("mask"), options.particle_diameter, work.particles)

    def stage(self, iteration: int) -> Stage:
        """Return how an iteration, counted from 1, searches."""
        return self.last if iteration > self.options.iterations - self.fine else self.first

    @cached_property
    def sampled(self) -> np.ndarray:
        """The class in which each particle starts when all start from one map: random, with equal numbers in each."""
        rng = np.random.default_rng([self.options.seed, 0])
        return rng.permutation(len(self.particles)) % self.options.classes

    def start(self) -> Classification3D:
        """Return the references, low-passed and on the particles' grey scale."""
        particles, options = self.particles, self.options
        volumes = np.stack([self.solvent * read_reference(name, particles, options, "; leave it out")
                            for name in self.names])
        assignments, everyone = first_assignments(particles), np.arange(len(particles))
        statistics = first_statistics(self.work, everyone, assignments.offset, self.mask, 1)
        count = options.classes * (len(self.first.grid(1).pixels) if self.first.has_directions else 1)
        shell = max(particles.shell_at(options.initial_lowpass), 2)
        ssnr = np.tile(np.where(np.arange(particles.shells) <= shell, 10.0, 0.0), (options.classes, 1))
        model = Classification3D(
            iteration=0, assignments=assignments, volumes=volumes, ssnr=ssnr, size=next_size(ssnr, self.largest),
            statistics=replace(statistics, direction=np.full(count, 1.0 / count)),
            weight=np.zeros((options.classes, 1)), accuracy=np.full((options.classes, 2), 999.0))
        if not options.reference_absolute_greyscale:
            model = replace(model, volumes=self._on_grey_scale(model))
        if len(self.names) < options.classes:
            model = replace(model, volumes=np.repeat(model.volumes, options.classes, axis=0))
        return model

    def _on_grey_scale(self, model: Classification3D) -> np.ndarray:
        """Return the maps on the particles' grey scale, which a random sample of them determines."""
        rows = np.random.default_rng([self.options.seed, 1]).permutation(len(self.particles))[:_SCALE_PARTICLES]
        plan, grid = self._plan(model), replace(self.first, sigma=0.0).grid(1)
        measure = reference_scale if self.first.has_directions else scale_at_poses
        step = partial(ExpectationStep, work=self.work, rows=rows, assignments=model.assignments,
                       statistics=model.statistics, plan=plan)
        references = [self.maps(volume[None], plan.size, grid) for volume in model.volumes]
        return np.stack([on_grey_scale(volume, step(reference=reference), f"Reference {number}", measure)
                         for number, (volume, reference) in enumerate(zip(model.volumes, references, strict=True), 1)])

    def read(self, path: str) -> Classification3D:
        """See `Recipe`."""
        return read_classification(path, self, self.first)

    def headline(self) -> str:
        """See `Recipe`."""
        options, grid, searched = self.options, self.first.grid(self.options.classes), "no alignment"
        if options.align:
            shifts = len(shift_grid(options.offset_range, 2.0 * options.offset_step).coarse)
            searched = (f"local search within {RANGE * self.first.sigma:g}°" if self.first.sigma > 0 else
                        f"orientations {grid.size}") + f" at {grid.step:g}°, shifts {shifts}"
        if self.fine:
            searched += (f"; in the last {self.fine} iterations within {RANGE * self.last.sigma:g}° at "
                         f"{self.last.grid(1).step:g}°")
        return (f"{self.particles.describe()}; {options.classes} classes from {len(self.names)} map(s), symmetry "
                f"{options.symmetry}; {searched}")

    def demand(self, size: int) -> Demand:
        """See `Recipe`: an iteration at all frequencies, if the classes get so far."""
        options, classes = self.options, self.options.classes
        grid, shifts = self.first.grid(classes), shift_grid(options.offset_range, 2.0 * options.offset_step)
        plan = self.search_plan(size, size, shifts, np.zeros(0, bool), 0, sigma=self.first.sigma,
                                diameter=options.particle_diameter)
        load = workload(self.work, plan, grid, len(self.particles))
        if not options.align:
            load = replace(load, orientations=0)
        return Demand(when=f"an iteration at all frequencies of {size} pixels", load=load, maps=2 * classes + 5,
                      keeps_references=True, symmetric=len(operators(options.symmetry)) > 1)

    def say_plan(self, model: Classification3D) -> None:
        """See `Recipe`."""
        stage, classes = self.stage(model.iteration + 1), self.options.classes
        plan = self._plan(replace(model, iteration=model.iteration + 1))
        if self.options.align:
            say_plan(self.work, plan, stage.grid(classes), len(self.particles), model.assignments)
        else:
            say_plan_at_poses(self.work, plan, classes)

    def prepare(self, model: Classification3D) -> Classification3D:
        """See `Recipe`."""
        iteration = model.iteration + 1
        perturbation = float(np.random.default_rng([self.options.seed, iteration]).uniform(-0.5, 0.5))
        prior = prior_for(self.stage(iteration), model.statistics.direction, self.options.classes)
        return replace(model, iteration=iteration, perturbation=perturbation, size=next_size(model.ssnr, self.largest),
                       statistics=replace(model.statistics, direction=prior))

    def _plan(self, model: Classification3D) -> SearchPlan:
        options, stage = self.options, self.stage(model.iteration)
        shifts = shift_grid(options.offset_range, 2.0 * options.offset_step, model.perturbation)
        return self.search_plan(model.size, self.coarse_size(stage.grid(1).step, model.size), shifts,
                                model.ssnr.max(0) > 3.0, options.seed + model.iteration, sigma=stage.sigma,
                                diameter=options.particle_diameter)

    def sampling(self, model: Classification3D) -> _Sampling:
        """Return the plan and all classes' maps as references."""
        plan, stage = self._plan(model), self.stage(model.iteration)
        return plan, self.maps(model.volumes, plan.size, stage.grid(self.options.classes, model.perturbation))

    def expect(self, model: Classification3D, sampling: _Sampling, number: int, rows: np.ndarray, report: Report,
               ) -> Accumulated:
        """See `Recipe`; when all classes start from one map, the first iteration samples the class of each particle."""
        plan, reference = sampling[0], self.seen(sampling[1])
        step = ExpectationStep(work=self.work, rows=rows, assignments=model.assignments, statistics=model.statistics,
                               reference=reference, plan=plan, report=report)
        sampled = None
        if model.iteration == 1 and len(self.names) == 1 and self.options.classes > 1:
            sampled = self.sampled[rows]
        if not self.options.align:
            return expect_at_poses(step, sampled)
        return expect_everywhere(step, reference) if sampled is None else expect_in_sampled(step, reference, sampled)

    def learn(self, model: Classification3D, sampling: _Sampling, found: list[Accumulated], assignments: Assignments,
              ) -> Classification3D:
        """See `Recipe`."""
        (plan, reference), options = sampling, self.options
        statistics, norm = new_statistics(self.particles, np.arange(len(self.particles)), found[0], model.statistics)
        mass = found[0].direction.reshape(options.classes, -1)
        direction = class_directions(mass) if self.stage(model.iteration).has_directions else class_shares(mass)
        model = replace(
            model, assignments=replace(assignments, norm=norm), statistics=replace(statistics, direction=direction),
            change=model.assignments.changes_to(assignments, options.symmetry))
        model = self._maximised(model, found[0].sums, to_numpy(reference.transforms))
        return replace(model, accuracy=self._accuracy(model, plan))

    def _maximised(self, model: Classification3D, sums: np.ndarray, transforms: np.ndarray) -> Classification3D:
        """Return the model with new maps; a class without particles becomes zero and stays so.

        All maps are regularised with the τ² of the strongest one, since classes are structures of one kind: with its
        own, a class that has fewer particles is shrunk, loses particles for that, and is shrunk more each time.
        """
        box, radius, group = self.particles.box, model.size // 2, operators(self.options.symmetry)
        volumes, weights = np.empty_like(model.volumes), []
        ssnr = np.zeros((self.options.classes, self.particles.shells))
        powers, fudge = np.stack([reference_power(each, radius + 1) for each in transforms]), self.options.tau2_fudge
        for number, power in enumerate(powers):
            total = finish_sums(sums[:, number], group)
            weights.append(mean_weight(total, radius))
            curve = class_ssnr(weights[-1], powers.max(0), fudge, 3)
            volumes[number] = regularised_map(total, radius, box, curve) * self.solvent
            ssnr[number, : radius + 1] = class_ssnr(weights[-1], power, fudge, 3)
        return replace(model, volumes=volumes, ssnr=ssnr, weight=np.stack(weights))

    def _accuracy(self, model: Classification3D, plan: SearchPlan) -> np.ndarray:
        """Return the estimated accuracy (classes, 2) of angles, degrees, and shifts, pixels; 999 if unknown."""
        found, assignments = np.full((self.options.classes, 2), 999.0), model.assignments
        rng = np.random.default_rng([self.options.seed, model.iteration, 7])
        for number, volume in enumerate(model.volumes):
            members = np.flatnonzero(assignments.class_index == number)
            if not members.size or not self.options.align:
                continue
            rows = np.sort(rng.choice(members, min(_ACCURACY_PARTICLES, len(members)), replace=False))
            reference = self.seen(self.maps(volume[None], plan.size, self.stage(model.iteration).grid(1)))
            step = ExpectationStep(work=self.work, rows=rows, assignments=assignments, statistics=model.statistics,
                                   reference=reference, plan=plan)
            ctf = prepare_block(step).operands.ctf2**0.5
            found[number] = estimate_accuracy(reference.transforms[0], assignments.pose[rows], ctf, step.band, rng)
        return found

    def line(self, model: Classification3D, seconds: float) -> str:
        """See `Recipe`."""
        particles, shells = self.particles, class_shells(model.ssnr)
        classes = ", ".join(f"{fraction:.0%} {particles.length / shell:.1f} Å" if fraction > 0 else "empty"
                            for fraction, shell in zip(model.class_fractions, shells, strict=True))
        return (f"iteration {model.iteration:3d}: {classes}; {model.size} px, Pmax "
                f"{model.assignments.top_weight.mean():.3f}, changes {model.change[0]:.1f}° "
                f"{model.change[1] * particles.pixel_size:.2f} Å {model.change[2]:.1%} of classes, {seconds:.1f} s")

    def write(self, model: Classification3D) -> bool:
        """See `Recipe`."""
        write_classes(self, model, self.stage(model.iteration))
        return True

    def close(self, model: Classification3D, progress: IterationProgress) -> None:
        """Name the classes that have died."""
        self.say(deaths(np.bincount(model.assignments.class_index, minlength=self.options.classes)))

    def picture(self, model: Classification3D) -> Any:
        """See `Recipe`."""
        from cryosnake.report.panels.iteration import map_picture

        resolutions = self.particles.length / class_shells(model.ssnr)
        captions = [f"{number}: {fraction:.0%} · {resolution:.1f} Å" if fraction > 0 else f"{number}: empty"
                    for number, (fraction, resolution) in enumerate(
                        zip(model.class_fractions, resolutions, strict=True), 1)]
        return map_picture(list(model.volumes), captions, self.particles.pixel_size,
                           f"iteration {model.iteration}: {len(self.particles):,} particles",
                           directions=views(model.assignments.pose, self.options.symmetry))


run = partial(run_recipe, Class3D)
