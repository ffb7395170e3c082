"""One writer at a time of what a person decides for a job: pages, commands and the job itself may want to write it."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryosnake.errors import CryosnakeError
from cryosnake.names import is_listed_name
from cryosnake.project.locks.lock_files import open_lock

_PATIENCE = 3.0  # s; a save takes some milliseconds


@contextmanager
def deciding(job: str) -> Iterator[None]:
    """Hold the decisions for a job of the config: its picks, limits and flags, and chosen classes.

    Raises
    ------
    CryosnakeError
        where another program has held them for some seconds, or the project can't be written
    """
    path = Path(".cryosnake", f"decisions_{job}.lock")
    assert is_listed_name(path.name)
    with open_lock(path) as file:
        _wait(file.fileno(), job)
        yield


def _wait(descriptor: int, job: str) -> None:
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > end:
                raise CryosnakeError(f"another program saves decisions for {job} (process of {os.uname().nodename} or "
                                     "of another computer); nothing was saved. Save again in a moment") from None
            time.sleep(0.02)
        except OSError:  # a file system without locks: the stamps still tell what another one wrote
            return
