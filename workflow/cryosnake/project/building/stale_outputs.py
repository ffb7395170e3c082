"""Stale outputs, which Snakemake would make: files of the plan that are missing, or older than their inputs.

The watcher checks this every few seconds; Snakemake, which needs seconds to start, is called only if there are some.
"""

from __future__ import annotations

from cryosnake.project.planning.completeness import died_at_the_end
from cryosnake.project.planning.planned import Disposition, Plan, PlannedJob
from cryosnake.project.planning.rule_values import asked, batch_inputs, batch_stars, job_inputs, pictures
from cryosnake.project.records.batches import batch_star
from cryosnake.project.records.cleaned_files import is_wanted
from cryosnake.project.records.freshness import is_stale


def pending_files(plan: Plan) -> list[str]:
    """Return the outputs, STAR files of batches, and pictures that are still to be made, in the order of the jobs."""
    found: list[str] = []
    for job in plan.own:
        if job.disposition is not Disposition.HELD:
            results = pending_of(plan, job)  # a call that makes these also draws them
            found += results or [path for path in pictures(plan, job) if is_stale(path, job.files())]
    return found


def pending_of(plan: Plan, job: PlannedJob) -> list[str]:
    """Return the files of one job that are still to be made, or made by a program killed after its last result."""
    if died_at_the_end(job):
        return job.files()
    return _of_batches(plan, job) if job.config.type.per_micrograph else _of_whole(plan, job)


def _of_batches(plan: Plan, job: PlannedJob) -> list[str]:
    stars = batch_stars(plan, job.path)
    again = job.again.values() if is_wanted(job.path) else ()
    late = [batch_star(job.path, key) for key in (*job.batches.values(), *again)
            if is_stale(batch_star(job.path, key), batch_inputs(plan, job.path, key))]
    outputs = [] if job.disposition is Disposition.BATCHES_ONLY else job.files()
    return late + [path for path in outputs if is_stale(path, stars)]


def _of_whole(plan: Plan, job: PlannedJob) -> list[str]:
    inputs = [] if job.disposition is Disposition.BELOW_GROWTH else job_inputs(plan, job.path)
    return [path for path in asked(plan, job) if is_stale(path, inputs)]
