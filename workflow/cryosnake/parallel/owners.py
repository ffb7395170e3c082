"""The owner of a folder: the process that made it, and whether it provably no longer runs."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO

FILE = "owner.json"


@dataclass(frozen=True, kw_only=True)
class Owner:
    """A process: number, start (clock ticks after boot), and the computer, its boot and process namespace."""

    host: str
    boot: str
    namespace: str
    pid: int
    started: int
    job: str = ""


def this_process(job: str = "") -> Owner:
    """Return this process as an owner."""
    return Owner(host=socket.gethostname(), boot=_boot(), namespace=_namespace(), pid=os.getpid(),
                 started=_started(os.getpid()) or 0, job=job)


def claim(folder: Path, job: str) -> TextIO:
    """Write the owner's file into a folder, locked for as long as the returned file is open."""
    file = open(folder / FILE, "w")  # stays open
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        pass  # no locks on this file system: the process number must suffice
    json.dump(asdict(this_process(job)), file)
    file.flush()
    return file


def is_gone(folder: Path) -> bool:
    """Return whether the process that claimed a folder provably no longer runs; False in any doubt."""
    try:
        with open(folder / FILE, "r+") as file:  # r+: NFS locks only files open for writing
            owner = Owner(**json.load(file))
            if owner.host != socket.gethostname():
                return False
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (OSError, ValueError, TypeError):
        return False  # not ours, not yet written, or its lock is held
    if owner.boot != _boot():
        return True
    if owner.namespace != _namespace():
        return False
    return _started(owner.pid) != owner.started


def _boot() -> str:
    return _text("/proc/sys/kernel/random/boot_id")


def _namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def _started(pid: int) -> int | None:
    """Return when a process started, in clock ticks after boot; None if there is no process with this number."""
    fields = _text(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return int(fields[19]) if len(fields) > 19 else None


def _text(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
