"""Whether a job came to its end: its program, not only its files, as they stand after a kill."""

from __future__ import annotations

import os
from pathlib import Path

from cryosnake.pipeline.markers import exit_of
from cryosnake.pipeline.model import Status
from cryosnake.project.locks.work_locks import at_work, lock_files
from cryosnake.project.planning.planned import PlannedJob
from cryosnake.project.records.cleaned_files import read_cleaned
from cryosnake.project.records.freshness import is_stale
from cryosnake.project.records.run_times import FILE as RUN_TIMES


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
