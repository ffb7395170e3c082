"""Bytes of files and folders that their removal would free: the meaning of "size" in every command and preview.

A file counts with its length, a sparse one with the space that it occupies, a link with itself, not with its target.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from cryosnake.project.records.disk import KEPT_RESULTS

_OF_THE_PROJECT = ("default_pipeline.star", "job_pipeline.star")


def file_size(status: os.stat_result) -> int:
    """Return the bytes that a file's removal frees: its length, or the space that it occupies if it is sparse."""
    return min(status.st_size, status.st_blocks * 512) if status.st_blocks else status.st_size


def sizes_of(folder: str, files: Iterable[str]) -> dict[str, int]:
    """Return the bytes of each of these files below a folder; those that no longer exist are left out."""
    found = {}
    for file in files:
        try:
            found[file] = file_size(os.lstat(os.path.join(folder, file)))
        except FileNotFoundError:
            continue
    return found


def folder_size(folder: str) -> int:
    """Return the bytes of all files below a folder; 0 when it does not exist."""
    return size_and_time(folder)[0]


def size_and_time(folder: str) -> tuple[int, float]:
    """Return the bytes of all files below a folder and when the last of a job's changed (seconds since the epoch).

    Copies of the pipeline and marks, which every run renews in all jobs, are no change of the job.
    """
    size, changed = 0, 0.0
    for name, status in _files(folder):
        size += file_size(status)
        if name not in _OF_THE_PROJECT and not name.startswith(".cryosnake"):
            changed = max(changed, status.st_mtime)
    return size, changed


def _files(folder: str) -> Iterator[tuple[str, os.stat_result]]:
    for where, folders, names in os.walk(folder):
        if KEPT_RESULTS in folders:  # hard links to results: their removal frees nothing
            folders.remove(KEPT_RESULTS)
        for name in names:
            try:
                yield name, os.lstat(f"{where}/{name}")
            except FileNotFoundError:
                continue
