"""Times of the runs of a job: one line per program run in `run_times.tsv` of the job's directory.

Jobs of RELION have none: note.txt and the exit file say how long they took.

Seconds come from a clock that never goes backwards; the time of day is only for people.
"""

from __future__ import annotations

import contextlib
import os
import re
import resource
import time
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from cryosnake.atomic import own_file
from cryosnake.pipeline.markers import EXIT_FILES
from cryosnake.pipeline.model import Status
from cryosnake.processes import text_of

FILE = "run_times.tsv"
_START = r"\+\+\+\+ Executing new job on (.+)$"


@dataclass(frozen=True, kw_only=True)
class RunTime:
    """One run of a job's program, on one batch (or "join", or "" for a job that takes its input whole)."""

    started: str  # time of day, as 2026-11-26T14:05:00
    batch: str
    outcome: str  # ok, failed, aborted
    seconds: float
    cpu_seconds: float
    memory_mb: float  # highest resident set of the program
    threads: int
    host: str


class Stopwatch:
    """Starts when it is created; `stop` returns the line for the file."""

    def __init__(self, batch: str, threads: int) -> None:
        self._batch, self._threads = batch, threads
        self._day, self._start, self._cpu = time.time(), time.monotonic(), _cpu_seconds()

    def stop(self, outcome: str) -> RunTime:
        """Return what the run took."""
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # kB on Linux
        day = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(self._day))
        return RunTime(started=day, batch=self._batch, outcome=outcome, threads=self._threads,
                       seconds=round(time.monotonic() - self._start, 2), memory_mb=round(memory, 1),
                       cpu_seconds=round(_cpu_seconds() - self._cpu, 2), host=os.uname().nodename)


def add_run_time(out: Path, run: RunTime) -> None:
    """Append a line; several batches may do so at once. If the disk is full the job does not fail for this."""
    path = out / FILE
    head = "" if path.exists() else "\t".join(field.name for field in fields(RunTime)) + "\n"
    with contextlib.suppress(OSError):
        descriptor = own_file(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            os.write(descriptor, (head + "\t".join(map(str, astuple(run))) + "\n").encode())
        finally:
            os.close(descriptor)


def read_run_times(out: str | os.PathLike[str]) -> list[RunTime]:
    """Return the runs of a job, in the order in which they finished; incomplete lines and headers are left out."""
    try:
        lines = Path(out, FILE).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    runs = []
    for line in lines:
        cells = line.split("\t")
        with contextlib.suppress(ValueError, TypeError):
            started, batch, outcome, seconds, cpu, memory, threads, host = cells
            runs.append(RunTime(started=started, batch=batch, outcome=outcome, seconds=float(seconds),
                                cpu_seconds=float(cpu), memory_mb=float(memory), threads=int(threads), host=host))
    return runs


def total(runs: Iterable[RunTime]) -> tuple[float, float]:
    """Return wall seconds, added up over all runs, and CPU seconds."""
    runs = list(runs)
    return sum(run.seconds for run in runs), sum(run.cpu_seconds for run in runs)


def seconds_taken(job: str) -> float | None:
    """Return the wall seconds that a job took, summed over its batches; None when it recorded nothing.

    Runs that failed or were aborted do not count: making the data again would not repeat them.
    """
    runs = [run.seconds for run in read_run_times(job) if run.outcome == "ok"]
    if runs:
        return sum(runs)
    starts = re.findall(_START, text_of(f"{job}/note.txt"), re.MULTILINE)
    try:
        started = time.mktime(time.strptime(starts[-1].strip()))
        ended = Path(job, EXIT_FILES[Status.SUCCEEDED]).stat().st_mtime
    except (IndexError, ValueError, OSError):
        return None
    return max(0.0, ended - started)


def _cpu_seconds() -> float:
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
