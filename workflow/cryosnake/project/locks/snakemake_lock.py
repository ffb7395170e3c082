"""Snakemake's lock after a kill: removed only when the process that made it has provably ended.

Every real run claims the project before Snakemake locks it. A later run that finds the claim of a process of this
machine that has ended removes the lock files of `.snakemake/locks`; all other locks are left to Snakemake.

The two calls of `cryosnake watch` that work side by side (lanes) run without Snakemake's lock, which covers the whole
project and is removed by the first that ends. Each has a claim of its own, and while one lives, no other run starts.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cryosnake.atomic import own_file, write_text
from cryosnake.errors import CryosnakeError
from cryosnake.json_files import read_json
from cryosnake.processes import ProcessId, read_process, this_process
from cryosnake.project.locks.lanes import LANES
from cryosnake.project.snakemake_internals import remove_lock

CLAIM = Path(".cryosnake", "run.json")


def claim_run(*, insist: bool = False) -> str:
    """Claim the project for this process; return a message when the lock of a killed run was removed.

    The claim of another living process is left alone, unless `insist`: the holder of Snakemake's lock may replace it.

    Raises
    ------
    CryosnakeError
        with `insist`, while a lane of the watcher works in the project
    """
    with _one_at_a_time():
        owner = read_process(_read_claim(""))
        lanes = {lane: other for lane in LANES if (other := _living(lane))}
        if owner == this_process() or (not insist and (lanes or (owner and owner.lives()))):
            return ""
        if lanes:
            who = " and ".join(f"on {lane} ({other})" for lane, other in lanes.items())
            raise CryosnakeError(f"`cryosnake watch` works in this project, {who}: wait until it stops, or stop it. "
                                 "If that computer no longer exists, delete "
                                 f"{', '.join(str(_claim_file(lane)) for lane in lanes)}")
        removed = owner is not None and not insist and remove_lock()
        _write_claim("")
        return f"removed the lock of an earlier run (process {owner.pid}) that was killed" if owner and removed else ""


def claim_lane(lane: str, *, begun: bool = False) -> None:
    """Claim a lane for this process; `begun` says that it has written its plan to disk.

    The lock of a run that was killed goes: lanes need none, and may do all that there is to do.

    Raises
    ------
    CryosnakeError
        while another run, or another process of the same lane, works in the project
    """
    with _one_at_a_time():
        for owner in filter(None, (_living(""), _living(lane))):
            if owner.pid != os.getpid():
                raise CryosnakeError(f"another run works in this project ({owner})")
        former = read_process(_read_claim(""))
        if former is not None and not former.lives():
            remove_lock()
        _write_claim(lane, begun=begun)


def release_claim(lane: str) -> None:
    """Remove this process's claim when it ends: other computers cannot tell that it has ended."""
    if read_process(_read_claim(lane)) == this_process():
        with suppress(OSError):
            _claim_file(lane).unlink()


def lane_has_begun(lane: str, pid: int) -> bool:
    """Whether a process has made the plan of its lane real."""
    claim = _read_claim(lane)
    owner = read_process(claim)
    return owner is not None and owner.pid == pid and bool(claim.get("begun"))


def other_lane_works(lane: str) -> bool:
    """Whether a process works in another lane than this one."""
    return any(_living(other) for other in LANES if other != lane)


def running_claim(*, lanes: bool = True) -> ProcessId | None:
    """Return the process of a run that is in progress, None when there is none.

    Without `lanes` those of the watcher's lanes do not count.
    """
    return next(filter(None, map(_living, ("", *(LANES if lanes else ())))), None)


def run_began() -> int | None:
    """Return when the run in progress claimed the project (st_mtime_ns of the file system), None without one.

    Of two lanes it is the time of the first.
    """
    times = []
    for lane in filter(_living, ("", *LANES)):
        with suppress(FileNotFoundError):
            times.append(_claim_file(lane).stat().st_mtime_ns)
    return min(times, default=None)


def time_on_disk() -> int:
    """Return the time now in ns as the project's file system tells it, which may be on another computer."""
    lock = CLAIM.with_suffix(".lock")
    with _one_at_a_time():
        before = lock.stat()
        os.utime(lock)
        now = lock.stat().st_mtime_ns
        os.utime(lock, ns=(before.st_atime_ns, before.st_mtime_ns))
    return now


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Let no other process claim meanwhile; on a file system without locks this cannot be ensured."""
    CLAIM.parent.mkdir(exist_ok=True)
    with open(CLAIM.with_suffix(".lock"), "a", opener=own_file) as file:
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _claim_file(lane: str) -> Path:
    return CLAIM.with_name(f"run_{lane}.json") if lane else CLAIM


def _living(lane: str) -> ProcessId | None:
    owner = read_process(_read_claim(lane))
    return owner if owner and owner.lives() else None


def _write_claim(lane: str, **more: bool) -> None:
    write_text(_claim_file(lane), json.dumps(asdict(this_process()) | more),
               durable=True)  # by it the lock of Snakemake is removed after a power cut


def _read_claim(lane: str) -> Any:
    try:
        return read_json(_claim_file(lane))
    except (OSError, ValueError):
        return None
