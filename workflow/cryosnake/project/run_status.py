"""The status of jobs in default_pipeline.star through a run, written only when it changes."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from cryosnake.pipeline.edit import set_status
from cryosnake.pipeline.files import PIPELINE_FILE
from cryosnake.pipeline.lock import update_pipeline
from cryosnake.pipeline.markers import ABORT_REQUEST, set_exit
from cryosnake.pipeline.model import Pipeline, Process, Status
from cryosnake.pipeline.settled import read_settled
from cryosnake.project.batches import batch_star
from cryosnake.project.disk import BATCHES
from cryosnake.project.plan import PlannedJob
from cryosnake.project.record import FILE as RECORD
from cryosnake.project.work_locks import at_work

KILLED = ("the program ended without a word: killed from outside (out of memory, time limit, scancel, kill -9, power); "
          "the same command goes on where it stopped")


def status_of(path: str) -> Status | None:
    """Return the status of a job ("MotionCorr/job002"), None when the project does not list it."""
    if not Path(PIPELINE_FILE).exists():
        return None
    process = read_settled().processes.get(f"{path}/")
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

    A job whose program died without a word is marked as failed, with the reason in its run.err, and so is one of
    `failed` (paths), which a cluster's scheduler ended or refused, and whose reason is known to whoever names it. One
    that only had no turn any more goes back to scheduled: the same command goes on with it.
    """
    listed = read_settled().processes
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


def left_running() -> list[str]:
    """Return the jobs of ours that are listed as running though no program works in them: their run was killed."""
    return [process.name.rstrip("/") for process in read_settled().processes.values()
            if process.status == Status.RUNNING and is_dead(process.name.rstrip("/"))]


def is_dead(path: str) -> bool:
    """Whether provably nobody works in a job that is listed as running; never so for jobs that RELION made."""
    return Path(path, RECORD).exists() and not at_work(Path(path))


def settle_left_running(besides: Collection[str] = ()) -> list[str]:
    """Mark what an earlier run left as running, because it was killed as a whole, as failed; return the paths.

    `besides` are jobs (paths) that another run may be at, between two of its programs.
    """
    dead = [path for path in left_running() if path not in besides]
    marked = _settle(read_settled().processes, dict.fromkeys(dead, Status.FAILED))
    for path in marked:
        write_reason(Path(path), KILLED)
    return marked


def forget_abort_requests(jobs: Iterable[PlannedJob]) -> None:
    """Remove the requests that concerned the run that ends here."""
    for job in jobs:
        Path(job.path, ABORT_REQUEST).unlink(missing_ok=True)


def write_reason(path: Path, reason: str) -> None:
    """Append why a job failed to its run.err; a full disk does not hide the failure itself."""
    with contextlib.suppress(OSError), open(path / "run.err", "a") as file:
        file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {reason}\n")


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
