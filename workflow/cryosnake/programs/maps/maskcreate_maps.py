"""Reading maps, with checks shared by MaskCreate and PostProcess."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cryosnake.errors import CryosnakeError
from cryosnake.io.mrc import check_finite, read_mrc


def read_map(path: str, pixel_size: float | None = None) -> tuple[np.ndarray, float]:
    """Return a cubic map (box, box, box) float32 and its pixel size in Å, `pixel_size` if given.

    Raises
    ------
    CryosnakeError
        when it is not a cube, contains NaN or infinities, is constant, or its pixel size is not known
    """
    volume, from_header = read_mrc(path)
    if volume.ndim != 3 or len(set(volume.shape)) != 1:
        raise CryosnakeError(f"{path} is not a cubic map but {' x '.join(str(n) for n in volume.shape[::-1])} voxels; "
                             "give a 3D map")
    check_finite(volume, path)
    if not volume.any():
        raise CryosnakeError(f"{path} is zero everywhere; check the job that made it")
    size = pixel_size or from_header
    if size <= 0:
        raise CryosnakeError(f"{path} does not give its pixel size; set pixel_size (in Å)")
    return volume, size


def other_half(path: str) -> str | None:
    """Return the name of the second half map by RELION's rule, half1 → half2 in the file's name, or None.

    >>> other_half("Refine3D/job005/run_half1_class001_unfil.mrc")
    'Refine3D/job005/run_half2_class001_unfil.mrc'
    """
    folder, name = Path(path).parent, Path(path).name
    for mine, other in (("half1", "half2"), ("half2", "half1")):
        if mine in name:
            return str(folder / name.replace(mine, other))
    return None
