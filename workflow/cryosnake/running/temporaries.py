"""Removal of temporary files that killed programs left in a job directory."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from cryosnake.project.locks.work_locks import is_held, lock_files


def remove_temporaries(out: Path) -> None:
    """Remove the temporary files below a job directory that no running program can have made.

    Running programs (other batches of the job, and this one) keep their lock files locked, and wrote them when they
    started: no program uses a temporary file that is older than all of these.
    """
    started = min((path.stat().st_mtime_ns for path in lock_files(out) if is_held(path) is not False), default=0)
    for path in _temporaries(out):
        try:
            if os.lstat(path).st_mtime_ns < started:
                os.unlink(path)
        except FileNotFoundError:
            continue


def remove_pictures_in_part(out: Path, panels: Iterable[str]) -> None:
    """Remove what a killed program left of these pictures of a job; only one program draws them at a time."""
    for panel in panels:
        for path in out.glob(f".{panel}.png.*.tmp"):
            path.unlink(missing_ok=True)


def _temporaries(out: Path) -> Iterator[str]:
    for folder, _, names in os.walk(out):
        for name in names:
            if name.startswith(".") and name.endswith(".tmp"):
                yield f"{folder}/{name}"
