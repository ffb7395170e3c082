"""Results of programs that outlived a killed Snakemake: complete, though Snakemake takes them for halves.

Snakemake marks what a job will write when it starts it, and unmarks it when it sees the end. Killed in between, its
program goes on to its end; the next run finds the mark, removes the results, and starts the job again. Here a file is
complete or absent, so a mark is taken away where the job has said that it is finished.
"""

from __future__ import annotations

import binascii
import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator
from pathlib import Path

from cryosnake.pipeline.markers import exit_of
from cryosnake.pipeline.model import Status
from cryosnake.project.locks.work_locks import at_work, lock_files
from cryosnake.project.planning.planned import Plan, PlannedJob
from cryosnake.project.records.batches import batch_star
from cryosnake.project.records.cleaned_files import read_cleaned
from cryosnake.project.records.freshness import is_finished, is_stale
from cryosnake.project.records.run_times import FILE as RUN_TIMES

MARKS = Path(".snakemake", "incomplete")
LONGEST = 200  # characters of a mark's name: Snakemake splits longer ones


def clear_stale_marks(plan: Plan) -> list[str]:
    """Take away Snakemake's marks of results that are complete; return these results.

    Only for who knows that no other Snakemake makes these jobs. A batch's STAR is complete when it exists; the
    outputs of a job are when its program has left RELION_JOB_EXIT_SUCCESS, which each program removes when it begins.
    """
    marks = dict(_marks())
    if not marks:
        return []
    found = [path for job in plan.own for path in _complete(job) if path in marks]
    for path in found:
        marks[path].unlink(missing_ok=True)
    return found


def mark_unfinished(plan: Plan) -> list[str]:
    """Mark the results of jobs whose program was killed between its last result and its end; return these results.

    Snakemake takes such results for complete when it did not see the end either, and would leave the job as it is. A
    job that somebody has marked as failed by hand is no such job: its program has noted its end in run_times.tsv.
    """
    found = [path for job in plan.own if died_at_the_end(job) for path in job.files()
             if len(_name(path)) <= LONGEST]
    for path in found:
        MARKS.mkdir(parents=True, exist_ok=True)
        Path(MARKS, _name(path)).write_text('{"external_jobid": null}')
    return found


def died_at_the_end(job: PlannedJob) -> bool:
    """Whether a job's program was killed between its last result and its end."""
    directory = Path(job.path)
    if job.new or job.why_held or exit_of(directory) == Status.SUCCEEDED:
        return False
    if not lock_files(directory) or at_work(directory):
        return False
    if read_cleaned(job.path).status is not None:
        return False
    return all(map(os.path.exists, job.files())) and is_stale(directory / RUN_TIMES, job.files())


def _name(path: str) -> str:
    return urlsafe_b64encode(path.encode()).decode()


def _marks() -> Iterator[tuple[str, Path]]:
    """Yield what is marked, and the file that marks it: named by base64, a long name in several folders, "@" each."""
    for folder, _, names in os.walk(MARKS):
        parts = [part.removeprefix("@") for part in Path(folder).relative_to(MARKS).parts]
        for name in names:
            try:
                yield urlsafe_b64decode("".join([*parts, name])).decode(), Path(folder, name)
            except (binascii.Error, UnicodeDecodeError):
                continue


def _complete(job: PlannedJob) -> list[str]:
    stars = [batch_star(job.path, key) for key in job.batches.values()]
    return [*filter(os.path.exists, stars), *(job.files() if is_finished(job.path, job.files()) else [])]
