"""Results of programs that outlived a killed Snakemake: complete, though Snakemake treats them as incomplete.

Snakemake marks the outputs of a job when it starts it, and removes the marks when it sees the end. If it is killed in
between, its program continues to its end; the next run finds the mark, removes the results, and starts the job again.
Here a file is complete or absent, so the mark is removed where the job's exit file says that it has finished.
"""

from __future__ import annotations

import os

from cryosnake.project.planning.completeness import died_at_the_end
from cryosnake.project.planning.planned import Plan, PlannedJob
from cryosnake.project.records.disk import BATCHES
from cryosnake.project.records.freshness import is_finished
from cryosnake.project.records.known_files import job_of
from cryosnake.project.snakemake_internals import mark, marks


def clear_stale_marks(plan: Plan) -> list[str]:
    """Remove Snakemake's marks of results that are complete; return these results.

    Only while no other Snakemake makes these jobs. A batch's STAR is complete when it exists; the outputs of a job are
    complete when its program has left RELION_JOB_EXIT_SUCCESS, which each program removes when it starts. Marks of
    files that a power cut has taken or emptied go, too: a batch is then made under its next name, and nobody would
    remove them.
    """
    marked = marks()
    if not marked:
        return []
    found = [path for job in plan.own for path in _complete(job) if path in marked]
    own = {job.path: set(job.files() + job.batch_stars()) for job in plan.own}
    others = [path for path in marked if (job := job_of(path)) in own
              and (not os.path.exists(path) or (_is_star_of_batch(path) and path not in own[job]))]
    for path in found + others:
        marked[path].unlink(missing_ok=True)
    return found


def mark_unfinished(plan: Plan) -> list[str]:
    """Mark the results of jobs whose program was killed between its last result and its end; return these results.

    Snakemake treats such results as complete when it did not see the end either, and would leave the job as it is. A
    job that was marked as failed by hand is different: its program has noted its end in run_times.tsv.
    """
    return [path for job in plan.own if died_at_the_end(job) for path in job.files() if mark(path)]


def _complete(job: PlannedJob) -> list[str]:
    return [*filter(os.path.exists, job.batch_stars()), *(job.files() if is_finished(job.path, job.files()) else [])]


def _is_star_of_batch(path: str) -> bool:
    return path.endswith(".star") and path.split("/")[-2] == BATCHES
