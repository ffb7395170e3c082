"""Coordinates on one micrograph, from a file of any program: STAR, .box or .cbox."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from cryosnake.errors import CryosnakeError
from cryosnake.io.checked_numbers import numbers_of
from cryosnake.io.coordinates.boxes import SUFFIXES, read_boxes
from cryosnake.io.star import read_star
from cryosnake.star_tokens import read_text

PLACE = ("rlnCoordinateX", "rlnCoordinateY")
_LARGEST_EMPTY = 1000  # bytes


def read_coordinates_file(path: Path) -> pd.DataFrame:
    """Return the coordinate table of a file, which may have no rows; a coordinate that is no number is NaN.

    Raises
    ------
    CryosnakeError
        if the file is missing, damaged or without coordinates
    """
    if not path.is_file():
        raise CryosnakeError(f"{path} does not exist: run the picking job again")
    if path.suffix in SUFFIXES:
        return read_boxes(path)
    if path.suffix != ".star":
        raise CryosnakeError(f"{path} is not a STAR, .box or .cbox file; convert the coordinates to one of these")
    if path.stat().st_size < _LARGEST_EMPTY and not read_text(path, "replace").strip():
        return pd.DataFrame({label: np.empty(0) for label in PLACE})  # RELION's empty table
    table = next(iter(read_star(path).values()))
    missing = [label for label in PLACE if label not in table]
    if missing:
        raise CryosnakeError(f"{path}: no column {', '.join(missing)}, it has {', '.join(map(str, table.columns))}; "
                             "pick this micrograph again")
    return table.assign(**{label: numbers_of(table[label]) for label in PLACE})


def places_of(table: pd.DataFrame) -> np.ndarray:
    """Return the places (n, 2) of a coordinate table, x and y in px, without those that are no numbers."""
    places = table[list(PLACE)].to_numpy(np.float64)
    return places[np.isfinite(places).all(axis=1)]
