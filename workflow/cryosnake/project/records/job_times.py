"""Times that jobs took, from their records: run_times.tsv, or for jobs of RELION note.txt and the exit file."""

from __future__ import annotations

import re
import time
from pathlib import Path

from cryosnake.pipeline.markers import EXIT_FILES
from cryosnake.pipeline.model import Status
from cryosnake.processes import text_of
from cryosnake.project.records.run_times import read_run_times

_START = re.compile(r"\+\+\+\+ Executing new job on (.+)$", re.MULTILINE)


def seconds_taken(job: str) -> float | None:
    """Return the wall seconds that a job took, summed over its batches; None when it recorded nothing.

    Runs that failed or were aborted do not count: making the data again would not repeat them.
    """
    runs = [run.seconds for run in read_run_times(job) if run.outcome == "ok"]
    if runs:
        return sum(runs)
    starts = _START.findall(text_of(f"{job}/note.txt"))
    try:
        started = time.mktime(time.strptime(starts[-1].strip()))
        ended = Path(job, EXIT_FILES[Status.SUCCEEDED]).stat().st_mtime
    except (IndexError, ValueError, OSError):
        return None
    return max(0.0, ended - started)
