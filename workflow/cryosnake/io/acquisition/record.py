"""What the microscope's software says of a movie, whatever the format, and the bounded reading of its files."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import NamedTuple

_MOST_BYTES = 1 << 20  # of a record; those of one movie have a few thousand


class Range(NamedTuple):
    """The smallest and the largest value that a microscope may have; others are taken for none."""

    lowest: float
    highest: float


VOLTAGE, SPHERICAL_ABERRATION, PIXEL_SIZE = Range(10.0, 3000.0), Range(1e-4, 20.0), Range(0.05, 50.0)
DOSE, COUNT = Range(1e-3, 1e4), Range(1, 1e6)


@dataclass(frozen=True, kw_only=True)
class Acquisition:
    """What a record says of a movie, None where it says nothing.

    `voltage` in kV, `spherical_aberration` in mm, `pixel_size` in Å, of an image `width` pixels wide; `dose` of the
    whole exposure in e/Å², in `frames` frames (of EER movies: those of the detector).
    """

    path: str
    voltage: float | None = None
    spherical_aberration: float | None = None
    pixel_size: float | None = None
    width: int | None = None
    dose: float | None = None
    frames: int | None = None

    @property
    def dose_per_frame(self) -> float | None:
        """The mean dose of a frame, e/Å²."""
        return self.dose / self.frames if self.dose and self.frames else None


def read_small(path: str | os.PathLike[str]) -> bytes | None:
    """Return the contents of a regular file, None when it can't be read or is larger than any record of a movie."""
    if not os.path.isfile(path):  # a pipe would wait
        return None
    try:
        with open(path, "rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError:
        return None
    return data if len(data) <= _MOST_BYTES else None


def number(text: str | None, within: Range, unit: float = 1.0) -> float | None:
    """Return a number times its unit, None where the text is none or the value is not possible.

    >>> number("300000", VOLTAGE, 1e-3), number("nan", VOLTAGE), number(None, VOLTAGE)
    (300.0, None, None)
    """
    try:
        value = unit * float(text or "")
    except ValueError:
        return None
    return value if within.lowest <= value <= within.highest else None


def count(text: str | None) -> int | None:
    """Return a whole number from 1 on, None for anything else."""
    value = number(text, COUNT)
    return None if value is None else int(value)
