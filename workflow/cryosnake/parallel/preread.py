"""Reading all images into memory before the first iteration, once on each computer."""

from __future__ import annotations

import numpy as np

from cryosnake.errors import CryosnakeError
from cryosnake.parallel.memory import available_bytes
from cryosnake.parallel.ranks import Computer
from cryosnake.parallel.stacks import Images

_AT_ONCE = 256


def image_bytes(shape: tuple[int, int, int]) -> int:
    """Return the memory that images take: n · box² · 4 bytes.

    >>> image_bytes((100_000, 256, 256)) / 1e9
    26.2144
    """
    return 4 * shape[0] * shape[1] * shape[2]


def preread(source: Images, shape: tuple[int, int, int], computer: Computer) -> Images:
    """Read all images into memory shared by the ranks of a computer, of which each reads a part.

    Raises
    ------
    CryosnakeError
        when they do not fit; the message says how much is needed and available
    """
    wanted, left = image_bytes(shape), available_bytes()
    if computer.rank == 0 and wanted > left:
        raise CryosnakeError(f"preread: {shape[0]} images of {shape[1]} pixels take {shape[0]} × {shape[1]}² × 4 bytes "
                             f"= {wanted / 1e9:.1f} GB of memory on each computer, {left / 1e9:.1f} GB are left. Give "
                             "the job more memory, set preread: false, or use a scratch directory.")
    images = computer.memory(shape)
    mine = np.array_split(np.arange(shape[0]), computer.size)[computer.rank]
    for begin in range(0, len(mine), _AT_ONCE):
        rows = mine[begin : begin + _AT_ONCE]
        images[rows] = source(rows)
    computer.meet()
    return lambda rows: images[rows]
