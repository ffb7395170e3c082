"""Job directories on disk, read with as few system calls as possible: every `snakemake` call makes a plan."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from cryosnake.project.records.record import JobRecord, read_record

JOB_DIRECTORY = re.compile(r"job(\d{3,})$")
BATCHES = "batches"
KEPT_RESULTS = ".cryosnake_results"  # see kept_results.py


def job_directories(folders: Iterable[str]) -> dict[str, JobRecord | None]:
    """Return every job directory ("MotionCorr/job002") below the type folders, with its record if it has one."""
    found: dict[str, JobRecord | None] = {}
    for folder in folders:
        try:
            entries = sorted(entry.name for entry in os.scandir(folder) if JOB_DIRECTORY.match(entry.name)
                             and entry.is_dir(follow_symlinks=False))
        except FileNotFoundError:
            continue
        for name in entries:
            found[f"{folder}/{name}"] = read_record(Path(folder, name))
    return found


def table_lines(path: str) -> list[str]:
    """Return the lines of a table, [] without one; a killed program can leave an incomplete last line, which is cut."""
    try:
        return Path(path).read_text().split("\n")[:-1]
    except FileNotFoundError:
        return []


def files_below(job_dir: str) -> set[str]:
    """Return all files below a job directory except the batch files, as paths that begin with the directory."""
    found: set[str] = set()
    for folder, folders, names in os.walk(job_dir):
        if folder == job_dir and BATCHES in folders:
            folders.remove(BATCHES)
        found.update(f"{folder}/{name}" for name in names)
    return found
