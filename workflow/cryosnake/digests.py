"""Digests of what files contain, for every layer. Standard library only.

A copy, an archive, or another computer's clock change the times of files, not what they are.
"""

from __future__ import annotations

import os
import time
from functools import cache

WHOLE = 1 << 24  # bytes of a file up to which all of it is read for its digest
_PART = 1 << 16
_seconds = [0.0]


def digest(path: str) -> str:
    """Return a digest of a file's contents: of all of it up to `WHOLE` bytes, else of its two ends and its middle.

    Raises
    ------
    OSError
        when the file cannot be read
    """
    status = os.stat(path)
    return _digest(path, status.st_size, (status.st_dev, status.st_ino, status.st_mtime_ns), WHOLE)


def digest_of_images(path: str) -> str:
    """Return a digest of the two ends and the middle of a file of images, which differ from others everywhere.

    Raises
    ------
    OSError
        when the file cannot be read
    """
    status = os.stat(path)
    return _digest(path, status.st_size, (status.st_dev, status.st_ino, status.st_mtime_ns), 3 * _PART)


def seconds_reading() -> float:
    """Return how long this process has read files for their digests."""
    return sum(_seconds)


@cache  # a watcher plans every few seconds, perhaps with 10,000 copied movies
def _digest(path: str, size: int, version: tuple[int, ...], whole: int) -> str:
    import hashlib  # here: a plan seldom needs it

    start = time.monotonic()
    found = hashlib.blake2b(digest_size=16)
    with open(path, "rb") as file:
        if size <= whole:
            found.update(file.read())
        else:
            for place in (0, (size - _PART) // 2, size - _PART):
                file.seek(place)
                found.update(file.read(_PART))
    _seconds[0] += time.monotonic() - start
    return found.hexdigest()
