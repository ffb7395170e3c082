"""Rows of joined tables that are the same movie, micrograph or particle, in whatever spelling."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cryosnake.io.checked_numbers import numbers_of
from cryosnake.io.paths import movie_of, usual_name
from cryosnake.programs.refinement.same_particles import first_at_place, first_of_image

if TYPE_CHECKING:
    import pandas as pd

_PIXELS = ("rlnMicrographPixelSize", "rlnMicrographOriginalPixelSize")


def duplicates(rows: pd.DataFrame, source: np.ndarray, optics: pd.DataFrame, kind: str) -> np.ndarray:
    """Return for each row (n,) the index of the first one that is the same; mostly its own.

    Parameters
    ----------
    rows, source : (n,)
        The joined rows, and the number of the table of each.
    optics, kind
        The joined optics table; particles, micrographs or movies.

    Notes
    -----
    Micrographs are the same if they are of one movie. So are particles with the same image, and those of different
    tables whose images are cut at the same pixel of a movie: within one table, refinement says it and keeps them.
    """
    if kind == "movies":
        return _first_name([usual_name(str(name)) for name in rows["rlnMicrographMovieName"]])
    if kind == "micrographs":
        return _first_name([movie_of(str(name)) for name in rows["rlnMicrographName"]])
    image = first_of_image(rows["rlnImageName"])
    place = first_at_place(rows, _pixel_sizes(rows, optics))
    elsewhere = source[place] != source
    return np.where(image != np.arange(len(rows)), image, np.where(elsewhere, place, np.arange(len(rows))))


def _first_name(names: list[str]) -> np.ndarray:
    _, first, which = np.unique(names, return_index=True, return_inverse=True)
    return np.asarray(first[which], np.int64)


def _pixel_sizes(rows: pd.DataFrame, optics: pd.DataFrame) -> np.ndarray | None:
    """Return the pixel size of the micrograph of each row (n,), Å; None where the table does not give it."""
    label = next((name for name in _PIXELS if name in optics.columns), None)
    return None if label is None else numbers_of(optics[label])[rows["rlnOpticsGroup"].to_numpy() - 1]
