"""The status of jobs in default_pipeline.star through a run, written only when it changes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from cryosnake.pipeline.edit import set_status
from cryosnake.pipeline.lock import update_pipeline
from cryosnake.pipeline.markers import ABORT_REQUEST, set_exit
from cryosnake.pipeline.model import Pipeline, Process, Status
from cryosnake.pipeline.unlocked import read_pipeline_unlocked
from cryosnake.project.locks.job_status import KILLED, left_running, write_reason
from cryosnake.project.planning.planned import PlannedJob
from cryosnake.project.records.batches import batch_star
from cryosnake.project.records.disk import BATCHES


def close_run(jobs: Iterable[PlannedJob], failed: Collection[str] = ()) -> list[str]:
    """Settle the jobs that a failed run left as running; return the paths of those that failed.

    A job whose program died without a word is marked as failed, with the reason in its run.err, and so is one of
    `failed` (paths), which a cluster's scheduler ended or refused, and whose reason is known to whoever names it. One
    that only had no turn any more goes back to scheduled: the same command goes on with it.
    """
    listed = read_pipeline_unlocked().processes
    states: dict[str, Status] = {}
    for job in jobs:
        status = listed[f"{job.path}/"].status if f"{job.path}/" in listed else None
        if job.path in failed and status in (Status.RUNNING, Status.SCHEDULED, Status.ABORTED):
            states[job.path] = Status.FAILED
        elif status == Status.RUNNING:
            states[job.path] = Status.FAILED if _died(job) else Status.SCHEDULED
    marked = _settle(listed, states)
    for path in marked:
        if path not in failed:
            write_reason(Path(path), KILLED)
    return marked


def settle_left_running(besides: Collection[str] = ()) -> list[str]:
    """Mark what an earlier run left as running, because it was killed as a whole, as failed; return the paths.

    `besides` are jobs (paths) that another run may be at, between two of its programs.
    """
    dead = [path for path in left_running() if path not in besides]
    marked = _settle(read_pipeline_unlocked().processes, dict.fromkeys(dead, Status.FAILED))
    for path in marked:
        write_reason(Path(path), KILLED)
    return marked


def forget_abort_requests(jobs: Iterable[PlannedJob]) -> None:
    """Remove the requests that concerned the run that ends here."""
    for job in jobs:
        Path(job.path, ABORT_REQUEST).unlink(missing_ok=True)


def _settle(listed: Mapping[str, Process], states: Mapping[str, Status]) -> list[str]:
    """Give jobs whose status is still the listed one another; return the paths of those that failed."""
    def close(pipeline: Pipeline) -> Pipeline:
        for path, status in states.items():
            process = pipeline.processes.get(f"{path}/")
            if process is not None and process.status == listed[f"{path}/"].status:
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
