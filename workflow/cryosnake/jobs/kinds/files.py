"""Kinds of files that configs name: what they are called, and in which formats they come (`project/planning/`)."""

from __future__ import annotations


class Format:
    """What the start of a file tells, as it is called in messages; plain texts, for every job imports this."""

    STAR = "a STAR file"
    TEXT = "text"
    MRC_IMAGE = "an MRC file of one image"
    MRC_VOLUME = "an MRC map (x, y and z alike)"
    MRC_STACK = "an MRC stack"
    TIFF = "a TIFF file"
    ARRAYS = "an archive of NumPy arrays (.npz)"
    PROGRAM = "a program"


class FileKind:
    """A kind of file by the name that messages give it, and its formats; `endings` of its name if only these are read.

    With `as_movies`, an image must be as large as the movies that the job takes, turned or not. No dataclass: making
    one takes time in every job.
    """

    def __init__(self, name: str, formats: tuple[str, ...], endings: tuple[str, ...] = (), as_movies: bool = False,
                 ) -> None:
        self.name, self.formats, self.endings, self.as_movies = name, formats, endings, as_movies


_CAMERA = (Format.MRC_IMAGE, Format.TIFF)
GAIN = FileKind("gain reference", _CAMERA, (".mrc", ".mrcs", ".tif", ".tiff", ".gain"), as_movies=True)
DEFECTS = FileKind("list or map of defects", (*_CAMERA, Format.TEXT), as_movies=True)
MTF = FileKind("MTF of the detector", (Format.STAR,))
ITERATION = FileKind("optimiser of an iteration", (Format.STAR,), ("_optimiser.star",))
PROGRAM = FileKind("program", (Format.PROGRAM,))
