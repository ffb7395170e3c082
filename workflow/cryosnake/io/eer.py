"""EER movies: every electron that the detector saw, with its sub-pixel, run-length coded frame by frame.

Guo et al. 2020, IUCrJ 7, 860. The rows keep their order, as in RELION 3.1.3.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import BinaryIO

import numpy as np

from cryosnake.errors import CryosnakeError
from cryosnake.io.tiff_directories import Directory, directories

# Bits of skip, horizontal and vertical sub-pixel by codec; 65002 gives its own in three tags.
_BITS = {65000: (8, 2, 2), 65001: (7, 2, 2), 65002: (7, 2, 2)}


def eer_directories(path: str | os.PathLike[str]) -> list[Directory]:
    """Return the detector frames in a complete file, without an integrated image at its start.

    Raises
    ------
    CryosnakeError
        When it has none, or they differ in size.
    """
    with open(path, "rb") as file:
        frames = [entry for entry in directories(file) if entry.compression in _BITS]
    if not frames:
        raise CryosnakeError(f"{path} has no EER frames. Is it a TIFF file with the wrong name?")
    if len({(entry.width, entry.height) for entry in frames}) > 1:
        raise CryosnakeError(f"{path} is corrupt: its frames have different sizes. Copy it again.")
    return frames


def render(path: str | os.PathLike[str], entries: Sequence[Directory], grouping: int, upsampling: int) -> np.ndarray:
    """Count electrons per pixel in groups of frames.

    Parameters
    ----------
    path
        The file.
    entries
        Its frames to render, a multiple of `grouping`.
    grouping
        Detector frames summed to one frame.
    upsampling
        1 for detector pixels, 2 for half, 3 for quarter pixels.

    Returns
    -------
    np.ndarray
        uint8 (uint16 for groups of more than 255), shape (groups, height, width).

    Raises
    ------
    RuntimeError
        When a frame cannot be decoded.
    """
    import imagecodecs

    factor = 1 << (upsampling - 1)
    shape = (entries[0].height * factor, entries[0].width * factor)
    frames = np.zeros((len(entries) // grouping, *shape), np.uint8 if grouping <= 255 else np.uint16)
    with open(path, "rb") as file:
        for index, entry in enumerate(entries):
            skip, horizontal, vertical = entry.eer_bits if len(entry.eer_bits) == 3 else _BITS[entry.compression]
            # The decoder adds to the array.
            imagecodecs.eer_decode(_encoded(file, entry), shape, skip, horizontal, vertical, superres=upsampling - 1,
                                   out=frames[index // grouping])
    return frames


def _encoded(file: BinaryIO, entry: Directory) -> bytes:
    parts = []
    for offset, count in entry.strips:
        file.seek(offset)
        parts.append(file.read(count))
    data = b"".join(parts)
    return data + bytes(len(data) % 2)  # the decoder needs an even number of bytes
