"""Results of programs that outlived a killed Snakemake: complete, though Snakemake takes them for halves.

Snakemake marks what a job will write when it starts it, and unmarks it when it sees the end. Killed in between, its
program goes on to its end; the next run finds the mark, removes the results, and starts the job again. Here a file is
complete or absent, so a mark is taken away where the job has said that it is finished.
"""

from __future__ import annotations

import binascii
import os
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from pathlib import Path

from cryosnake.pipeline.markers import exit_of
from cryosnake.pipeline.model import Status
from cryosnake.project.batches import batch_star
from cryosnake.project.plan import Plan, PlannedJob

MARKS = Path(".snakemake", "incomplete")


def unmark_complete(plan: Plan) -> list[str]:
    """Take away Snakemake's marks of results that are complete; return these results.

    Only for who knows that no other Snakemake works in the project. A batch's STAR is complete when it exists; the
    outputs of a job are when its program has left RELION_JOB_EXIT_SUCCESS, which each program removes when it begins.
    """
    marks = dict(_marks())
    if not marks:
        return []
    found = [path for job in plan.jobs.values() for path in _complete(job) if path in marks]
    for path in found:
        marks[path].unlink(missing_ok=True)
    return found


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
    candidates = [batch_star(job.path, key) for key in job.batches.values()]
    if exit_of(Path(job.path)) == Status.SUCCEEDED:
        candidates += [job.file(output) for output in job.outputs()]
    return [path for path in candidates if os.path.exists(path)]
