"""What a job is about to do, in two lines that are printed before it starts: the search, its cost, its memory."""

from __future__ import annotations

import math
import time

import numba as nb
import numpy as np

from cryosnake.numerics.refine.grids.grids import PlaneGrid, SphereGrid
from cryosnake.numerics.refine.grids.levels import search_grids
from cryosnake.numerics.refine.kernels.budget import budget
from cryosnake.numerics.refine.kernels.dispatch import coarsest_order
from cryosnake.numerics.refine.search import cost
from cryosnake.numerics.refine.search.schedule import coarse_size
from cryosnake.numerics.refine.search.search import CAUTION
from cryosnake.parallel.preread import image_bytes
from cryosnake.programs.refinement.block import SearchPlan
from cryosnake.programs.refinement.estep import BLOCK, own_volumes
from cryosnake.programs.refinement.particles import Particles
from cryosnake.programs.refinement.state import Assignments

# Of the rate of a matrix product: measured for the kernels over samples, and for transforms and all around them.
_SAMPLE_RATE, _PREPARATION_RATE = 0.25, 0.02
_GPU_RATE = 5e12  # operations per second, at the least, of the cards that there are
_RUNTIME = 250 << 20  # Python, the libraries and the compiled kernels


def work_of(particles: Particles, plan: SearchPlan, grid: SphereGrid | PlaneGrid, count: int, state: Assignments,
            ) -> cost.Work:
    """Return an expectation step over `count` particles as what it costs."""
    three, classes = isinstance(grid, SphereGrid), grid.classes
    orientations, coarse = grid.size, plan.coarse_size
    if isinstance(grid, SphereGrid):  # only the coarsest of its levels is searched over everything
        first = search_grids(grid, coarsest_order(np.zeros(0)))[0] if particles.device == "cpu" else grid
        orientations, step = first.size, first.step if first is grid else first.step / CAUTION
        coarse = coarse_size(step, plan.diameter, particles.pixel_size, particles.box, plan.size, False)
        if plan.sigma > 0:
            orientations = 0
    children = grid.children
    work = cost.Work(count, particles.box, classes, plan.size, coarse, orientations, len(plan.shifts.coarse), children,
                     plan.shifts.sub.shape[1], 3 if three else 2)
    known = float(state.significant.mean())  # of the last iteration's fine samples
    if known > 1.5:
        work = cost.Work(**vars(work) | {"samples": max(known / math.sqrt(children * work.sub), 1.0)})
    return work


def memory_of(particles: Particles, work: cost.Work) -> dict[str, int]:
    """Return the bytes that a process takes, by what for."""
    threads = own_volumes(cost.sums_bytes(work, 1), nb.get_num_threads())
    kept = image_bytes((len(particles), particles.box, particles.box))
    sums, block = cost.sums_bytes(work, threads), particles.block or BLOCK
    return {"images": kept if kept <= budget().images else 0,
            "references and sums": cost.reference_bytes(work) + sums,
            "search": cost.slices_bytes(work) + cost.block_bytes(work, block) + cost.sample_bytes(work, block,
                                                                                                  budget().slices),
            "maps": cost.maximisation_bytes(work)}


def peak_of(parts: dict[str, int]) -> int:
    """Return the most that is taken at a time: the search is over when the maps are made."""
    return _RUNTIME + parts["images"] + parts["references and sums"] + max(parts["search"], parts["maps"])


def seconds_of(particles: Particles, work: cost.Work, rate: float) -> float:
    """Return the expected time of the expectation step on all ranks; `rate` is that of one rank's matrix products."""
    search, samples = cost.search_operations(work), cost.sample_operations(work)
    if particles.device == "gpu":
        return (search + samples) / _GPU_RATE / particles.ranks.size
    preparation = cost.preparation_operations(work) / _PREPARATION_RATE
    return (search + samples / _SAMPLE_RATE + preparation) / rate / particles.ranks.size


def measured_rate(size: int = 512, times: int = 5) -> float:
    """Return the operations per second of a matrix product float32 with the present threads: the best of some."""
    one, taken = np.ones((size, size), np.float32), []
    for _ in range(times + 1):
        begin = time.perf_counter()
        one @ one
        taken.append(time.perf_counter() - begin)
    return 2.0 * size**3 / min(taken)


def say_plan_at_poses(particles: Particles, plan: SearchPlan, classes: int) -> None:
    """Print what an iteration without alignment does: one slice for each particle and class."""
    work = cost.Work(len(particles), particles.box, classes, plan.size, plan.size, 0, 0, 1, 1, samples=float(classes))
    print(f"Plan of an iteration: {len(particles)} particles at their poses in each of {classes} classes, at "
          f"{_resolution(particles, work.size)}; about {_time(seconds_of(particles, work, measured_rate()))}")
    _say_memory(particles, work)


def say_plan(particles: Particles, plan: SearchPlan, grid: SphereGrid | PlaneGrid, count: int,
             state: Assignments) -> None:
    """Print what the next iteration does with `count` particles, how long it may take and what memory it needs."""
    work = work_of(particles, plan, grid, count, state)
    operations = cost.search_operations(work) + cost.sample_operations(work)
    where = "GPU" if particles.device == "gpu" else f"{nb.get_num_threads()} thread(s)"
    ranks = f" on each of {particles.ranks.size} ranks" if particles.ranks.size > 1 else ""
    searched = (f"{work.orientations} orientations × {work.shifts} shifts at {_resolution(particles, work.coarse_size)}"
                if work.orientations else f"orientations near the last × {work.shifts} shifts")
    print(f"Plan of an iteration: {searched} for each of {count} particles, then {work.children} × {work.sub} finer "
          f"samples of what is likely at {_resolution(particles, work.size)}; at least {operations / 1e12:.2g} TFLOP, "
          f"about {_time(seconds_of(particles, work, measured_rate()))} with {where}{ranks}")
    _say_memory(particles, work)


def _say_memory(particles: Particles, work: cost.Work) -> None:
    parts, allowed = memory_of(particles, work), budget().total
    listed = ", ".join(f"{name} {size / 1e9:.2f}" for name, size in parts.items())
    shared = own_volumes(cost.sums_bytes(work, 1), nb.get_num_threads()) < nb.get_num_threads()
    print(f"Memory: about {peak_of(parts) / 1e9:.1f} of {allowed / 1e9:.1f} GB ({listed}), blocks of "
          f"{particles.block or BLOCK} particles" + (", all threads add to one volume" if shared else ""), flush=True)
    if peak_of(parts) > allowed:
        print("That is more than the job may take (running option memory): it goes on with small blocks, and may run "
              "out of memory. Fewer MPI ranks on a computer, fewer classes or a smaller box take less.", flush=True)


def _resolution(particles: Particles, size: int) -> str:
    return f"{particles.box * particles.pixel_size / max(size // 2, 1):.1f} Å"


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"

