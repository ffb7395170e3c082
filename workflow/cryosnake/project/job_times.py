"""How long jobs took, by what they recorded: run.out where they work by batches, else note.txt and exit file."""

from __future__ import annotations

import re
import time
from pathlib import Path

from cryosnake.pipeline.markers import EXIT_FILES
from cryosnake.pipeline.model import Status

_BATCH = re.compile(r" batch \S+: [1-9]\d* done.*\((\d+(?:\.\d+)?) s\)$", re.MULTILINE)
_START = re.compile(r"\+\+\+\+ Executing new job on (.+)$", re.MULTILINE)


def seconds_taken(job: str) -> float | None:
    """Return the wall seconds that a job took, summed over its batches; None when it recorded nothing."""
    batches = _BATCH.findall(_text(job, "run.out"))
    if batches:
        return sum(map(float, batches))
    starts = _START.findall(_text(job, "note.txt"))
    try:
        started = time.mktime(time.strptime(starts[-1].strip()))
        ended = Path(job, EXIT_FILES[Status.SUCCEEDED]).stat().st_mtime
    except (IndexError, ValueError, OSError):
        return None
    return max(0.0, ended - started)


def _text(job: str, name: str) -> str:
    try:
        return Path(job, name).read_text(errors="replace")
    except FileNotFoundError:
        return ""
