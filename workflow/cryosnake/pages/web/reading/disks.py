"""Large files are read one after the other, which bounds memory; but not those of a disk behind those of another."""

from __future__ import annotations

import threading
from collections import defaultdict


class Disks:
    """A lock for each disk, known by its device number."""

    def __init__(self) -> None:
        self._locks: defaultdict[int, threading.Lock] = defaultdict(threading.Lock)

    def turn(self, device: int) -> threading.Lock:
        """Return the lock to be held while a large file of a disk is read."""
        return self._locks[device]
