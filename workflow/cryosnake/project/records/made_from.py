"""What a job that takes its input whole was made from: each file, its rows, and the batches that it was joined from.

It is recorded in `cryosnake.json` when the job's program first starts, and stays: a job that was killed ends on these
rows even if the table has more by then, and a finished one is compared with them.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from cryosnake.digests import digest


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
