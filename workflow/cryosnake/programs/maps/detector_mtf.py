"""The detector's MTF from RELION's STAR file, for PostProcess and LocalRes, which divide by it."""

from __future__ import annotations

import numpy as np

from cryosnake.errors import CryosnakeError
from cryosnake.io.checked_numbers import numbers_of
from cryosnake.io.star import read_table


def detector_mtf(path: str | None, frequency: np.ndarray, pixel_size: float,
                 detector_pixel_size: float | None) -> np.ndarray | None:
    """Return the MTF at each shell (shells,), or None when no file is given; prints the pixel size used.

    `frequency` (shells,) in Å⁻¹; `pixel_size` of the maps in Å, used as the detector's where that is not given.

    Raises
    ------
    CryosnakeError
        when frequencies do not increase or values are not positive as far as the maps reach
    """
    if not path:
        return None
    table = read_table(path, "mtf", ["rlnResolutionInversePixel", "rlnMtfValue"])
    inverse_pixels, values = (numbers_of(table[name]) for name in ("rlnResolutionInversePixel", "rlnMtfValue"))
    detector = detector_pixel_size or pixel_size
    print(f"MTF of {path} at {detector:g} Å per pixel" + ("" if detector_pixel_size else
          " (the pixel size of the maps; set mtf_pixel_size when they were binned)"))
    mtf = np.interp(frequency * detector, inverse_pixels, values)
    if not (np.diff(inverse_pixels) > 0).all() or not (mtf > 0).all():
        raise CryosnakeError(f"{path}: rlnResolutionInversePixel must increase and rlnMtfValue be positive up to "
                             f"{frequency[-1] * detector:.3f}; correct the file or mtf_pixel_size ({detector:g} Å)")
    return mtf
