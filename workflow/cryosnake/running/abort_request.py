"""RELION_JOB_ABORT_NOW of a job of which several batches are at work: it stays until the last of them has seen it."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from cryosnake.pipeline.markers import ABORT_REQUEST
from cryosnake.project.disk import BATCHES


def lock_file(out: Path, batch: str) -> Path:
    """Return the file that the program of a batch, or of a whole job, keeps locked while it works."""
    return out / BATCHES / f"{batch.partition('.')[0]}.lock" if batch else out / ".cryosnake.lock"


def stays(out: Path, batch: str) -> bool:
    """Whether an abort request concerns another batch, which still works and did so when the request was made.

    A request that is older than all that works was left behind by an earlier run, and is nobody's.
    """
    try:
        made = os.stat(out / ABORT_REQUEST).st_mtime_ns
    except FileNotFoundError:
        return False
    others = (path for path in (out / BATCHES).glob("*.lock") if path != lock_file(out, batch))
    return any(path.stat().st_mtime_ns <= made and _is_held(path) for path in others)


def _is_held(path: Path) -> bool:
    try:
        with open(path, "r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False  # no locks on this file system, or it is gone
    return False
