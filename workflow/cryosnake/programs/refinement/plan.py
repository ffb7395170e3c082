"""The plan printed before a job starts, in two lines: the search, its cost, its memory."""

from __future__ import annotations

import math
import time
from dataclasses import replace

import numba as nb
import numpy as np

from cryosnake.numerics.refine.grids.grids import PlaneGrid, SphereGrid
from cryosnake.numerics.refine.grids.levels import search_grids
from cryosnake.numerics.refine.kernels.budget import budget
from cryosnake.numerics.refine.kernels.dispatch import coarsest_order
from cryosnake.numerics.refine.search import cost
from cryosnake.numerics.refine.search.cost import Workload
from cryosnake.numerics.refine.search.schedule import coarse_size
from cryosnake.numerics.refine.search.search import CAUTION
from cryosnake.parallel.preread import image_bytes
from cryosnake.programs.refinement.estep import BLOCK
from cryosnake.programs.refinement.execution import Execution
from cryosnake.programs.refinement.particles import ParticleSet
from cryosnake.programs.refinement.state import Assignments
from cryosnake.programs.refinement.step import SearchPlan, own_volumes

# Of the rate of a matrix product: measured for the kernels over samples, and for transforms and all around them.
_SAMPLE_RATE, _PREPARATION_RATE = 0.25, 0.02
_GPU_RATE = 5e12  # operations per second: less than any of today's cards
_RUNTIME = 250 << 20  # Python, the libraries and the compiled kernels


def workload(work: Execution, plan: SearchPlan, grid: SphereGrid | PlaneGrid, count: int, assignments: Assignments,
             ) -> Workload:
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
    known = float(assignments.significant.mean())  # of the last iteration's fine samples
    return replace(load, samples=max(known / math.sqrt(load.children * load.sub), 1.0)) if known > 1.5 else load


def memory_of(work: Execution, load: Workload) -> dict[str, int]:
    """Return the bytes that a process takes, by purpose."""
    threads = own_volumes(cost.sums_bytes(load, 1), nb.get_num_threads())
    kept = image_bytes((len(work.particles), load.box, load.box))
    sums, block = cost.sums_bytes(load, threads), work.block or BLOCK
    return {"images": kept if kept <= budget().images else 0,
            "references and sums": cost.reference_bytes(load) + sums,
            "search": cost.slices_bytes(load) + cost.block_bytes(load, block) + cost.sample_bytes(load, block,
                                                                                                  budget().slices),
            "maps": cost.maximisation_bytes(load)}


def peak_of(parts: dict[str, int]) -> int:
    """Return the peak: the search is over when the maps are made."""
    return _RUNTIME + parts["images"] + parts["references and sums"] + max(parts["search"], parts["maps"])


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
          f"{_resolution(work.particles, load.size)}; about {_time(seconds_of(work, load, measured_rate()))}")
    _say_memory(work, load)


def say_plan(work: Execution, plan: SearchPlan, grid: SphereGrid | PlaneGrid, count: int,
             assignments: Assignments) -> None:
    """Print the search of the next iteration over `count` particles, its expected time and its memory."""
    load = workload(work, plan, grid, count, assignments)
    operations = cost.search_operations(load) + cost.sample_operations(load)
    where = "GPU" if work.device == "gpu" else f"{nb.get_num_threads()} thread(s)"
    ranks = f" on each of {work.ranks.size} ranks" if work.ranks.size > 1 else ""
    coarse, fine = (_resolution(work.particles, size) for size in (load.coarse_size, load.size))
    searched = f"{load.orientations} orientations" if load.orientations else "orientations near the last"
    searched += f" × {load.shifts} shifts" + (f" at {coarse}" if load.orientations else "")
    print(f"Plan of an iteration: {searched} for each of {count} particles, then {load.children} × {load.sub} finer "
          f"samples of what is likely at {fine}; at least {operations / 1e12:.2g} TFLOP, "
          f"about {_time(seconds_of(work, load, measured_rate()))} with {where}{ranks}")
    _say_memory(work, load)


def _say_memory(work: Execution, load: Workload) -> None:
    parts, allowed = memory_of(work, load), budget().total
    listed = ", ".join(f"{name} {size / 1e9:.2f}" for name, size in parts.items())
    shared = own_volumes(cost.sums_bytes(load, 1), nb.get_num_threads()) < nb.get_num_threads()
    print(f"Memory: about {peak_of(parts) / 1e9:.1f} of {allowed / 1e9:.1f} GB ({listed}), blocks of "
          f"{work.block or BLOCK} particles" + (", all threads add to one volume" if shared else ""), flush=True)
    if peak_of(parts) > allowed:
        print("That is more than the job may use (running option memory): it continues with small blocks, and may run "
              "out of memory. Fewer MPI ranks per computer, fewer classes or a smaller box need less.", flush=True)


def _resolution(particles: ParticleSet, size: int) -> str:
    return f"{particles.length / max(size // 2, 1):.1f} Å"


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
