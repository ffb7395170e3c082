"""Whether a job may be touched: not while it is listed as running, or while a program works in its directory."""

from __future__ import annotations

from pathlib import Path

from cryosnake.errors import CryosnakeError
from cryosnake.pipeline.model import Process, Status
from cryosnake.project.locks.work_locks import at_work


def busy_reason(process: Process) -> str:
    """Return why a job must not be touched, "" when it is at rest."""
    if process.status == Status.RUNNING:
        return "it is running; abort it, or mark it as failed if its program is gone"
    workers = at_work(Path(process.name))
    return f"a program works in it ({', '.join(workers)})" if workers else ""


def refuse_busy(process: Process, what: str) -> None:
    """Raise CryosnakeError when a job is at work."""
    reason = busy_reason(process)
    if reason:
        raise CryosnakeError(f"{process.name}: {what} refused: {reason}")
