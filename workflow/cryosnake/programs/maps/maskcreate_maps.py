"""Reading maps, with the checks that all jobs share."""

from __future__ import annotations

import os
import re

import numpy as np

from cryosnake.errors import CryosnakeError
from cryosnake.io.mrc import check_finite, read_mrc

# half1 also where letters follow it, as RELION has it; another spelling only as a word
_HALF = re.compile(r"(half(?=[12])|(?<![a-zA-Z])[Hh]alf[-_]?(?:[Mm]ap)?[-_]?(?=[12ABab](?![0-9a-zA-Z])))([12ABab])")
_PAIRS = ("12", "AB", "ab")


def read_map(path: str, pixel_size: float | None = None) -> tuple[np.ndarray, float]:
    """Return a cubic map (box, box, box) float32 and its pixel size in Å, `pixel_size` if given.

    Raises
    ------
    CryosnakeError
        when it is not a cube, contains NaN or infinities, is constant, or its pixel size is not known
    """
    volume, from_header = read_cube(path)
    if not volume.any():
        raise CryosnakeError(f"{path} is zero everywhere; check the job that made it")
    size = pixel_size or from_header
    if size <= 0:
        raise CryosnakeError(f"{path} does not give its pixel size; set pixel_size (in Å)")
    return volume, size


def read_cube(path: str) -> tuple[np.ndarray, float]:
    """Return a cubic map (box, box, box) float32 and the pixel size in Å of its header, 0 where it has none.

    Raises
    ------
    CryosnakeError
        when it is not a cube, or contains NaN or infinities
    """
    volume, from_header = read_mrc(path)
    if volume.ndim != 3 or len(set(volume.shape)) != 1:
        raise CryosnakeError(f"{path} is not a cubic map but {' x '.join(str(n) for n in volume.shape[::-1])} voxels; "
                             "give a 3D map")
    check_finite(volume, path)
    return volume, from_header


def half_names(path: str) -> tuple[str, str] | None:
    """Return the names of the first and second half map of which `path` is one, by its file's name; None if it is none.

    RELION's (half1, half2), cryoSPARC's (half_A, half_B) and EMDB's (half_map_1, half_map_2).

    >>> half_names("Refine3D/job005/run_half2_class001_unfil.mrc")
    ('Refine3D/job005/run_half1_class001_unfil.mrc', 'Refine3D/job005/run_half2_class001_unfil.mrc')
    >>> half_names("J12_003_volume_map_half_B.mrc")
    ('J12_003_volume_map_half_A.mrc', 'J12_003_volume_map_half_B.mrc')
    """
    folder, name = os.path.split(path)
    found = _HALF.findall(name)
    if not found:
        return None
    pair = next(pair for pair in _PAIRS if found[-1][1] in pair)
    first, second = (os.path.join(folder, _HALF.sub(rf"\g<1>{half}", name)) for half in pair)
    return first, second
