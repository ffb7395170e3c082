"""Reading one micrograph, and its picked coordinates, from its STAR row."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cryosnake.errors import CryosnakeError
from cryosnake.io.checked_numbers import numbers_of
from cryosnake.io.mrc import read_mrc
from cryosnake.io.star import read_star


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
    image, _ = read_mrc(path)
    if image.ndim != 2:
        raise CryosnakeError(f"{path} is a stack of shape {image.shape}, not one micrograph")
    if not np.isfinite(image).all():
        raise CryosnakeError(f"{path}: {np.count_nonzero(~np.isfinite(image))} pixels are NaN or infinite; run motion "
                             "correction of this movie again or leave it out")
    return path, image


def read_coordinates(row: Mapping[str, Any]) -> pd.DataFrame:
    """Return the coordinate table of a row (rlnMicrographCoordinates), which may have no rows.

    Raises
    ------
    CryosnakeError
        if the row does not name a file, or the file is missing, damaged or without coordinates
    """
    name = row.get("rlnMicrographCoordinates")
    if not isinstance(name, str) or not name:
        raise CryosnakeError(f"{row.get('rlnMicrographName')}: no rlnMicrographCoordinates; pick this micrograph")
    if not Path(name).is_file():
        raise CryosnakeError(f"{name} does not exist: run the picking job again")
    if Path(name).suffix != ".star":
        raise CryosnakeError(f"{name} is not a STAR file; import the coordinates as STAR")
    if not Path(name).read_text().strip():
        return pd.DataFrame({"rlnCoordinateX": np.empty(0), "rlnCoordinateY": np.empty(0)})  # RELION's empty table
    table = next(iter(read_star(name).values()))
    missing = [label for label in ("rlnCoordinateX", "rlnCoordinateY") if label not in table]
    if missing:
        raise CryosnakeError(f"{name}: no column {', '.join(missing)}, it has {', '.join(map(str, table.columns))}; "
                             "pick this micrograph again")
    return table.assign(**{label: numbers_of(table[label]) for label in ("rlnCoordinateX", "rlnCoordinateY")})
