"""The gain reference among the files of a new project."""

from __future__ import annotations

import os

from cryosnake.errors import CryosnakeError
from cryosnake.io.completeness import MRC_NAMES, TIFF_NAMES
from cryosnake.io.gain import read_gain
from cryosnake.project.start.movies import GAIN_NAME, FoundMovies, files_below


def find_gains(movies: FoundMovies) -> tuple[list[str], list[str]]:
    """Return the files that are a gain reference of these movies by name and size, and why others are not.

    A file that only needs to be rotated is among the others, with the rotation.
    """
    fitting, reasons = [], []
    for path in sorted(files_below((*MRC_NAMES, *TIFF_NAMES, ".gain", ".dm4"))):
        if GAIN_NAME.search(os.path.basename(path)):
            reason = gain_problem(path, movies)
            if reason:
                reasons.append(reason)
            else:
                fitting.append(path)
    return fitting, reasons


def gain_problem(path: str, movies: FoundMovies) -> str:
    """Return why a file is not a gain reference of these movies as it is, or ""."""
    if movies.info is None:
        return "" if os.path.exists(path) else f"{path} does not exist"
    try:
        read_gain(path, (movies.info.height, movies.info.width), movie=movies.first)
    except CryosnakeError as error:
        return str(error)
    return ""
