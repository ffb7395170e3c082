"""The status of jobs in default_pipeline.star at the start and the end of a run, written only when it changes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

from cryosnake.human import CLOCK_SLACK
from cryosnake.pipeline.edit import set_status
from cryosnake.pipeline.lock import update_pipeline
from cryosnake.pipeline.markers import ABORT_REQUEST, EXIT_FILES, set_exit
from cryosnake.pipeline.model import Pipeline, Process, Status
from cryosnake.pipeline.unlocked import read_pipeline_unlocked
from cryosnake.project.locks.job_status import KILLED, last_reason, left_running, write_reason
from cryosnake.project.planning.planned import PlannedJob
from cryosnake.project.records.batches import batch_star
from cryosnake.project.records.disk import BATCHES


def close_run(jobs: Iterable[PlannedJob], failed: Collection[str] = ()) -> list[str]:
    """Leave no job of a failed run as running; return the paths of those that failed.

    A job whose program was killed is marked as failed, with the reason in its run.err. So is a job of `failed` (paths),
    which a cluster's scheduler ended or refused; the caller has written the reason. A job that was still waiting for
    its turn goes back to scheduled: the same command continues it.
    """
    listed = read_pipeline_unlocked().processes
    states: dict[str, Status] = {}
    for job in jobs:
        status = listed[f"{job.path}/"].status if f"{job.path}/" in listed else None
        if job.path in failed and status in (Status.RUNNING, Status.SCHEDULED, Status.ABORTED):
            states[job.path] = Status.FAILED
        elif status == Status.RUNNING:
            states[job.path] = Status.FAILED if _died(job) else Status.SCHEDULED
    return _change(listed, states, explained=failed)


def fail_dead_jobs(besides: Collection[str] = ()) -> list[str]:
    """Mark jobs as failed that an earlier run left as running because it was killed as a whole; return the paths.

    `besides` are jobs (paths) that another run may be working on, between two of its programs.
    """
    dead = [path for path in left_running() if path not in besides]
    return _change(read_pipeline_unlocked().processes, dict.fromkeys(dead, Status.FAILED))


def failures(jobs: Iterable[PlannedJob], since: float) -> Iterator[str]:
    """Yield a line for each job that has failed since a time (seconds): its name, directory and reason."""
    for job in jobs:
        mark = Path(job.path, EXIT_FILES[Status.FAILED])
        if mark.exists() and mark.stat().st_mtime >= since - CLOCK_SLACK:
            yield f"{job.name} ({job.path}) failed: {last_reason(Path(job.path)) or f'see {job.path}/run.out'}"


def forget_abort_requests(jobs: Iterable[PlannedJob]) -> None:
    """Remove the requests that concerned the run that ends here."""
    for job in jobs:
        Path(job.path, ABORT_REQUEST).unlink(missing_ok=True)


def _change(listed: Mapping[str, Process], states: Mapping[str, Status], explained: Collection[str] = ()) -> list[str]:
    """Change the status of jobs that still have the listed one; return the paths of those that failed.

    Those that are not in `explained` (paths) were killed, and get that reason in their run.err.
    """
    def change(pipeline: Pipeline) -> Pipeline:
        for path, status in states.items():
            process = pipeline.processes.get(f"{path}/")
            if process is not None and process.status == listed[f"{path}/"].status:
                pipeline = set_status(pipeline, f"{path}/", status)
        return pipeline

    if states:
        update_pipeline(Path(), change)
    marked = [path for path, status in states.items() if status == Status.FAILED]
    for path in marked:
        set_exit(path, Status.FAILED)
        if path not in explained:
            write_reason(Path(path), KILLED)
    return marked


def _died(job: PlannedJob) -> bool:
    """Whether a program of this job was started and left no result; a rule's `tee` makes the log file first."""
    if not job.config.type.per_micrograph:
        return True
    return any(Path(job.path, BATCHES, f"{key}.log").exists() and not Path(batch_star(job.path, key)).exists()
               for key in job.batches.values())
