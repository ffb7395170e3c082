"""Reasons to pause: a full disk, or the movies' disk not mounted. Meanwhile nothing is treated as deleted."""

from __future__ import annotations

import os
import shutil
from itertools import islice
from pathlib import Path

from cryosnake.errors import CryosnakeError
from cryosnake.project.records.batches import read_manifest
from cryosnake.project.records.movies import matching_files

LOOKED_AT = 50  # known movies to check: enough to tell an unmounted disk from a deleted file


def disk_trouble(keep_free: float) -> str:
    """Return why the project's disk is too full to continue (`keep_free` in GB), "" if it is not."""
    try:
        free = shutil.disk_usage(".").free / 1e9
    except OSError as error:
        return f"the project's disk can't be read ({error.strerror})"
    return "" if free >= keep_free else (f"the project's disk has {free:.2f} GB left, less than --keep-free "
                                         f"{keep_free:g}; free some space; the session then continues")


def movies_trouble(pattern: str, import_job: str) -> str:
    """Return why the movies' disk seems to be unmounted, "" if it does not.

    A movie that was deleted or moved to an archive is no reason to pause: its results stay valid. With an unmounted
    disk none of the known movies exists, and no other file either.
    """
    base = fixed_folder(pattern)
    try:
        with os.scandir(base) as entries:
            next(entries, None)
    except OSError as error:
        if not read_manifest(import_job) and not Path(base).is_symlink():
            return ""  # a folder that the microscope has not created yet
        return f"{base} can't be read ({error.strerror}); the session continues when it is available again"
    known = [name for names in read_manifest(import_job).values() for name in names]
    if not known or any(os.path.exists(name) for name in islice(known, LOOKED_AT)) or _any_file(pattern):
        return ""
    return (f"none of the {len(known)} movies of {import_job} is below {base} any more: is its disk unmounted? The "
            "session continues when they are available again")


def fixed_folder(pattern: str) -> str:
    """Return the folder of a pattern up to its first wildcard: "Movies" for "Movies/*/*.tiff"."""
    parts: list[str] = []
    for part in pattern.split("/")[:-1]:
        if any(sign in part for sign in "*?["):
            break
        parts.append(part)
    return "/".join(parts) or "."


def _any_file(pattern: str) -> bool:
    try:
        return any(True for _ in matching_files(pattern))
    except (OSError, CryosnakeError):
        return False
