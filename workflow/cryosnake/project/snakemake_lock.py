"""Snakemake's lock after a kill: removed only when the process that made it is provably gone.

Every real run claims the project before Snakemake locks it. A later run that finds the claim of a process of this
machine that no longer exists removes the lock files of `.snakemake/locks`; anything else is left to Snakemake.
"""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

CLAIM = Path(".cryosnake", "run.json")
LOCKS = Path(".snakemake", "locks")


def claim_run(*, insist: bool = False) -> str:
    """Claim the project for this process; return a message when a dead run's lock was removed.

    A living claim of another process is left alone, unless `insist`: who holds Snakemake's lock already may.
    """
    owner = _read_claim()
    mine = this_process()
    if owner == mine:
        return ""
    if owner and is_alive(owner) and not insist:
        return ""
    message = ""
    if owner and not is_alive(owner) and not insist:
        stale = list(LOCKS.glob("*.lock"))
        for lock in stale:
            lock.unlink(missing_ok=True)
        if stale:
            message = f"removed the lock of an earlier run (process {owner['pid']}) that was killed"
    CLAIM.parent.mkdir(exist_ok=True)
    temporary = CLAIM.with_suffix(f".{os.getpid()}.tmp")
    temporary.write_text(json.dumps(mine))
    os.replace(temporary, CLAIM)
    return message


def running_claim() -> dict[str, object] | None:
    """Return the claim of a run that is going on (host, pid), None when there is none."""
    owner = _read_claim()
    return owner if owner and is_alive(owner) else None


def run_began() -> int | None:
    """Return when the run that is going on claimed the project (st_mtime_ns of the file system), None without one."""
    try:
        return CLAIM.stat().st_mtime_ns if running_claim() else None
    except FileNotFoundError:
        return None


def _read_claim() -> dict[str, object] | None:
    try:
        owner = json.loads(CLAIM.read_text())
    except (OSError, ValueError):
        return None
    return owner if isinstance(owner, dict) and {"host", "pid", "start"} <= owner.keys() else None


def this_process() -> dict[str, object]:
    """Return what tells this process from every other: host, pid and start time."""
    return process_claim(os.getpid())


def process_claim(pid: int) -> dict[str, object]:
    """Return what tells a process of this computer from every other: host, pid and start time."""
    return {"host": socket.gethostname(), "pid": pid, "start": start_time(pid)}


def is_alive(owner: dict[str, object]) -> bool:
    """Whether a process lives; one of another machine counts as alive, for nobody here can tell."""
    if owner["host"] != socket.gethostname():
        return True
    return start_time(int(str(owner["pid"]))) == owner["start"] != ""


def start_time(pid: int) -> str:
    """Return when a process started, in the kernel's ticks since boot; "" when it does not exist.

    A process number is used again some time; number and start time together are not.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]
