"""Progress of each job by micrograph, read while it runs; only files that changed are read again."""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from cryosnake.project.actions.status import recorded_batches
from cryosnake.project.planning.planned import PlannedJob
from cryosnake.project.records.batches import done_file, read_done

BAD_SHOWN = 200


def job_counts(jobs: Iterable[PlannedJob]) -> list[dict[str, Any]]:
    """Return path and name of each job, with counts (done, failed, rejected) if it works per micrograph."""
    rows = []
    for job in jobs:
        if job.config.type.per_micrograph:
            states = [state for state, *_ in _items(job.path)]
            rows.append({"job": job.path, "name": job.name, "batches": len(job.batches), "done": states.count("ok"),
                         "failed": states.count("failed"), "rejected": states.count("rejected")})
        else:
            done = bool(job.outputs()) and all(os.path.exists(job.file(output)) for output in job.outputs())
            path = job.path if job.numbered else "no number yet"
            rows.append({"job": path, "name": job.name, "complete": done, "waits": job.why_held})
    return rows


def bad_micrographs(jobs: Iterable[PlannedJob]) -> list[dict[str, str]]:
    """Return the micrographs that failed: job, name and reason."""
    found = [{"job": job.path, "micrograph": name, "reason": reason} for job in jobs
             if job.config.type.per_micrograph for state, name, reason in _items(job.path) if state == "failed"]
    return found[:BAD_SHOWN]


def _items(path: str) -> list[tuple[str, str, str]]:
    items: list[tuple[str, str, str]] = []
    for number in recorded_batches(path):
        try:
            status = os.stat(done_file(path, number))
        except OSError:
            continue
        items += _batch(path, number, status.st_size, status.st_mtime_ns)
    return items


@lru_cache(maxsize=20_000)
def _batch(path: str, number: int, size: int, time: int) -> tuple[tuple[str, str, str], ...]:
    """Return state, name and reason of each micrograph of a batch, of good ones the state only.

    `size` and `time` (ns) keep the cache up to date.
    """
    return tuple((item.state, "", "") if item.state == "ok" else (item.state, item.name, item.reason)
                 for item in read_done(path, number).values())
