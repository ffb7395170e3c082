"""SerialEM's .mdoc files: text, `key = value` lines, for all images first, then of one image or movie per section."""

from __future__ import annotations

import os
import re

from cryosnake.io.acquisition.record import (
    DOSE,
    PIXEL_SIZE,
    SPHERICAL_ABERRATION,
    VOLTAGE,
    Acquisition,
    count,
    number,
    read_small,
)

_FRAMES = ("FrameDosesAndNumber", "FrameDosesAndNumbers")
_TITLE = "T"


def read_mdoc(path: str | os.PathLike[str], movie: str = "") -> Acquisition | None:
    """Return what an .mdoc says of a movie, or of its first image; None for a file that can't be read as one.

    SerialEM writes neither Cs nor whether the frames are smaller pixels than the image; users may add
    `SphericalAberration` (mm).
    """
    data = read_small(path)
    values = _values(data.decode("utf-8", errors="replace"), _stem(movie)) if data else {}
    if not values:
        return None
    dose, frames = _of_frames(next((values[key] for key in _FRAMES if key in values), ""))
    return Acquisition(
        path=os.fspath(path),
        voltage=number(values.get("Voltage"), VOLTAGE),
        spherical_aberration=number(values.get("SphericalAberration"), SPHERICAL_ABERRATION),
        pixel_size=number(values.get("PixelSpacing"), PIXEL_SIZE),
        dose=number(str(dose), DOSE) or number(values.get("ExposureDose"), DOSE),  # 0 where it is not calibrated
        frames=count(values.get("NumSubFrames")) or count(str(frames)))


def _values(text: str, stem: str) -> dict[str, str]:
    """Return the values for all images, and those of the section of a movie, or of the first section."""
    common: dict[str, str] = {}
    sections: list[dict[str, str]] = []
    for line in text.splitlines():
        name, is_value, value = (part.strip() for part in line.strip(" \t[]").partition("="))
        if line.lstrip().startswith("["):
            if name != _TITLE:
                sections.append({})
        elif is_value:
            (sections[-1] if sections else common).setdefault(name, value)
    of_movie = [values for values in sections if stem and _stem(values.get("SubFramePath", "")) == stem]
    return common | next(iter(of_movie or sections), {})


def _stem(path: str) -> str:
    """Return the name of a file without folders, Windows' ones too, and without its last ending."""
    return os.path.splitext(re.split(r"[\\/]", path)[-1])[0]


def _of_frames(text: str) -> tuple[float, float]:
    """Return dose and number of frames from `dose number dose number …`, 0 where they are not understood."""
    try:
        numbers = [float(word) for word in text.split()]
    except ValueError:
        return 0.0, 0.0
    pairs = list(zip(numbers[::2], numbers[1::2], strict=False))
    return sum(dose * frames for dose, frames in pairs), sum(frames for _, frames in pairs)
