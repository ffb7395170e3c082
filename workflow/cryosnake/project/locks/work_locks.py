"""Who works in a job directory: each program keeps a file locked in it, and says in the file who it is.

The system frees the lock when its process ends, even if it is killed. Where that cannot be found out (a file system
without locks, a process of another computer), the job counts as being at work.
"""

from __future__ import annotations

import fcntl
from pathlib import Path

from cryosnake.processes import ProcessId, this_process
from cryosnake.project.records.disk import BATCHES


def lock_file(out: Path, batch: str) -> Path:
    """Return the file that the program of a batch, or of a whole job, keeps locked while it works."""
    return out / BATCHES / f"{batch.partition('.')[0]}.lock" if batch else out / ".cryosnake.lock"


def lock_files(out: Path) -> list[Path]:
    """Return the lock files that programs left in a job directory, whether they still work or not."""
    return [path for path in (out / ".cryosnake.lock", *sorted((out / BATCHES).glob("*.lock"))) if path.exists()]


def own_identity() -> str:
    """Return the text by which a program says in its lock file who it is."""
    own = this_process()
    return f"{own.host} {own.pid} {own.start}\n"


def is_held(path: Path) -> bool | None:
    """Return whether a program keeps a file locked; None where that can't be found out (no locks, not readable)."""
    try:
        with open(path) as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    except OSError:
        return None
    return False


def at_work(out: Path) -> list[str]:
    """Return who works, or may be working, in a job directory ("process 4711 on node3")."""
    return [who for path in lock_files(out) for who in [_worker(path)] if who]


def _worker(path: Path) -> str:
    held = is_held(path)
    try:
        host, pid, start = path.read_text().split()
        owner = ProcessId(host=host, pid=int(pid), start=start)
    except (OSError, ValueError):
        return "a process" if held else ""
    return str(owner) if held or (held is None and owner.lives()) else ""
