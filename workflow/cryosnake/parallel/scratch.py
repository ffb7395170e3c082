"""Images copied to a fast local disk while a job runs, below `relion_volatile` as with RELION.

Each job has a folder of its own; nothing else in `relion_volatile` is touched, except folders of this program whose
owner crashed. Space is reserved before anything is copied. Images that do not fit are read from their original place.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from cryosnake.errors import CryosnakeError
from cryosnake.io.mrc_sections import read_runs
from cryosnake.parallel.owners import claim, is_abandoned
from cryosnake.parallel.ranks import Computer
from cryosnake.parallel.stacks import Images

VOLATILE = "relion_volatile"
_PREFIX = "cryosnake_"
_DATA = "particles.dat"  # float32, one image after another
_AT_ONCE = 256


@dataclass(frozen=True)
class ScratchImages:
    """The first `count` images from a copy, an open file; the others from their source.

    While open, the copy stays readable even if another program (RELION, when it starts) empties the scratch directory.
    """

    file: BinaryIO
    count: int
    box: int
    source: Images

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """Return images (n, box, box) float32."""
        here = rows < self.count
        if not here.any():
            return self.source(rows)
        images = np.empty((len(rows), self.box, self.box), np.float32)
        copied = np.empty((int(here.sum()), self.box, self.box), np.float32)
        try:
            read_runs(self.file.fileno(), 0, rows[here], copied)
        except (OSError, EOFError) as error:
            raise CryosnakeError(f"{self.file.name} cannot be read: {error}. Is the scratch disk broken? Run again "
                                 "without scratch_dir.") from None
        images[here] = copied
        if not here.all():
            images[~here] = self.source(rows[~here])
        return images


@contextmanager
def scratch_copy(source: Images, shape: tuple[int, int, int], folder: Path, keep_free: int, computer: Computer,
                 job: str) -> Iterator[ScratchImages]:
    """Copy as many images (n, box, box) as fit to `folder` on this computer, for the `with` block.

    Parameters
    ----------
    source, shape
        The images.
    folder
        The scratch directory; must exist.
    keep_free
        Bytes to leave free for others.
    computer
        The computer's ranks, which share the copy; the first makes and removes it.
    job
        The job directory, recorded in the owner's file.

    Raises
    ------
    CryosnakeError
        when the scratch directory cannot be written
    """
    if computer.rank > 0:
        path, count = computer.broadcast(None)
        with open(path, "rb", buffering=0) as file:
            computer.meet()
            yield ScratchImages(file, count, shape[1], source)
        return
    remove_leftovers(folder)
    own = _own_folder(folder)
    try:
        with claim(own, job):
            path = own / _DATA
            count = _reserve(path, shape, keep_free)
            _copy(source, path, count)
            print(f"{count} of {shape[0]} images copied to {own}"
                  + ("" if count == shape[0] else "; the others are read from their original place"), flush=True)
            computer.broadcast((path, count))
            with open(path, "rb", buffering=0) as file:
                computer.meet()
                yield ScratchImages(file, count, shape[1], source)
    finally:
        shutil.rmtree(own, ignore_errors=True)


def remove_leftovers(folder: Path) -> list[Path]:
    """Remove, and return, what crashed jobs of this computer left in a scratch directory; running jobs keep theirs."""
    abandoned = [path for path in folder.glob(f"{VOLATILE}/{_PREFIX}*") if is_abandoned(path)]
    for path in abandoned:
        shutil.rmtree(path, ignore_errors=True)
    return abandoned


def _own_folder(folder: Path) -> Path:
    try:
        if not folder.is_dir():
            raise FileNotFoundError(errno.ENOENT, "it does not exist")
        (folder / VOLATILE).mkdir(exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=_PREFIX, dir=folder / VOLATILE))
    except OSError as error:
        raise CryosnakeError(f"scratch_dir {folder}: can't be used ({error.strerror}). Make it, or choose one that "
                             "exists on every computer of the job and that you may write to.") from error


def _reserve(path: Path, shape: tuple[int, int, int], keep_free: int) -> int:
    """Return how many images fit, after allocating the space for them, so that no other program can take it."""
    size = 4 * shape[1] * shape[2]
    with open(path, "wb") as file:
        while True:
            room = os.statvfs(path)
            count = max(min((room.f_bavail * room.f_frsize - keep_free) // size, shape[0]), 0)
            try:
                if count:
                    os.posix_fallocate(file.fileno(), 0, count * size)
                return count
            except OSError as error:
                if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                    raise
                file.truncate(0)  # another program was faster, or there is a quota
                if error.errno != errno.ENOSPC:
                    return 0


def _copy(source: Images, path: Path, count: int) -> None:
    with open(path, "r+b") as file:
        for begin in range(0, count, _AT_ONCE):
            file.write(np.ascontiguousarray(source(np.arange(begin, min(begin + _AT_ONCE, count)))).data)
