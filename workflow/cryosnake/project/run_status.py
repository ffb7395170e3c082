"""The status of jobs in default_pipeline.star through a run, written only when it changes."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

from cryosnake.pipeline.edit import set_status
from cryosnake.pipeline.files import PIPELINE_FILE, read_pipeline
from cryosnake.pipeline.lock import update_pipeline
from cryosnake.pipeline.markers import set_exit
from cryosnake.pipeline.model import Pipeline, Status
from cryosnake.project.batches import batch_star
from cryosnake.project.disk import BATCHES
from cryosnake.project.plan import PlannedJob


def status_of(path: str) -> Status | None:
    """Return the status of a job ("MotionCorr/job002"), None when the project does not list it."""
    if not Path(PIPELINE_FILE).exists():
        return None
    process = read_pipeline(PIPELINE_FILE).processes.get(f"{path}/")
    return process.status if process else None


def set_job_status(path: str, status: Status) -> bool:
    """Set the status of a job if the project lists it under another; return whether it was changed."""
    before = status_of(path)
    if before is None or before == status:
        return False
    update_pipeline(Path(), lambda pipeline: set_status(pipeline, f"{path}/", status))
    return True


def close_run(jobs: Iterable[PlannedJob], failed: Collection[str] = ()) -> list[str]:
    """Settle the jobs that a failed run left as running; return the paths of those that failed.

    A job whose program died without a word is marked as failed, and so is one of `failed` (paths), which a cluster's
    scheduler ended or refused; one that only had no turn any more goes back to scheduled: the same command goes on
    with it.
    """
    listed = read_pipeline(PIPELINE_FILE).processes
    open_jobs = [job for job in jobs if f"{job.path}/" in listed and (
        listed[f"{job.path}/"].status == Status.RUNNING
        or (job.path in failed and listed[f"{job.path}/"].status in (Status.SCHEDULED, Status.ABORTED)))]
    states = {job.path: Status.FAILED if job.path in failed or _died(job) else Status.SCHEDULED for job in open_jobs}

    def close(pipeline: Pipeline) -> Pipeline:
        for path, status in states.items():
            pipeline = set_status(pipeline, f"{path}/", status)
        return pipeline

    if states:
        update_pipeline(Path(), close)
    marked = [path for path, status in states.items() if status == Status.FAILED]
    for path in marked:
        set_exit(path, Status.FAILED)
    return marked


def _died(job: PlannedJob) -> bool:
    """Whether a program of this job was started and left no result; a rule's `tee` makes the log file first."""
    if not job.config.type.per_micrograph:
        return True
    return any(Path(job.path, BATCHES, f"{key}.log").exists() and not Path(batch_star(job.path, key)).exists()
               for key in job.batches.values())
