"""RELION_JOB_ABORT_NOW of a job of which several batches are at work: it stays until the last of them has seen it.

In a run of Snakemake a request concerns the whole job: the batches that work, and those that would begin later in the
same run. The end of the run removes it (`project/run/run_status.py`). Without such a run, when programs are started by
hand, the last program that worked when the request was made removes it.
"""

from __future__ import annotations

import os
from pathlib import Path

from cryosnake.pipeline.markers import ABORT_REQUEST
from cryosnake.project.locks.snakemake_lock import run_began
from cryosnake.project.locks.work_locks import is_held, lock_file
from cryosnake.project.records.disk import BATCHES


def stays(out: Path, batch: str) -> bool:
    """Whether an abort request concerns others: another batch that works, or what this run has yet to begin.

    A request that is older than the run and than all that works was left behind earlier, and is nobody's. Times are
    those of the file system, so that the clocks of the computers do not matter.
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
