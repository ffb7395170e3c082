"""Memory of a job, planned before anything is computed: that of its worst iteration is announced, met or refused."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numba as nb

from cryosnake.errors import CryosnakeError
from cryosnake.numerics.refine.kernels.budget import Budget, budget, budget_of, particles_of, use_budget
from cryosnake.numerics.refine.search import cost
from cryosnake.numerics.refine.search.cost import Workload
from cryosnake.parallel.preread import image_bytes
from cryosnake.parallel.ranks import on_each_rank
from cryosnake.parallel.stacks import KeptImages
from cryosnake.parallel.workers import workers_available
from cryosnake.programs.refinement.estep import BLOCK
from cryosnake.programs.refinement.execution import Execution, stack_images
from cryosnake.programs.refinement.step import own_volumes

RUNTIME = 320 << 20  # Python, the libraries, the compiled kernels and their compiler
_MARGIN = 1.05
_LEAST_SIZE = 32  # Fourier pixels
_LEAST = 1 << 26  # bytes that are shared out at least: less would take one particle at a time


@dataclass(frozen=True, kw_only=True)
class Demand:
    """What the iteration of a job that takes most memory needs.

    Attributes
    ----------
    when : str
        The iteration, for messages.
    load : Workload
    sets : int
        Sets of particles whose sums are in memory together.
    maps : int
        Maps (or class averages) beside the sums, with those that making them takes.
    keeps_references : bool
        Whether the references are still there when maps are made.
    symmetric : bool
        Whether the sums of a map are added up over a point group.
    more : int
        Bytes besides.
    """

    when: str
    load: Workload
    sets: int = 1
    maps: int
    keeps_references: bool = False
    symmetric: bool = False
    more: int = 0


@dataclass(frozen=True, kw_only=True)
class MemoryPlan:
    """How a demand is met: the budget of the search, its block of particles, whether images stay; bytes by purpose."""

    given: Budget
    block: int
    images: int
    parts: dict[str, int]

    @property
    def peak(self) -> int:
        """Return the most bytes at a time: the search is over when the maps are made."""
        parts = self.parts
        return round(_MARGIN * (RUNTIME + parts["images"] + parts["sums and maps"] + max(
            parts["references and search"], parts["making maps"])))


def memory_plan(work: Execution, demand: Demand, given: Budget, block: int, keep: bool) -> MemoryPlan:
    """Return the bytes that a process takes by purpose."""
    load, shared = demand.load, cost.sums_bytes(demand.load, 1)
    own = cost.sums_bytes(load, own_volumes(shared, nb.get_num_threads()))
    images = image_bytes((len(work.particles), work.particles.box, work.particles.box)) if keep else 0
    references, voxels = cost.reference_bytes(load), load.box**load.dimensions
    added = shared if own > shared else 0  # the volumes of the threads are added up in another one
    searched = references + own - shared + max(added, cost.search_bytes(load, block, workers_available(), given))
    making = cost.maximisation_bytes(load, demand.symmetric or added > 0)
    making += references if demand.keeps_references else 0
    return MemoryPlan(given=given, block=block, images=images, parts={
        "images": images, "sums and maps": demand.sets * shared + 4 * demand.maps * voxels + demand.more,
        "references and search": searched, "making maps": making})


def fitted(work: Execution, demand: Demand, pooled: int | None) -> MemoryPlan:
    """Return the plan of a demand within the present budget if it can be met, with the usual one where that fits.

    Otherwise with smaller blocks and chunks, and images that are read in every iteration.
    """
    allowed, keep = budget().total, isinstance(work.images, KeptImages)
    plan = memory_plan(work, demand, budget(), work.block or BLOCK, keep)
    share = allowed
    while plan.peak > allowed and share > _LEAST:
        share = share * 3 // 4
        smaller = replace(budget_of(share), total=allowed)
        block = pooled or particles_of(smaller.block // workers_available(), work.particles.box, BLOCK)
        plan = memory_plan(work, demand, smaller, block, keep and share > allowed // 4)
    return plan


@contextmanager
def planned(recipe: Any) -> Iterator[None]:
    """Announce the most memory that a recipe's job takes, and keep within what it may take.

    Raises
    ------
    CryosnakeError
        when the job may take less than it needs
    """
    work, size, demand = recipe.work, recipe.largest, recipe.demand(recipe.largest)
    if demand is None:
        yield
        return
    plan, allowed, ranks = fitted(work, demand, recipe.options.pooled), budget().total, work.ranks.computer.size
    while plan.peak > allowed and recipe.may_be_limited and size > _LEAST_SIZE:
        size -= 2
        demand = recipe.demand(size)
        plan = fitted(work, demand, recipe.options.pooled)
    listed = ", ".join(f"{name} {bytes_ / 1e9:.2f}" for name, bytes_ in plan.parts.items())
    recipe.say(f"Memory: at most {plan.peak / 1e9:.1f} of {allowed / 1e9:.1f} GB{on_each_rank(ranks)}, in "
               f"{demand.when} ({listed}); blocks of {plan.block} particles")
    if plan.peak > allowed:
        recipe.say("That is more than the job may take.")
        raise CryosnakeError(_refusal(plan, demand, recipe.options, ranks))
    if size < recipe.largest:
        recipe.say(f"Images are used to {2 * work.particles.length / size:.1f} Å, for more would take more memory than "
                   "the job may use. A larger `memory`, fewer classes or fewer MPI ranks on a computer allow more.")
    if plan.given is not budget():
        work = replace(work, block=plan.block)
    if isinstance(work.images, KeptImages) and not plan.images:
        work = replace(work, images=stack_images(work.particles))
    recipe.work, recipe.largest = work, size
    with use_budget(plan.given):
        yield


def _refusal(plan: MemoryPlan, demand: Demand, options: Any, ranks: int) -> str:
    needed, allowed = plan.peak * ranks / 1e9, budget().total * ranks / 1e9
    of_ranks = f" for {ranks} MPI ranks on this computer" if ranks > 1 else ""
    remedy = ", use fewer MPI ranks on a computer" if ranks > 1 else ""
    if options.memory:
        known, more = f" (memory: {options.memory:g})", ""
    else:
        known = ", four fifths of what is free on this computer or in the job's limit"
        more = "Free some memory, or request more of the scheduler; or "
    remedy = f"{more}{'set' if more else 'Set'} memory: {math.ceil(10 * needed) / 10:.1f} or more{remedy}, or take"
    return (f"{demand.when} would take up to {needed:.1f} GB of memory{of_ranks}, and the job may use {allowed:.1f}"
            f"{known}. {remedy} particles of a smaller box (Extract: rescale). Nothing was computed.")
