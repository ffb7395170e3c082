"""Reading one micrograph, and its picked coordinates, from its STAR row."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cryosnake.errors import CryosnakeError
from cryosnake.io.coordinates.tables import PLACE, read_coordinates_file
from cryosnake.io.movies import header_pixel_size, read_image
from cryosnake.jobs.forms import PICKED_ON


def read_micrograph(row: Mapping[str, Any]) -> tuple[Path, np.ndarray]:
    """Return path and pixels (h, w) float32 of the micrograph of a row.

    Raises
    ------
    CryosnakeError
        if it is not named, missing, not one image, or not finite
    """
    if "rlnMicrographName" not in row:
        raise CryosnakeError("a row of the input STAR file has no rlnMicrographName; connect a job that lists "
                             "micrographs")
    path = Path(str(row["rlnMicrographName"]))
    if not path.is_file():
        raise CryosnakeError(f"{path} does not exist: run the job that makes it again")
    image, _ = read_image(path)
    if not np.isfinite(image).all():
        raise CryosnakeError(f"{path}: {np.count_nonzero(~np.isfinite(image))} pixels are NaN or infinite; run motion "
                             "correction of this movie again or leave it out")
    return path, image


def read_coordinates(row: Mapping[str, Any]) -> pd.DataFrame:
    """Return the coordinate table of a row (rlnMicrographCoordinates: STAR, .box or .cbox), which may have no rows.

    A coordinate that is not a number is NaN.

    Raises
    ------
    CryosnakeError
        if the row does not name a file, or the file is missing, damaged or without coordinates
    """
    name = row.get("rlnMicrographCoordinates")
    if not isinstance(name, str) or not name:
        raise CryosnakeError(f"{row.get('rlnMicrographName')}: no rlnMicrographCoordinates; pick this micrograph")
    return read_coordinates_file(Path(name))


def picked_elsewhere(table: pd.DataFrame, row: Mapping[str, Any]) -> pd.DataFrame:
    """Return coordinates in pixels of the row's micrograph where they were picked on another one of the same movie."""
    other, micrograph = Path(str(row.get(PICKED_ON, ""))), Path(str(row["rlnMicrographName"]))
    if PICKED_ON not in row or not other.is_file() or not micrograph.is_file():
        return table
    before, now = (header_pixel_size(path) for path in (other, micrograph))
    if not before or not now or np.isclose(before, now, rtol=1e-4):
        return table
    return table.assign(**{label: table[label] * (before / now) for label in PLACE})
