"""The pixel size that a movie's header states."""

from __future__ import annotations

import os
import re

from cryosnake.io.completeness import EER_NAMES, MRC_NAMES
from cryosnake.io.mrc_header import read_header

_ACQUISITION = 65001  # EER's tag of metadata, as XML
_EER_WIDTH = re.compile(rb'name="sensorPixelSize\.width"[^>]*>\s*([-+.\deE]+)')
_CENTIMETRE = 3
_NOT_KNOWN = 1.0  # many programs write it when they do not know


def recorded_pixel_size(path: str | os.PathLike[str]) -> float | None:
    """Return the pixel size in Å that the header of a complete movie states, None where it states none.

    MRC: side of the cell by its sampling. TIFF: pixels per centimetre on the sample, as SerialEM and IMOD write it.
    EER: the detector's pixel on the sample, in metres. Values that no microscope has are taken for none.
    """
    name = os.fspath(path).lower()
    size = read_header(path).pixel_size if name.endswith(MRC_NAMES) else _of_tiff(path, name.endswith(EER_NAMES))
    return round(size, 4) if 0.05 < size < 50 and size != _NOT_KNOWN else None


def _of_tiff(path: str | os.PathLike[str], eer: bool) -> float:
    import tifffile

    with tifffile.TiffFile(path) as file:
        tags = file.pages.first.tags
        if eer:
            found = _EER_WIDTH.search(tags.valueof(_ACQUISITION, b""))
            return float(found[1]) * 1e10 if found else 0.0
        number, unit = tags.valueof("XResolution", (0, 1)), tags.valueof("ResolutionUnit", 0)
    return 1e8 * number[1] / number[0] if unit == _CENTIMETRE and number[0] else 0.0
