"""Completeness of a movie on disk. Standard library only: the planner checks every new file.

A movie that is still being copied has a valid header and name, so the size that its header implies is compared with
the size of the file; for TIFF and EER every directory is read, because the strips of the last frame arrive last.
"""

from __future__ import annotations

import os
import struct
from typing import BinaryIO

from cryosnake.io.mrc_header import HEADER_BYTES, parse_header
from cryosnake.io.tiff_directories import Directory, directories, stacked

MRC_NAMES = (".mrc", ".mrcs")
TIFF_NAMES = (".tif", ".tiff")
EER_NAMES = (".eer",)


def check_movie_complete(path: str | os.PathLike[str]) -> str | None:
    """Return None for a complete movie, else the reason why it is incomplete.

    Parameters
    ----------
    path
        A movie in MRC, TIFF, BigTIFF or EER format, recognised by its extension; any other format is a reason, too.
    """
    name = os.fspath(path).lower()
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size == 0:
                return "the file is empty"
            if name.endswith(MRC_NAMES):
                return _mrc_reason(file, size)
            if name.endswith(TIFF_NAMES + EER_NAMES):
                return _tiff_reason(file, size)
    except OSError as error:
        return f"the file cannot be read: {error.strerror}"
    return f"the name of a movie ends with one of {', '.join(MRC_NAMES + TIFF_NAMES + EER_NAMES)}"


def _mrc_reason(file: BinaryIO, size: int) -> str | None:
    try:
        implied = parse_header(file.read(HEADER_BYTES)).implied_size
    except ValueError as error:
        return str(error)
    return None if size >= implied else f"it has {size} bytes where its header implies {implied}"


def _tiff_reason(file: BinaryIO, size: int) -> str | None:
    frames, found = 0, list[Directory]()
    try:
        for directory in directories(file):
            frames += 1
            found = [*found, directory][:2]
            if directory.end > size:
                return f"it has {size} bytes, but frame {frames} ends at {directory.end}"
            if not directory.is_possible:
                return (f"it is corrupt: frame {frames} has no room for the {directory.width} x {directory.height} "
                        "pixels that its header states")
        stacked(found, size)
    except (struct.error, ValueError) as error:
        return f"it is cut off or corrupt after {frames} frames ({error})"
    return None if frames else "it has no frames"
