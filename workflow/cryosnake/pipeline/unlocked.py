"""Read default_pipeline.star without its lock: RELION writes the file in place, so a read may find half of it.

Readers do not wait for a lock that RELION left behind in a crash; writers take the lock and read again.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from cryosnake.errors import CryosnakeError
from cryosnake.names import PIPELINE_FILE
from cryosnake.pipeline.files import read_pipeline
from cryosnake.pipeline.lock import foreign_lock
from cryosnake.pipeline.model import Pipeline
from cryosnake.pipeline.recover import is_cut, recovered

PATIENCE = 2.0  # seconds; RELION writes a large file in less
_PAUSE = 0.02


def read_pipeline_unlocked(project: str | os.PathLike[str] = "") -> Pipeline:
    """Return the pipeline of a project, read while no other program writes it.

    A lock of RELION that lasts longer than `PATIENCE` was left by a crash; the file is then read as it is. One that a
    power cut has cut off counts with what its copies have; the next program that writes it writes that.

    Raises
    ------
    CryosnakeError
        when there is no such file, or it can't be read
    """
    path = Path(project, PIPELINE_FILE)
    deadline = time.monotonic() + PATIENCE
    while True:
        before = _stamp(path)
        locked = foreign_lock(project)
        found: Pipeline | CryosnakeError
        try:
            found = recovered(project) if is_cut(project) else read_pipeline(path)
        except CryosnakeError as error:
            found = error
        quiet = not locked and not foreign_lock(project) and _stamp(path) == before
        if quiet or time.monotonic() > deadline:
            if isinstance(found, CryosnakeError):
                raise found
            return found
        time.sleep(_PAUSE)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
