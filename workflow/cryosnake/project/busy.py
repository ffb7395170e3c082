"""Whether a job is at work: by its status, or by a program that holds the lock of its directory."""

from __future__ import annotations

import fcntl
from pathlib import Path

from cryosnake.errors import CryosnakeError
from cryosnake.pipeline.model import Process, Status
from cryosnake.project.disk import BATCHES


def busy_reason(process: Process) -> str:
    """Return why a job must not be touched, "" when it is at rest."""
    if process.status == Status.RUNNING:
        return "it is running; abort it, or mark it as failed if its program is gone"
    job = Path(process.name)
    for lock in (job / ".cryosnake.lock", *(job / BATCHES).glob("*.lock")):
        if _is_held(lock):
            return f"a program works in it (it holds {lock})"
    return ""


def refuse_busy(process: Process, what: str) -> None:
    """Raise CryosnakeError when a job is at work."""
    reason = busy_reason(process)
    if reason:
        raise CryosnakeError(f"{process.name}: {what} refused: {reason}")


def _is_held(path: Path) -> bool:
    try:
        with open(path) as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
