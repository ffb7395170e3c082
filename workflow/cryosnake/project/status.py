"""What `cryosnake status` tells: each job with its state, progress per micrograph, time and size on disk."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from cryosnake.pipeline.files import PIPELINE_FILE, read_pipeline
from cryosnake.project.batches import batch_number, read_done, read_manifest, revisions
from cryosnake.project.disk import BATCHES
from cryosnake.project.record import read_record


@dataclass(frozen=True)
class JobStatus:
    """One line of the status. Micrograph counts are 0 for jobs that take their input whole."""

    path: str
    alias: str
    state: str
    done: int
    failed: int
    rejected: int
    batches: int
    changed: float  # time of the last change, seconds since the epoch
    size: int  # bytes
    version: str


def project_status(project: Path = Path()) -> list[JobStatus]:
    """Return the status of every job that default_pipeline.star lists, in the order of the numbers."""
    pipeline = read_pipeline(project / PIPELINE_FILE)
    return [_job_status(process.name.rstrip("/"), process.short_alias, process.status.label)
            for process in sorted(pipeline.processes.values(), key=lambda process: process.number)]


def _job_status(path: str, alias: str, state: str) -> JobStatus:
    counts = {"ok": 0, "failed": 0, "rejected": 0}
    numbers = recorded_batches(path)
    for number in numbers:
        for item in read_done(path, number).values():
            counts[item.state] = counts.get(item.state, 0) + 1
    size, changed = _size_and_time(path)
    record = read_record(Path(path))
    return JobStatus(path, alias, state, counts["ok"], counts["failed"], counts["rejected"], len(revisions(path)),
                     changed, size, record.version if record else "")


def recorded_batches(path: str) -> list[int]:
    """Return the numbers of the batches in which something was recorded."""
    try:
        names = os.listdir(f"{path}/{BATCHES}")
    except FileNotFoundError:
        return []
    return sorted(batch_number(name) for name in names if name.endswith(".done"))


def _size_and_time(path: str) -> tuple[int, float]:
    size, changed = 0, 0.0
    for folder, _, names in os.walk(path):
        for name in names:
            try:
                status = os.lstat(f"{folder}/{name}")
            except FileNotFoundError:
                continue
            size += status.st_blocks * 512
            changed = max(changed, status.st_mtime)
    return size, changed


def total_micrographs(jobs: list[JobStatus]) -> int:
    """Return the number of micrographs that the project's imports list."""
    return sum(len(names) for job in jobs if job.path.startswith("Import/")
               for names in read_manifest(job.path).values())


def human_size(size: int) -> str:
    """Return 1536 as "1.5 kB"."""
    value = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def human_age(changed: float) -> str:
    """Return how long ago, in the largest fitting unit."""
    seconds = max(0.0, time.time() - changed)
    for length, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"
