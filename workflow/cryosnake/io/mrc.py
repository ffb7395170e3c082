"""MRC images, maps and stacks, as RELION reads and writes them.

An array has shape (section, row, column); the first row of the file is the row of index 0, and nothing is flipped.
Mode 6 is unsigned here, as in the standard; RELION 3.1 treats it as signed, which is wrong above 32,767. Mode 0 is
signed, except in files of IMOD that are marked as unsigned. Mode 101 has two pixels in a byte, as SerialEM writes them.
A file whose columns, rows and sections are not x, y and z, by its header, is turned into that order; RELION does not.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from cryosnake.errors import CryosnakeError
from cryosnake.io.mrc_header import MrcHeader, check_complete, read_header
from cryosnake.io.mrc_sections import map_sections, read_sections
from cryosnake.io.mrc_writer import check_finite, within_one, write_mrc, writing_stack

__all__ = ["MrcHeader", "check_complete", "check_finite", "open_stack", "read_header", "read_images", "read_mrc",
           "within_one", "write_mrc", "writing_stack"]

MrcPath = str | os.PathLike[str]

def read_mrc(path: MrcPath) -> tuple[np.ndarray, float]:
    """Read a whole image, map or stack.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    array
        float32, shape (rows, columns) for one section, else (sections, rows, columns); a file named `.mrcs` is a
        stack, even of one image.
    pixel_size
        Å, 0.0 when the file does not give it.

    Raises
    ------
    CryosnakeError
        When the file is missing, cut off, or of a mode that is not 0, 1, 2, 6, 12 or 101.
    """
    sections = open_stack(path)
    array = np.array(sections, dtype=np.float32)
    single = len(array) == 1 and not os.fspath(path).endswith(".mrcs")
    return (array[0] if single else array), read_header(path).pixel_size


def open_stack(path: MrcPath) -> np.ndarray:
    """Map the sections of a file into memory, read-only, in the type of the file: shape (n, rows, columns).

    Pixels of 4 bits become bytes, which are in memory.

    Raises
    ------
    CryosnakeError
        As `read_mrc`.
    """
    return map_sections(path)


def read_images(names: Sequence[str]) -> np.ndarray:
    """Read images by RELION's names, each stack once.

    Parameters
    ----------
    names
        `000001@stack.mrcs`, counted from 1; a name without `@` is a file of one image. Relative to the working
        directory, which is the project.

    Returns
    -------
    np.ndarray
        float32, shape (n, rows, columns), in the order of the names.

    Raises
    ------
    CryosnakeError
        When a stack cannot be read or has no such image, or images differ in size.
    """
    wanted: dict[str, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
    for position, name in enumerate(names):
        positions, sections = wanted[name.partition("@")[2] or name]
        positions.append(position)
        sections.append(_section(name))
    images = np.empty((0, 0, 0), np.float32)
    first = ""
    for path, (positions, sections) in wanted.items():
        found = read_sections(path, sections)
        if not first:
            first = path
            images = np.empty((len(names), *found.shape[1:]), np.float32)
        if found.shape[1:] != images.shape[1:]:
            raise CryosnakeError(f"{path} has images of {_size(found)} pixels, {first} of {_size(images)}. Extract "
                                 "both with one box size, or refine them separately.")
        images[positions] = found
    return images


def _section(name: str) -> int:
    number, at, _ = name.partition("@")
    if not at:
        return 0
    if not number.isdecimal() or int(number) < 1:
        raise CryosnakeError(f"rlnImageName {name!r} does not start with a number from 1: correct the STAR file.")
    return int(number) - 1


def _size(images: np.ndarray) -> str:
    return f"{images.shape[-1]} x {images.shape[-2]}"
