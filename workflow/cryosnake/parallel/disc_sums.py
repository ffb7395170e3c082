"""Adding up the ranks' sums through files, for clusters whose network is slower than their file system."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from cryosnake.errors import CryosnakeError

_NAME = ".combine_rank{}.npy"  # of a rank, four digits


def add_up_through_disc(ranks: Any, array: np.ndarray | None, folder: Path) -> np.ndarray | None:
    """Return the sum of the ranks' arrays on rank 0, None on the others; every rank calls this.

    Raises
    ------
    CryosnakeError
        when a file cannot be written or read
    """
    path = folder / _NAME.format(f"{ranks.rank:04d}")
    try:
        if array is not None and ranks.rank > 0:
            _write(path, array)
        written = ranks.gather(array is not None)
        total = _read_all(np.flatnonzero(written), array, folder) if ranks.rank == 0 else None
        ranks.meet()
        return total
    finally:
        path.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Remove files that a killed job left; called before any rank starts to work."""
    for path in folder.glob(_NAME.format("*")):
        path.unlink(missing_ok=True)


def _write(path: Path, array: np.ndarray) -> None:
    try:
        with open(path, "wb") as file:
            np.save(file, array)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise CryosnakeError(f"{path} can't be written ({error.strerror}); free some space, or set "
                             "combine_through_disc: false.") from error


def _read_all(written: np.ndarray, own: np.ndarray | None, folder: Path) -> np.ndarray | None:
    total = own
    for rank in written[written > 0]:
        part = np.load(folder / _NAME.format(f"{rank:04d}"), mmap_mode="r")
        total = np.array(part) if total is None else np.add(total, part, out=total)
    return total
