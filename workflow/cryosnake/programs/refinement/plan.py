"""The search of an iteration and its expected time, printed before it starts; see memory.py for its memory."""

from __future__ import annotations

import math
import time
from dataclasses import replace

import numba as nb
import numpy as np

from cryosnake.numerics.refine.grids.grids import PlaneGrid, SphereGrid
from cryosnake.numerics.refine.grids.levels import search_grids
from cryosnake.numerics.refine.kernels.dispatch import coarsest_order
from cryosnake.numerics.refine.search import cost
from cryosnake.numerics.refine.search.cost import Workload
from cryosnake.numerics.refine.search.schedule import coarse_size
from cryosnake.numerics.refine.search.search import CAUTION
from cryosnake.parallel.ranks import on_each_rank
from cryosnake.programs.refinement.execution import Execution
from cryosnake.programs.refinement.particles import ParticleSet
from cryosnake.programs.refinement.state import Assignments
from cryosnake.programs.refinement.step import SearchPlan

# Of the rate of a matrix product: measured for the kernels over samples, and for transforms and all around them.
_SAMPLE_RATE, _PREPARATION_RATE = 0.25, 0.02
_GPU_RATE = 5e12  # operations per second: less than any of today's cards


def workload(work: Execution, plan: SearchPlan, grid: SphereGrid | PlaneGrid, count: int,
             assignments: Assignments | None = None) -> Workload:
    """Return the workload of an expectation step over `count` particles."""
    particles, orientations, coarse = work.particles, grid.size, plan.coarse_size
    if isinstance(grid, SphereGrid):  # only the coarsest of its levels is searched over everything
        first = search_grids(grid, coarsest_order(np.zeros(0)))[0] if work.device == "cpu" else grid
        orientations, step = first.size, first.step if first is grid else first.step / CAUTION
        coarse = coarse_size(step, plan.diameter, particles.pixel_size, particles.box, plan.size, False)
        if plan.sigma > 0:
            orientations = 0
    load = Workload(particles=count, box=particles.box, classes=grid.classes, size=plan.size, coarse_size=coarse,
                    orientations=orientations, shifts=len(plan.shifts.coarse), children=grid.children,
                    sub=plan.shifts.sub.shape[1], dimensions=3 if isinstance(grid, SphereGrid) else 2)
    known = 0.0 if assignments is None else float(assignments.significant.mean())  # the last iteration's fine samples
    return replace(load, samples=max(known / math.sqrt(load.children * load.sub), 1.0)) if known > 1.5 else load


def seconds_of(work: Execution, load: Workload, rate: float) -> float:
    """Return the expected time of the expectation step on all ranks; `rate` is that of one rank's matrix products."""
    search, samples = cost.search_operations(load), cost.sample_operations(load)
    if work.device == "gpu":
        return (search + samples) / _GPU_RATE / work.ranks.size
    preparation = cost.preparation_operations(load) / _PREPARATION_RATE
    return (search + samples / _SAMPLE_RATE + preparation) / rate / work.ranks.size


def measured_rate(size: int = 512, times: int = 5) -> float:
    """Return the operations per second of a matrix product float32 with the present threads: the best of some."""
    one, taken = np.ones((size, size), np.float32), []
    for _ in range(times + 1):
        begin = time.perf_counter()
        one @ one
        taken.append(time.perf_counter() - begin)
    return 2.0 * size**3 / min(taken)


def say_plan_at_poses(work: Execution, plan: SearchPlan, classes: int) -> None:
    """Print what an iteration without alignment does: one slice for each particle and class."""
    count = len(work.particles)
    load = Workload(particles=count, box=work.particles.box, classes=classes, size=plan.size, coarse_size=plan.size,
                    orientations=0, shifts=0, children=1, sub=1, samples=float(classes))
    print(f"Plan of an iteration: {count} particles at their poses in each of {classes} classes, at "
          f"{_resolution(work.particles, load.size)}; about {_time(seconds_of(work, load, measured_rate()))}",
          flush=True)


def say_plan(work: Execution, plan: SearchPlan, grid: SphereGrid | PlaneGrid, count: int,
             assignments: Assignments) -> None:
    """Print the search of the next iteration over `count` particles, its expected time and its memory."""
    load = workload(work, plan, grid, count, assignments)
    operations = cost.search_operations(load) + cost.sample_operations(load)
    where = "GPU" if work.device == "gpu" else f"{nb.get_num_threads()} thread(s)"
    where += on_each_rank(work.ranks.size)
    coarse, fine = (_resolution(work.particles, size) for size in (load.coarse_size, load.size))
    searched = f"{load.orientations} orientations" if load.orientations else "orientations near the last"
    searched += f" × {load.shifts} shifts" + (f" at {coarse}" if load.orientations else "")
    print(f"Plan of an iteration: {searched} for each of {count} particles, then {load.children} × {load.sub} finer "
          f"samples of what is likely at {fine}; at least {operations / 1e12:.2g} TFLOP, "
          f"about {_time(seconds_of(work, load, measured_rate()))} with {where}", flush=True)


def _resolution(particles: ParticleSet, size: int) -> str:
    return f"{particles.length / max(size // 2, 1):.1f} Å"


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
