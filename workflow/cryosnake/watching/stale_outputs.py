"""What a call of Snakemake would have to make: files of the plan that are missing, or older than what they are from.

The watcher asks this every few seconds; Snakemake, which needs seconds to start, is called only when something is.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from cryosnake.project.planning.planned import Disposition, Plan, PlannedJob
from cryosnake.project.planning.rule_values import batch_inputs, batch_stars, job_inputs
from cryosnake.project.records.batches import batch_star
from cryosnake.project.run.snakemake_marks import died_at_the_end


def pending_files(plan: Plan) -> list[str]:
    """Return the outputs, and STAR files of batches, that are still to be made, in the order of the jobs."""
    found: list[str] = []
    for job in plan.own:
        if job.disposition is not Disposition.HELD:
            found += pending_of(plan, job)
    return found


def pending_of(plan: Plan, job: PlannedJob) -> list[str]:
    """Return the files of one job that are still to be made, or made by a program that did not come to its end."""
    if died_at_the_end(job):
        return job.files()
    return _of_batches(plan, job) if job.config.type.per_micrograph else _of_whole(plan, job)


def _of_batches(plan: Plan, job: PlannedJob) -> list[str]:
    stars = batch_stars(plan, job.path)
    late = [batch_star(job.path, key) for key in job.batches.values()
            if _is_late(batch_star(job.path, key), batch_inputs(plan, job.path, key))]
    outputs = [] if job.disposition is Disposition.BATCHES_ONLY else job.files()
    return late + [path for path in outputs if _is_late(path, stars)]


def _of_whole(plan: Plan, job: PlannedJob) -> list[str]:
    inputs = [] if job.disposition is Disposition.BELOW_GROWTH else job_inputs(plan, job.path)
    return [path for path in job.files() if _is_late(path, inputs)]


def _is_late(path: str, inputs: Iterable[str]) -> bool:
    made = _time(path)
    return made is None or any((changed := _time(source)) is not None and changed > made for source in inputs)


def _time(path: str) -> int | None:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return None
