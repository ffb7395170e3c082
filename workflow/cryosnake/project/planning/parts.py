"""Part of a plan: the jobs of one call of Snakemake, while another call makes the rest.

`cryosnake watch` processes micrographs while long jobs run, with two calls at a time (`--config only=… hold=…`). `only`
names the jobs of the call; the files of all others are used as they are. `hold` lists tables that the other call
reads: their batches are made, but the tables are joined only when that call has finished. So the input of a long job
does not change while it runs, and the times of files agree with what Snakemake concludes from them.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

from cryosnake.project.planning.planned import Disposition, Plan, PlannedJob
from cryosnake.project.planning.rule_values import batch_input


def part_of(plan: Plan, only: Collection[str], hold: Collection[str] = ()) -> Plan:
    """Return a plan in which only the jobs with these names are made, and the tables of `hold` are not joined.

    A job of the part waits until other parts have made its inputs; so do single batches. New movies form batches only
    in the part that contains their import.
    """
    jobs: dict[str, PlannedJob] = {}
    for name, job in plan.jobs.items():
        if name not in only:
            jobs[name] = replace(job, disposition=Disposition.OTHER_LANE, movies={})
            continue
        own = replace(job, batches={number: key for number, key in job.batches.items()
                                    if all(map(os.path.exists, _brought(plan, job, only, key)))})
        why_held = own.why_held or _waits_for(plan, own, jobs)
        if why_held:
            own = replace(own, disposition=Disposition.HELD, why_held=why_held)
        elif own.disposition is not Disposition.INPUTS_CLEARED and not set(hold).isdisjoint(job.files()):
            own = replace(own, disposition=Disposition.BATCHES_ONLY)
        jobs[name] = own
    return replace(plan, jobs=jobs)


def tables_taken(plan: Plan, only: Collection[str]) -> tuple[str, ...]:
    """Return the joined tables, made by other jobs, that the jobs with these names read."""
    own = {plan.jobs[name].path for name in only}
    joined = {job.path for job in plan.jobs.values() if job.config.type.per_micrograph} - own
    return tuple(sorted({source.path for name in only for slot, source in plan.jobs[name].inputs.items()
                         if (source.job or source.pinned) in joined and _takes_whole(plan, plan.jobs[name], slot)}))


def _brought(plan: Plan, job: PlannedJob, only: Collection[str], key: str) -> Iterator[str]:
    """Yield the STAR files of one batch that another part makes for a job."""
    for slot in job.inputs:
        up = _maker(plan.jobs, job, slot)
        if up and up.name not in only and not _takes_whole(plan, job, slot):
            yield batch_input(plan, job, slot, key)


def _waits_for(plan: Plan, job: PlannedJob, jobs: Mapping[str, PlannedJob]) -> str:
    """Return what a job of the part has to wait for, "" if all its inputs exist."""
    if job.config.type.per_micrograph and not job.batches:
        return "waits for its first batch"
    for slot, source in job.inputs.items():
        up = _maker(jobs, job, slot)
        if up and (up.disposition is Disposition.HELD or (
                up.disposition is Disposition.OTHER_LANE and _takes_whole(plan, job, slot)
                and not os.path.exists(source.path))):
            return f"waits for {up.name}"
    return ""


def _maker(jobs: Mapping[str, PlannedJob], job: PlannedJob, slot: str) -> PlannedJob | None:
    return next((up for up in jobs.values() if up.path == job.inputs[slot].job), None)


def _takes_whole(plan: Plan, job: PlannedJob, slot: str) -> bool:
    """Whether a slot takes a job's whole output, not one batch of it."""
    key = next(iter(job.batches.values()), "")
    return not key or batch_input(plan, job, slot, key) == job.inputs[slot].path
