"""Refine3D: gold-standard refinement of one map, with automatic sampling and convergence."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from cryosnake.errors import CryosnakeError
from cryosnake.jobs.forms import IterationProgress
from cryosnake.jobs.options import Refine3DOptions
from cryosnake.numerics.healpix import angular_step
from cryosnake.numerics.refine.grids.grids import SphereGrid, shift_grid
from cryosnake.numerics.refine.grids.references import MapReference
from cryosnake.numerics.refine.search.accuracy import estimate_accuracy
from cryosnake.numerics.refine.search.schedule import (
    Convergence,
    Sampling,
    after_iteration,
    at_floor,
    coarse_size,
    invisible_step,
    last_sampling,
    local_sigma,
    next_sampling,
)
from cryosnake.numerics.refine.sums.maximisation import finish_sums
from cryosnake.numerics.symmetry import operators
from cryosnake.programs.refine3d.depth import with_depth
from cryosnake.programs.refine3d.files import read_refinement, write_final, write_iteration
from cryosnake.programs.refine3d.maximise import maximised
from cryosnake.programs.refine3d.model import (
    Refinement,
    flat_direction,
    grid_of,
    next_size,
    resolution_of,
    resolution_shell,
)
from cryosnake.programs.refine3d.views import judged_views
from cryosnake.programs.refinement.block import prepare_block
from cryosnake.programs.refinement.estep import expect, new_statistics
from cryosnake.programs.refinement.iteration_pictures import views
from cryosnake.programs.refinement.loop import run_recipe
from cryosnake.programs.refinement.memory import Demand
from cryosnake.programs.refinement.particles import half_sets
from cryosnake.programs.refinement.plan import say_plan, workload
from cryosnake.programs.refinement.recipe import Recipe
from cryosnake.programs.refinement.reference_maps import on_grey_scale, order_of, read_reference, solvent_mask
from cryosnake.programs.refinement.state import Assignments, first_assignments, first_statistics
from cryosnake.programs.refinement.step import Accumulated, ExpectationStep, Report, SearchPlan

_ACCURACY_PARTICLES = 100
_MAPS = 16  # half maps old, new and unfiltered, mask, and those of least squares
_SCALE_PARTICLES = 500  # of each half, that put the reference on the particles' grey scale
_Sampling = tuple[SearchPlan, SphereGrid]


class Refine3D(Recipe[Refine3DOptions, Refinement, _Sampling]):
    """Two half maps, refined until neither resolution nor assignments improve, then once more with all data."""

    def set_up(self) -> None:
        """See `Recipe`."""
        work, options, inputs = self.work, self.options, self.inputs
        if options.solvent_fsc and inputs.get("mask") is None:
            raise CryosnakeError("solvent_fsc needs a mask: connect one to the slot mask, or set solvent_fsc: false.")
        self.solvent = solvent_mask(inputs.get("mask"), options.particle_diameter, work.particles)
        self.local_order = order_of(options.local_sampling, "local_sampling")
        if self._first_sampling().sigma > 0 and "rlnAngleRot" not in work.particles.table:
            raise CryosnakeError(f"{work.particles.path} has no orientations (rlnAngleRot), near which sampling: "
                                 f"{options.sampling} searches from the start (local_sampling: "
                                 f"{options.local_sampling}). Give the particles of a refinement, or a coarser "
                                 "sampling.")

    def start(self) -> Refinement:
        """Return the reference for both halves, low-passed and on the grey scale of each half's particles."""
        particles, options = self.particles, self.options
        volume = self.solvent * read_reference(self.inputs["reference"], particles, options)
        half = half_sets(particles, np.random.default_rng([options.seed, 0]))
        assignments, sampling = first_assignments(particles), self._first_sampling()
        direction = flat_direction(options, sampling)
        statistics = [first_statistics(self.work, np.flatnonzero(half == number), assignments.offset, self.mask,
                                       len(direction)) for number in (1, 2)]
        first_shell = particles.shell_at(options.initial_lowpass)
        size = min(2 * (first_shell + 10), particles.box)
        ssnr = np.where(np.arange(particles.shells) <= first_shell, 10.0, 1e-3)
        model = Refinement(
            iteration=0, half=half, assignments=assignments, statistics=statistics, volumes=[volume, volume],
            sampling=sampling, convergence=Convergence(), size=size, fsc=(ssnr > 1).astype(np.float64), ssnr=ssnr,
            weight=[np.zeros(size // 2 + 1)] * 2)
        return model if options.reference_absolute_greyscale else self._on_grey_scale(model)

    def _first_sampling(self) -> Sampling:
        """Return the sampling of the options; one as fine as local searches starts with these, as in RELION."""
        options = self.options
        order = order_of(options.sampling, "sampling")
        return Sampling(order, options.offset_range, 2.0 * options.offset_step, local_sigma(order, self.local_order))

    def _global_sampling(self) -> Sampling:
        """Return the first sampling, no finer than global searches are."""
        first = self._first_sampling()
        return replace(first, order=min(first.order, max(self.local_order - 1, 0)), sigma=0.0)

    def _on_grey_scale(self, model: Refinement) -> Refinement:
        """Return the model with its maps on the particles' grey scale, each half by its own particles."""
        sampling, particles = self._global_sampling(), self.particles
        grid = grid_of(self.options, sampling)
        coarse = coarse_size(grid.step, self.options.particle_diameter, particles.pixel_size, particles.box, model.size,
                             False)
        plan = replace(self._plan(replace(model, sampling=sampling)), coarse_size=coarse)
        volumes = []
        for half, rows in enumerate(self.sets(model)):
            step = self._step(model, half, rows[:_SCALE_PARTICLES], plan, grid)
            step = replace(step, reference=self.maps(model.volumes[half][None], plan.size, grid))
            volumes.append(on_grey_scale(model.volumes[half], step, "The reference"))
        return replace(model, volumes=volumes)

    def read(self, path: str) -> Refinement:
        """See `Recipe`."""
        return self._scheduled(read_refinement(path, self))

    def headline(self) -> str:
        """See `Recipe`."""
        sampling = self._first_sampling()
        grid = f"orientations {grid_of(self.options, sampling).size}" if sampling.sigma == 0 else "local searches"
        return (f"{self.particles.describe()}; symmetry {self.options.symmetry}; {grid} at "
                f"{angular_step(sampling.order):g}°, shifts "
                f"{len(shift_grid(sampling.offset_range, sampling.offset_step).coarse)}")

    def demand(self, size: int) -> Demand:
        """See `Recipe`: the last iteration, in which both halves' maps and that of all are made by least squares."""
        sampling = self._global_sampling()
        grid, shifts = grid_of(self.options, sampling), shift_grid(sampling.offset_range, sampling.offset_step)
        plan = self.search_plan(size, size, shifts, np.zeros(0, bool), 0, diameter=self.options.particle_diameter)
        return Demand(when=f"the last iteration, at all frequencies of box {size}", sets=2, maps=_MAPS,
                      symmetric=len(operators(self.options.symmetry)) > 1,
                      load=workload(self.work, plan, grid, len(self.particles)))

    def say_plan(self, model: Refinement) -> None:
        """See `Recipe`."""
        say_plan(self.work, self._plan(model), grid_of(self.options, model.sampling), len(self.particles),
                 model.assignments)

    def finished(self, model: Refinement) -> bool:
        """See `Recipe`."""
        return model.last

    def _is_last(self, model: Refinement) -> bool:
        """Return whether the next iteration is the last."""
        return model.convergence.converged or model.iteration >= self.options.max_iterations

    def progress(self, model: Refinement) -> tuple[int, int, str]:
        """See `Recipe`; the number of iterations is not known in advance."""
        last = ", the last" if self._is_last(model) else ""
        return 0, len(self.particles), f"of iteration {model.iteration + 1}{last}"

    def prepare(self, model: Refinement) -> Refinement:
        """See `Recipe`."""
        iteration, last = model.iteration + 1, self._is_last(model)
        if last and not model.convergence.converged:
            self.say(f"Stopping after {model.iteration} iterations (max_iterations) without convergence")
        elif last:
            model = replace(model, sampling=last_sampling(
                model.sampling, accuracy_rotation=model.accuracy[0], accuracy_offset=model.accuracy[1],
                offset_change=model.change[1], local_order=self.local_order))
            model = self.lead(partial(with_depth, self, model, self.solvent)) if model.sampling.sigma > 0 else model
        perturbation = float(np.random.default_rng([self.options.seed, iteration]).uniform(-0.5, 0.5))
        return replace(model, iteration=iteration, last=last, size=self.particles.box if last else model.size,
                       perturbation=perturbation)

    def _plan(self, model: Refinement) -> SearchPlan:
        sampling = model.sampling
        shifts = shift_grid(sampling.offset_range, sampling.offset_step, model.perturbation)
        return self.search_plan(model.size, self.coarse_size(sampling.fine_step * 2.0, model.size), shifts,
                                model.ssnr > 3.0, self.options.seed + model.iteration, sigma=sampling.sigma,
                                diameter=self.options.particle_diameter)

    def sampling(self, model: Refinement) -> _Sampling:
        """Return the plan and the orientations."""
        return self._plan(model), grid_of(self.options, model.sampling, model.perturbation)

    def sets(self, model: Refinement) -> list[np.ndarray]:
        """Return the rows of the half sets."""
        return [np.flatnonzero(model.half == number) for number in (1, 2)]

    def expect(self, model: Refinement, sampling: _Sampling, number: int, rows: np.ndarray, report: Report,
               ) -> Accumulated:
        """See `Recipe`."""
        plan, grid = sampling
        step = self._step(model, number, rows, plan, grid)
        if plan.sigma == 0:
            prior = np.log(np.repeat(step.statistics.direction, grid.psi_count)).astype(np.float32)
            step = replace(step, log_prior=prior)
        return expect(replace(step, report=report))

    def _step(self, model: Refinement, half: int, rows: np.ndarray, plan: SearchPlan, grid: SphereGrid,
              ) -> ExpectationStep:
        """Return a step with a half map, limited in resolution, as reference."""
        return ExpectationStep(
            work=self.work, rows=rows, assignments=model.assignments, statistics=model.statistics[half], plan=plan,
            reference=self.seen(self.maps(model.volumes[half][None], plan.size, grid)))

    def learn(self, model: Refinement, sampling: _Sampling, found: list[Accumulated], assignments: Assignments,
              ) -> Refinement:
        """See `Recipe`."""
        group, statistics, norm = operators(self.options.symmetry), [], assignments.norm.copy()
        sums = [finish_sums(half.take_sums()[:, 0], group) for half in found]
        for rows, half, old in zip(self.sets(model), found, model.statistics, strict=True):
            new, norm[rows] = new_statistics(self.particles, rows, half, old)
            statistics.append(new)
        change = model.assignments.changes_to(assignments, self.options.symmetry)
        model = replace(model, statistics=statistics, change=change, assignments=replace(assignments, norm=norm))
        model = maximised(self, model, sums, self.solvent)
        floor = at_floor(model.sampling, change[0], change[1], model.accuracy)
        return replace(model, convergence=after_iteration(
            model.convergence, resolution_shell(model.ssnr), change[0], change[1] * self.particles.pixel_size, floor))

    def line(self, model: Refinement, seconds: float) -> str:
        """See `Recipe`."""
        sampling, pixel = model.sampling, self.particles.pixel_size
        shell = self.particles.length / resolution_shell(model.ssnr)
        found = f"{shell:6.2f} Å (FSC 0.143 {self.resolution(model):.2f})"
        if model.last:
            found = f"{self.resolution(model):6.2f} Å (FSC 0.143)"
        return (f"iteration {model.iteration:3d}: {found}, {model.size} px, {'local' if sampling.sigma else 'global'} "
                f"{sampling.fine_step:.2f}°, shifts ±{sampling.offset_range * pixel:.1f}/"
                f"{sampling.offset_step * pixel / 2:.2f} Å, Pmax {model.assignments.top_weight.mean():.3f}, changes "
                f"{model.change[0]:.2f}° {model.change[1] * pixel:.2f} Å, accuracy {model.accuracy[0]:.2f}° "
                f"{model.accuracy[1] * pixel:.2f} Å, {seconds:.1f} s")

    def resolution(self, model: Refinement) -> float:
        """Return the resolution in Å at which the FSC falls below 0.143."""
        return resolution_of(model, self.particles.length)

    def measure(self, model: Refinement) -> Refinement:
        """Return the model with the next size, and the estimated accuracy with the present half map 1."""
        if model.last:
            return model
        model = replace(model, size=next_size(model.fsc, model.ssnr, model.size, self.particles.box))
        return self.lead(lambda: replace(model, accuracy=self.accuracy(model)))

    def accuracy(self, model: Refinement) -> tuple[float, float]:
        """Return the estimated accuracy of angles (degrees) and shifts (pixels) with the present half map 1."""
        rng = np.random.default_rng([self.options.seed, model.iteration, 7])
        candidates = np.flatnonzero(model.half == 1)
        rows = np.sort(rng.choice(candidates, min(_ACCURACY_PARTICLES, len(candidates)), replace=False))
        step = self._step(model, 0, rows, self._plan(model), grid_of(self.options, model.sampling))
        assert isinstance(step.reference, MapReference)
        ctf, poses = prepare_block(step).operands.ctf2**0.5, model.assignments.pose[rows]
        return estimate_accuracy(step.reference.transforms[0], poses, ctf, step.band, rng)

    def write(self, model: Refinement) -> bool:
        """See `Recipe`."""
        (write_final if model.last else write_iteration)(self, model)
        return True

    def is_numbered(self, model: Refinement) -> bool:
        """See `Recipe`."""
        return not model.last

    def picture(self, model: Refinement) -> Any:
        """See `Recipe`."""
        from cryosnake.report.panels.iteration import map_picture

        both = model.joined if model.joined is not None else 0.5 * (model.volumes[0] + model.volumes[1])
        frequency, found = np.arange(len(model.fsc)) / self.particles.length, self.resolution(model)
        return map_picture([both], [f"{found:.1f} Å"], self.particles.pixel_size,
                           f"iteration {model.iteration}: {len(self.particles):,} particles, {found:.2f} Å (FSC 0.143)",
                           fsc=(frequency, model.fsc), directions=views(model.assignments.pose, self.options.symmetry))

    def proceed(self, model: Refinement) -> Refinement:
        """See `Recipe`."""
        if model.last:
            return model
        before, model = model.sampling.order, self._scheduled(model)
        if model.sampling.order != before and self.work.ranks.rank == 0:
            self.say_plan(model)
        return model

    def _scheduled(self, model: Refinement) -> Refinement:
        """Return the model with the sampling of the next iteration; a new grid starts without a prior."""
        invisible = invisible_step(self.resolution(model), self.options.particle_diameter)
        sampling, convergence = next_sampling(
            model.sampling, model.convergence, accuracy_rotation=model.accuracy[0], accuracy_offset=model.accuracy[1],
            offset_change=model.change[1], local_order=self.local_order, invisible=invisible)
        statistics = model.statistics
        if sampling.order != model.sampling.order:
            direction = flat_direction(self.options, sampling)
            statistics = [replace(half, direction=direction) for half in statistics]
        return replace(model, sampling=sampling, convergence=convergence, statistics=statistics)

    def close(self, model: Refinement, progress: IterationProgress) -> None:
        """Print the resolution reached, in all directions and in each, and how even the views are."""
        where = "half maps inside the mask" if self.options.solvent_fsc else "unmasked half maps"
        self.say(f"Resolution of the {where}: {self.resolution(model):.2f} Å (FSC 0.143)")
        self.say(self.lead(partial(judged_views, self, model, self.solvent)))


run = partial(run_recipe, Refine3D)
