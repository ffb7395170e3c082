"""Owners of folders on a scratch disk: claims, and whether the owner provably no longer runs."""

from __future__ import annotations

import fcntl
import json
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TextIO

from cryosnake.processes import read_process, this_process

FILE = "owner.json"


def claim(folder: Path, job: str) -> TextIO:
    """Write the owner's file into a folder, locked for as long as the returned file is open."""
    file = open(folder / FILE, "w")  # stays open
    with suppress(OSError):  # no locks on this file system: the process number must suffice
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    json.dump({**asdict(this_process()), "job": job}, file)
    file.flush()
    return file


def is_abandoned(folder: Path) -> bool:
    """Return whether the process that claimed a folder provably no longer runs; False in any doubt."""
    try:
        with open(folder / FILE, "r+") as file:  # r+: NFS locks only files open for writing
            owner = read_process(json.load(file))
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (OSError, ValueError):
        return False  # not ours, not yet written, or locked by its owner
    return owner is not None and not owner.lives()
