"""Kinds of files that configs name: what they are called, and in which formats they come (`project/planning/`)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Format(Enum):
    """What the start of a file tells; the value is how it is called in messages."""

    STAR = "a STAR file"
    TEXT = "text"
    MRC_IMAGE = "an MRC file of one image"
    MRC_VOLUME = "an MRC map (x, y and z alike)"
    MRC_STACK = "an MRC stack"
    TIFF = "a TIFF file"
    PROGRAM = "a program"


@dataclass(frozen=True)
class FileKind:
    """A kind of file by the name that messages give it, and its formats; `endings` of its name if only these are read.

    With `as_movies`, an image must be as large as the movies that the job takes, turned or not.
    """

    name: str
    formats: tuple[Format, ...]
    endings: tuple[str, ...] = ()
    as_movies: bool = False


_CAMERA = (Format.MRC_IMAGE, Format.TIFF)
GAIN = FileKind("gain reference", _CAMERA, (".mrc", ".mrcs", ".tif", ".tiff", ".gain"), as_movies=True)
DEFECTS = FileKind("list or map of defects", (*_CAMERA, Format.TEXT), as_movies=True)
MTF = FileKind("MTF of the detector", (Format.STAR,))
ITERATION = FileKind("optimiser of an iteration", (Format.STAR,), ("_optimiser.star",))
PROGRAM = FileKind("program", (Format.PROGRAM,))
