"""Bytes of files and folders, as the disk counts what can be freed: each file once, links not followed."""

from __future__ import annotations

import os


def file_size(status: os.stat_result) -> int:
    """Return the bytes that a file's removal frees: its length, or what it occupies where it is sparse."""
    return min(status.st_size, status.st_blocks * 512) if status.st_blocks else status.st_size


def folder_size(folder: str) -> int:
    """Return the bytes of all files below a folder; 0 when it is not there."""
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            try:
                total += file_size(os.lstat(f"{where}/{name}"))
            except FileNotFoundError:
                continue
    return total
