"""The pixel size that a movie's header states. Standard library only: planning compares it with the stated one."""

from __future__ import annotations

import os
import re
import struct
from typing import BinaryIO

from cryosnake.io.completeness import EER_NAMES, MRC_NAMES
from cryosnake.io.mrc_header import read_header

_RESOLUTION, _UNIT = 282, 296  # TIFF's tags
_ACQUISITION = 65001  # EER's tag of metadata, as XML
_EER_WIDTH = re.compile(rb'name="sensorPixelSize\.width"[^>]*>\s*([-+.\deE]+)')
_CENTIMETRE = 3
_NOT_KNOWN = 1.0  # many programs write it when they do not know
_MOST_BYTES = 1 << 20  # of a tag


def recorded_pixel_size(path: str | os.PathLike[str]) -> float | None:
    """Return the pixel size in Å that the header of a complete movie states, None where it states none.

    MRC: side of the cell by its sampling. TIFF: pixels per centimetre on the sample, as SerialEM and IMOD write it.
    EER: the detector's pixel on the sample, in metres. Values that no microscope has are taken for none.
    """
    name = os.fspath(path).lower()
    size = read_header(path).pixel_size if name.endswith(MRC_NAMES) else _of_tiff(path, name.endswith(EER_NAMES))
    return round(size, 4) if 0.05 < size < 50 and size != _NOT_KNOWN else None


def _of_tiff(path: str | os.PathLike[str], eer: bool) -> float:
    with open(path, "rb") as file:
        try:
            order, tags = _first_tags(file, (_ACQUISITION,) if eer else (_RESOLUTION, _UNIT))
            if eer:
                found = _EER_WIDTH.search(tags.get(_ACQUISITION, b""))
                return float(found[1]) * 1e10 if found else 0.0
            pixels, length = struct.unpack(f"{order}2I", tags[_RESOLUTION])
            (unit,) = struct.unpack(f"{order}H", tags[_UNIT][:2])
        except (struct.error, ValueError, KeyError):
            return 0.0
    return float(1e8 * length / pixels) if unit == _CENTIMETRE and pixels else 0.0


def _first_tags(file: BinaryIO, wanted: tuple[int, ...]) -> tuple[str, dict[int, bytes]]:
    """Return the byte order, and the values of some tags of the first directory as bytes."""
    head = file.read(16)
    order = {b"II": "<", b"MM": ">"}[head[:2]]
    big = struct.unpack_from(f"{order}H", head, 2) == (43,)
    word, number = (f"{order}Q", f"{order}Q") if big else (f"{order}I", f"{order}H")
    width = struct.calcsize(word)
    file.seek(*struct.unpack_from(word, head, 8 if big else 4))
    (entries,) = struct.unpack(number, file.read(struct.calcsize(number)))
    table, found = file.read(min(entries, 4096) * (4 + 2 * width)), {}
    for start in range(0, len(table), 4 + 2 * width):
        tag, kind = struct.unpack_from(f"{order}2H", table, start)
        if tag in wanted:
            (count,) = struct.unpack_from(word, table, start + 4)
            value = table[start + 4 + width : start + 4 + 2 * width]
            size = min(count * {3: 2, 4: 4, 5: 8}.get(kind, 1), _MOST_BYTES)
            if size > width:
                file.seek(*struct.unpack(word, value))
                value = file.read(size)
            found[tag] = value[:size]
    return order, found
