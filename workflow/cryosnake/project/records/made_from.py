"""What a job that takes its input whole was made from: each file, its rows, and the batches that it was joined from.

It is recorded in `cryosnake.json` when the job's program first starts, and stays: a job that was killed ends on these
rows even if the table has more by then, and a finished one is compared with them.
"""

from __future__ import annotations

import os
import time
from functools import cache
from typing import NamedTuple

WHOLE = 1 << 24  # bytes of a file up to which all of it is read for its digest
_PART = 1 << 16
_seconds = [0.0]


class TakenFile(NamedTuple):
    """A file as a job read it: size in bytes, time in ns, digest, and of a table its rows and the keys of its batches.

    `batches` is empty for a table that was not joined from batches, and where that is not known.
    """

    path: str
    size: int
    time: int
    digest: str
    rows: int = 0
    batches: tuple[str, ...] = ()

    def is_as_it_was(self) -> bool:
        """Whether the file has the same contents now; True where it does not exist, for then nothing is known."""
        try:
            status = os.stat(self.path)
        except OSError:
            return True
        if status.st_size != self.size:
            return False
        return status.st_mtime_ns == self.time or digest(self.path) == self.digest


def digest(path: str) -> str:
    """Return a digest of a file's contents: of all of it up to `WHOLE` bytes, else of its two ends and its middle."""
    status = os.stat(path)
    return _digest(path, status.st_size, (status.st_dev, status.st_ino, status.st_mtime_ns))


def seconds_reading() -> float:
    """Return how long this process has read files for their digests."""
    return sum(_seconds)


@cache  # a watcher plans every few seconds, perhaps with 10,000 copied movies
def _digest(path: str, size: int, version: tuple[int, ...]) -> str:
    import hashlib  # here: a plan seldom needs it

    start = time.monotonic()
    found = hashlib.blake2b(digest_size=16)
    with open(path, "rb") as file:
        if size <= WHOLE:
            found.update(file.read())
        else:
            for start in (0, (size - _PART) // 2, size - _PART):
                file.seek(start)
                found.update(file.read(_PART))
    _seconds[0] += time.monotonic() - start
    return found.hexdigest()
