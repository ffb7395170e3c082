"""Which process it is: its number and when it started, for numbers come again."""

from __future__ import annotations

import os
from pathlib import Path


def this_process() -> dict[str, object]:
    """Return what tells this process from every other: host, pid and start time."""
    return process_claim(os.getpid())


def process_claim(pid: int) -> dict[str, object]:
    """Return what tells a process of this computer from every other: host, pid and start time."""
    return {"host": os.uname().nodename, "pid": pid, "start": start_time(pid)}


def is_alive(owner: dict[str, object]) -> bool:
    """Whether a process lives; one of another machine counts as alive, for nobody here can tell."""
    if owner["host"] != os.uname().nodename:
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
