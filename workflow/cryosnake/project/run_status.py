"""The status of jobs in default_pipeline.star through a run, written only when it changes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from cryosnake.pipeline.edit import set_status
from cryosnake.pipeline.files import PIPELINE_FILE, read_pipeline
from cryosnake.pipeline.lock import update_pipeline
from cryosnake.pipeline.markers import set_exit
from cryosnake.pipeline.model import Pipeline, Status


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


def close_run(paths: Iterable[str]) -> list[str]:
    """Set jobs that a failed run left as running to failed; return their paths."""
    listed = read_pipeline(PIPELINE_FILE).processes
    open_jobs = [path for path in paths if f"{path}/" in listed and listed[f"{path}/"].status == Status.RUNNING]

    def close(pipeline: Pipeline) -> Pipeline:
        for path in open_jobs:
            pipeline = set_status(pipeline, f"{path}/", Status.FAILED)
        return pipeline

    if open_jobs:
        update_pipeline(Path(), close)
    for path in open_jobs:
        set_exit(path, Status.FAILED)
    return open_jobs
