"""Growth thresholds: a job waits until its input has grown to a number of particles, or by a factor."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from cryosnake.atomic import write_text
from cryosnake.io.star_rows import count_rows

COUNTS = "input_counts.json"


def particle_count(path: str) -> int:
    """Return the number of rows of the particles table of a STAR file, 0 when the file does not exist."""
    try:
        status = os.stat(path)
        return _counted(path, status.st_size, status.st_mtime_ns)
    except OSError:
        return 0


@lru_cache(maxsize=64)
def _counted(path: str, size: int, time: int) -> int:
    """Count again only after a change: a watched project is planned every few seconds."""
    return count_rows(path, ("particles",))


def record_counts(job: str, inputs: Iterable[str]) -> None:
    """Record in a job directory how many particles its finished job has processed."""
    counts = {path: count for path in inputs if path.endswith(".star") and (count := particle_count(path))}
    if counts:
        write_text(Path(job, COUNTS), json.dumps(counts))


def has_grown(job: str, inputs: Iterable[str], factor: float) -> bool:
    """Whether an input of a finished job has at least `factor` times the particles that it processed.

    Also true if no numbers are recorded: then the times of the files decide, as everywhere.
    """
    try:
        counts = json.loads(Path(job, COUNTS).read_text())
    except (OSError, ValueError):
        return True
    known = [path for path in inputs if path in counts]
    return not known or any(particle_count(path) >= factor * counts[path] for path in known)
