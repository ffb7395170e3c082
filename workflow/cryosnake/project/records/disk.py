"""Job directories on disk, read with as few system calls as possible: every `snakemake` call makes a plan."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from cryosnake.names import why_not_ours
from cryosnake.project.records.record import JobRecord, read_record

JOB_DIRECTORY = re.compile(r"job([0-9]{3,})\Z")
BATCHES = "batches"
KEPT_RESULTS = ".cryosnake_results"  # see kept_results.py


def job_directories(folders: Iterable[str]) -> dict[str, JobRecord | None]:
    """Return every job directory ("MotionCorr/job002") below the type folders, with its record if it has one.

    One whose owner moved it and left a link is among them. A link that is not this project's job has no record.
    """
    found: dict[str, JobRecord | None] = {}
    for folder in folders:
        try:
            entries = sorted((entry for entry in os.scandir(folder) if JOB_DIRECTORY.match(entry.name)),
                             key=lambda entry: entry.name)
        except FileNotFoundError:
            continue
        linked = os.path.islink(folder)
        for entry in entries:
            path = f"{folder}/{entry.name}"
            if linked or entry.is_symlink():
                found[path] = None if why_not_ours("", f"{path}/") else read_record(Path(path))
            elif entry.is_dir():
                found[path] = read_record(Path(path))
    return found


def table_lines(path: str) -> list[str]:
    """Return the lines of a table, [] without one; a killed program can leave an incomplete last line, which is cut.

    Only a line feed ends a line, and names of files that are not UTF-8 are as Python has them.
    """
    try:
        return Path(path).read_bytes().decode(errors="surrogateescape").split("\n")[:-1]
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
