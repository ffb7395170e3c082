"""The two lanes: jobs that flow with the micrographs, and jobs that take all particles at once, side by side.

The lane of micrographs has every job that works per micrograph and takes only what flows or results that no longer
change. The lane of particles has all others. While it runs, the tables that it reads are held: batches of micrographs
are made, but joined only when it has finished (`project/planning/parts.py`).
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from dataclasses import KW_ONLY, dataclass
from pathlib import Path

from cryosnake.project.building.stale_outputs import pending_files, pending_of
from cryosnake.project.locks.work_locks import at_work
from cryosnake.project.planning.parts import part_of, tables_taken
from cryosnake.project.planning.planned import Disposition, Plan
from cryosnake.project.records.cleaned_files import is_wanted

ALL, MICROGRAPHS, PARTICLES = "", "micrographs", "particles"


@dataclass(frozen=True)
class Task:
    """The task of one call of Snakemake.

    `jobs` are the names of its jobs (none: all of the project), `hold` the tables that it must not write (micrographs)
    or that it reads (particles), `pending` the files to make. `beside` says that the other lane runs meanwhile.
    """

    lane: str
    jobs: tuple[str, ...] = ()
    hold: tuple[str, ...] = ()
    pending: tuple[str, ...] = ()
    _: KW_ONLY
    beside: bool = False


def whole_task(plan: Plan) -> Task:
    """Return the task of a call that does everything."""
    return Task(ALL, pending=tuple(pending_files(plan)))


def particles_task(plan: Plan) -> Task:
    """Return the task of the long jobs; its `jobs` are empty when the project has none."""
    flowing = flowing_jobs(plan)
    jobs = tuple(name for name in plan.jobs if name not in flowing)
    return Task(PARTICLES, jobs, tables_taken(plan, jobs), tuple(pending_files(part_of(plan, jobs))) if jobs else ())


def surviving_task(plan: Plan) -> Task | None:
    """Return the task of long jobs whose programs outlived their Snakemake, None when no program runs."""
    task = particles_task(plan)
    jobs = [plan.jobs[name] for name in task.jobs if not plan.jobs[name].config.type.per_micrograph]
    return task if any(at_work(Path(job.path)) for job in jobs if not job.new) else None


def micrographs_task(plan: Plan, other: Task | None) -> Task:
    """Return the task of what flows, while the particles' task `other` runs, or none does (None)."""
    busy, hold = (other.jobs, other.hold) if other else ((), ())
    jobs = tuple(flowing_jobs(plan, busy))
    return Task(MICROGRAPHS, jobs, hold, tuple(pending_files(part_of(plan, jobs, hold))), beside=other is not None)


def flowing_jobs(plan: Plan, busy: Collection[str] = ()) -> list[str]:
    """Return the names of the jobs of the lane of micrographs; `busy` are those in the other lane."""
    flowing: list[str] = []
    resting: set[str] = set()
    for name, job in plan.jobs.items():
        taken = {source.job for source in job.inputs.values()}
        placed = all(up.name in flowing or up.name in resting for up in plan.jobs.values() if up.path in taken)
        if name in busy or not placed:
            continue
        if job.config.type.per_micrograph:
            flowing.append(name)
        elif job.disposition is not Disposition.HELD and not pending_of(plan, job):
            resting.add(name)
    return flowing


def can_run_beside(task: Task, micrographs: Task) -> bool:
    """Whether the long jobs may start while a call for micrographs runs: it must have been started to spare them."""
    return (micrographs.beside and set(task.hold) <= set(micrographs.hold)
            and set(task.jobs).isdisjoint(micrographs.jobs))


def needs_one_call(plan: Plan) -> bool:
    """Whether one call must do everything: cleaned data are made again, in jobs of both lanes."""
    missing = (path for job in plan.jobs.values() for files in job.needs.values() for path in files
               if not os.path.exists(path))
    cleared = (Disposition.CLEARED, Disposition.INPUTS_CLEARED)
    return any(job.disposition in cleared or is_wanted(job.path) for job in plan.jobs.values()) or any(missing)


def reads_batches(plan: Plan, names: Iterable[str]) -> bool:
    """Whether one of the jobs works per micrograph, and so reads and writes single batches."""
    return any(plan.jobs[name].config.type.per_micrograph for name in names if name in plan.jobs)
