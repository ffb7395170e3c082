"""The status of jobs in default_pipeline.star, and which of those listed as running were killed."""

from __future__ import annotations

import contextlib
import sys
import time
from pathlib import Path

from cryosnake.atomic import own_file
from cryosnake.errors import CryosnakeError
from cryosnake.names import PIPELINE_FILE
from cryosnake.pipeline.edit import set_alias, set_status
from cryosnake.pipeline.lock import update_pipeline
from cryosnake.pipeline.markers import make_alias_link
from cryosnake.pipeline.model import Pipeline, Status
from cryosnake.pipeline.unlocked import read_pipeline_unlocked
from cryosnake.project.locks.work_locks import at_work
from cryosnake.project.records.record import FILE as RECORD
from cryosnake.project.records.record import read_record

KILLED = ("the program ended without a message: killed from outside (out of memory, time limit, scancel, kill -9, "
          "power); the same command continues where it stopped")

_TIME = len("2026-11-30 12:32:17 ")


def status_of(path: str) -> Status | None:
    """Return the status of a job ("MotionCorr/job002"), None when the project does not list it."""
    if not Path(PIPELINE_FILE).exists():
        return None
    process = read_pipeline_unlocked().processes.get(f"{path}/")
    return process.status if process else None


def set_job_status(path: str, status: Status) -> bool:
    """Set the status of a job if the project lists it under another; return whether it was changed."""
    before = status_of(path)
    if before is None or before == status:
        return False
    update_pipeline(Path(), lambda pipeline: set_status(pipeline, f"{path}/", status))
    return True


def set_succeeded(path: str) -> None:
    """Set the status of a job that has come to its end; one without an alias takes its name in the config as such.

    Until then the job that had made these results before keeps the alias.
    """
    record = read_record(Path(path))
    if status_of(path) is None:
        return

    def settle(pipeline: Pipeline) -> Pipeline:
        pipeline = set_status(pipeline, f"{path}/", Status.SUCCEEDED)
        named = pipeline.processes[f"{path}/"].alias
        return pipeline if named or record is None else set_alias(pipeline, f"{path}/", record.name)

    pipeline = update_pipeline(Path(), settle)
    try:
        make_alias_link(Path(), pipeline.processes[f"{path}/"])
    except CryosnakeError as error:  # the results are there all the same
        print(error, file=sys.stderr)


def left_running() -> list[str]:
    """Return the jobs of ours that are listed as running though no program works in them: their run was killed."""
    return [process.name.rstrip("/") for process in read_pipeline_unlocked().processes.values()
            if process.status == Status.RUNNING and is_dead(process.name.rstrip("/"))]


def is_dead(path: str) -> bool:
    """Whether provably no program works in a job that is listed as running; always False for jobs that RELION made."""
    return Path(path, RECORD).exists() and not at_work(Path(path))


def write_reason(path: Path, reason: str) -> None:
    """Append why a job failed to its run.err; a full disk does not hide the failure itself."""
    with contextlib.suppress(OSError), open(path / "run.err", "a", encoding="utf-8",
                                                errors="backslashreplace", opener=own_file) as file:
        file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {reason}\n")


def last_reason(path: Path) -> str:
    """Return the last reason in a job's run.err, without its time; "" if there is none."""
    try:
        lines = (path / "run.err").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    last = next((line for line in reversed(lines) if line.strip()), "")
    return last[_TIME:].strip() if last[:_TIME].count(":") == 2 else last.strip()
