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
        For a mode that is not 0, 1, 2, 6, 12 or 101.
    """
    if header.mode in (3, 4):
        raise CryosnakeError(f"{path} is an MRC file of mode {header.mode}, a Fourier transform. Give the image or map "
                             "of which it is one.")
    if header.mode not in (*DTYPES, 101):
        raise CryosnakeError(f"{path} is an MRC file of mode {header.mode}; modes 0, 1, 2, 6, 12 and 101 are known. "
                             "Convert it, for example with IMOD's newstack -mode 2.")
    of_bytes = header.mode == 101 or (header.unsigned_bytes and header.mode == 0)
    code = "u1" if of_bytes else DTYPES[header.mode]
    return np.dtype(header.byte_order + code)


def map_sections(path: str | os.PathLike[str], start: int = 0, stop: int | None = None) -> np.ndarray:
    """Return sections from `start` to before `stop`, (n, rows, columns) as stored, with axes in the order z, y, x.

    They are mapped into memory, read-only; pixels of 4 bits become bytes.

    Raises
    ------
    CryosnakeError
        When the file is missing, cut off or of an unknown mode.
    """
    header = check_complete(path)
    columns = (header.nx + 1) // 2 if header.mode == 101 else header.nx
    stored: np.ndarray = np.memmap(path, pixel_type(path, header), "r", header.offset, (header.nz, header.ny, columns))
    order = header.axes[::-1]
    if header.axes[2] == 3:  # sections are sections: those that are not asked for stay on the disk
        stored, start, stop = stored[start:stop], 0, None
    if header.mode == 101:
        # The low half comes first, and a row has whole bytes
        stored = np.stack([stored & 15, stored >> 4], -1).reshape(*stored.shape[:2], -1)[:, :, :header.nx]
    return stored.transpose([order.index(axis) for axis in (3, 2, 1)])[start:stop]


def count_sections(header: MrcHeader) -> int:
    """Return how many sections a file has along z."""
    return (header.nx, header.ny, header.nz)[header.axes.index(3)]


def read_sections(path: str | os.PathLike[str], sections: Sequence[int]) -> np.ndarray:
    """Return sections, counted from 0, of a stack: (n, rows, columns) in the type of the file.

    Raises
    ------
    CryosnakeError
        When the file is missing, cut off, of an unknown mode, or has no such section.
    """
    header = check_complete(path)
    dtype, plain = pixel_type(path, header), header.mode != 101 and header.axes == (1, 2, 3)
    count = count_sections(header)
    if max(sections) >= count:
        raise CryosnakeError(f"{path} has {count} images; image {max(sections) + 1} was requested. The STAR file "
                             "does not belong to this stack: extract again.")
    if not plain:
        return np.asarray(map_sections(path)[list(sections)])
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
