"""Sections of an MRC stack, read in runs.

Not with mrcfile, which reads all or maps the file: while a map waits for the disk, other threads wait, too.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from cryosnake.errors import CryosnakeError
from cryosnake.io.mrc_header import MrcHeader, check_complete
from cryosnake.io.mrc_writer import DTYPES


def pixel_type(path: str | os.PathLike[str], header: MrcHeader) -> np.dtype:
    """Return how a file's pixels are stored.

    Raises
    ------
    CryosnakeError
        For a mode that is not 0, 1, 2, 6 or 12.
    """
    if header.mode not in DTYPES:
        raise CryosnakeError(f"{path} is an MRC file of mode {header.mode}; modes 0, 1, 2, 6 and 12 are known. "
                             "Convert it, for example with IMOD's newstack -mode 2.")
    code = "u1" if header.unsigned_bytes and header.mode == 0 else DTYPES[header.mode]
    return np.dtype(header.byte_order + code)


def read_sections(path: str | os.PathLike[str], sections: Sequence[int]) -> np.ndarray:
    """Return sections, counted from 0, of a stack: (n, rows, columns) in the type of the file.

    Raises
    ------
    CryosnakeError
        When the file is missing, cut off, of an unknown mode, or has no such section.
    """
    header = check_complete(path)
    dtype = pixel_type(path, header)
    if max(sections) >= header.nz:
        raise CryosnakeError(f"{path} has {header.nz} images; image {max(sections) + 1} was requested. The STAR file "
                             "does not belong to this stack: extract again.")
    images = np.empty((len(sections), header.ny, header.nx), dtype)
    try:
        with open(path, "rb", buffering=0) as file:
            read_runs(file.fileno(), header.offset, np.asarray(sections), images)
    except (OSError, EOFError) as error:
        raise CryosnakeError(f"{path} cannot be read: {error}. Was it moved, or changed during reading?") from None
    return images


def read_runs(descriptor: int, offset: int, sections: np.ndarray, images: np.ndarray) -> None:
    """Fill images (n, rows, columns) with sections of an open file, consecutive ones in one read.

    Raises
    ------
    OSError, EOFError
        When the file cannot be read or ends too early.
    """
    size = images[0].nbytes
    starts = np.flatnonzero(np.diff(sections, prepend=-2) != 1)
    for begin, end in zip(starts, [*starts[1:], len(sections)], strict=True):
        _read_full(descriptor, offset + int(sections[begin]) * size, images[begin:end].data.cast("B"))


def _read_full(descriptor: int, place: int, view: memoryview) -> None:
    done = 0
    while done < len(view):
        count = os.preadv(descriptor, [view[done:]], place + done)  # no shared position: threads may read concurrently
        if not count:
            raise EOFError("it ends too early")
        done += count
