"""One clean-up at a time in a project, and none while Snakemake works in it.

Deleting, cleaning and restoring hold an flock on `.cryosnake/clean_up.lock`, which the system frees when the process
ends, even if it is killed. The file says who holds it.
"""

from __future__ import annotations

import fcntl
import getpass
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryosnake.errors import CryosnakeError
from cryosnake.pipeline.lock import remove_stale_locks
from cryosnake.processes import text_of, this_process
from cryosnake.project.locks.lock_files import open_lock
from cryosnake.project.locks.snakemake_lock import running_claim
from cryosnake.project.locks.work_locks import is_held
from cryosnake.project.records.archive import refuse_archived
from cryosnake.project.records.own_trash import claim_trash

LOCK = Path(".cryosnake", "clean_up.lock")


@contextmanager
def cleaning_up() -> Iterator[None]:
    """Hold the project in the working directory for a clean-up.

    Raises
    ------
    CryosnakeError
        While Snakemake works in the project, or somebody else deletes or cleans (the message names who), in an
        archived project, and when the folder that `Trash` is a link to does not exist.
    """
    refuse_archived()
    with open_lock(LOCK) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CryosnakeError(f"somebody else deletes or cleans in this project ({_owner()}); wait until that has "
                                 "finished") from None
        except OSError:
            pass  # a file system without locks: continue as Snakemake's programs do
        file.truncate(0)
        file.write(f"{getpass.getuser()}, {this_process()}, since {time.ctime()}\n")
        file.flush()
        claim = running_claim()
        if claim and claim.pid != os.getpid():
            raise CryosnakeError(f"Snakemake works in this project ({claim}), and may need what would be removed; "
                                 "delete and clean when it has finished")
        remove_stale_locks(Path())
        claim_trash()
        yield


def clean_up_owner() -> str:
    """Return who deletes or cleans in this project right now; "" when nobody does."""
    return _owner() if is_held(LOCK) else ""


def _owner() -> str:
    return text_of(LOCK) or "unknown"
