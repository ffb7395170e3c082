"""Requests to abort a job of several batches: RELION_JOB_ABORT_NOW stays until all of them have seen it.

In a run of Snakemake a request concerns the whole job: its running batches, and those that would start later in the
same run; it is removed when the run ends (`project/run/run_status.py`). When programs are started by hand, it is
removed by the last program that was running when the request was made.
"""

from __future__ import annotations

import os
from pathlib import Path

from cryosnake.pipeline.markers import ABORT_REQUEST
from cryosnake.project.locks.snakemake_lock import run_began
from cryosnake.project.locks.work_locks import is_held, lock_file
from cryosnake.project.records.disk import BATCHES


def stays(out: Path, batch: str) -> bool:
    """Return whether an abort request concerns others: another running batch, or one that this run has yet to start.

    A request older than the run and all running batches was left behind, and is ignored. Times are those of the file
    system, so that differences between the computers' clocks do not matter.
    """
    try:
        made = os.stat(out / ABORT_REQUEST).st_mtime_ns
    except FileNotFoundError:
        return False
    began = run_began()
    if began is not None and made >= began:
        return True
    others = (path for path in (out / BATCHES).glob("*.lock") if path != lock_file(out, batch))
    return any(is_held(path) and path.stat().st_mtime_ns <= made for path in others)
