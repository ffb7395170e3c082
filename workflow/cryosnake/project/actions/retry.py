"""Retry micrographs that failed: without such a request they are not processed again."""

from __future__ import annotations

import os
from pathlib import Path

from cryosnake.atomic import write_text
from cryosnake.errors import CryosnakeError
from cryosnake.names import job_of_link, why_not_ours
from cryosnake.project.actions.status import recorded_batches
from cryosnake.project.locks.snakemake_lock import running_claim
from cryosnake.project.records.batches import done_file, read_done


def retry_failed(path: str, *, rejected: bool = False, beside_long_jobs: bool = False) -> list[str]:
    """Forget the failures of a job ("MotionCorr/job002" or its alias) and return the micrographs concerned.

    The next run of Snakemake processes them again, in the next revision of their batch, for its record is newer than
    its STAR. `rejected` also forgets those that a quality gate rejected. With
    `beside_long_jobs` the caller knows that the run in progress does not work on batches of micrographs.
    """
    job = os.path.relpath(path) if os.path.isabs(path) else os.path.normpath(path)
    job = job_of_link(job, os.path.dirname(job)).rstrip("/") or job
    if why_not_ours("", f"{job}/") or not Path(job, "batches").is_dir():
        raise CryosnakeError(f"{path} is not the directory of a per-micrograph job, such as MotionCorr/job002")
    if running_claim() and not beside_long_jobs:
        raise CryosnakeError("a run in this project is recording micrographs; retry when it has finished")
    states = ("failed", "rejected") if rejected else ("failed",)
    names: list[str] = []
    for number in recorded_batches(job):
        done = read_done(job, number)
        again = [name for name, item in done.items() if item.state in states]
        if not again:
            continue
        names += again
        keep = [item for item in done.values() if item.state not in states]
        write_text(done_file(job, number), "".join(item.line() for item in keep), durable=True)
    return names
