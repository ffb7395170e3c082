"""Rules for keeping rows of a particle or micrograph table: Boolean arrays over its rows."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from cryosnake.errors import CryosnakeError
from cryosnake.io.checked_numbers import checked, numbers_of
from cryosnake.io.paths import movie_of

if TYPE_CHECKING:
    import pandas as pd


def column_of(rows: pd.DataFrame, label: str, path: str, blanks: bool = False) -> np.ndarray:
    """Return a column as numbers, float64; with `blanks`, NaN where a field is none, as `None` or nan.

    Raises
    ------
    CryosnakeError
        when it is missing or contains text; without `blanks` also when a field is not a number
    """
    if label not in rows.columns:
        raise CryosnakeError(f"{path} has no column {label}; its columns are {', '.join(rows.columns)}")
    values = numbers_of(rows[label])
    bad = ~np.isfinite(values)
    if bad.all() and rows[label].dtype.kind not in "iuf":
        raise CryosnakeError(f"{path}: the column {label} contains text, such as {rows[label].iloc[0]!r}; choose a "
                             "column of numbers")
    if bad.any() and not blanks:
        first = int(bad.argmax())
        raise CryosnakeError(f"{path}: {label} is not a number in {bad.sum()} row(s), the first is row {first + 1} of "
                             f"those that are left ({rows[label].iloc[first]}); remove them, or run the job again that "
                             "made the file")
    return values


def keep_by_value(rows: pd.DataFrame, label: str, minimum: float | None, maximum: float | None,
                  path: str) -> np.ndarray:
    """Return which rows lie in [minimum, maximum]; None is no limit, and NaN is never kept."""
    if minimum is None and maximum is None:
        raise CryosnakeError(f"to select by {label}, set minimum, maximum, or both")
    values = column_of(rows, label, path, blanks=True)
    if np.isnan(values).any():
        print(f"{label} has no number in {np.isnan(values).sum()} of {len(values)} rows, which are left out")
    low, high = (-math.inf if minimum is None else minimum), (math.inf if maximum is None else maximum)
    return (values >= low) & (values <= high)


def keep_by_class(rows: pd.DataFrame, classes: list[int], path: str) -> np.ndarray:
    """Return which rows have one of these rlnClassNumber."""
    return np.isin(column_of(rows, "rlnClassNumber", path), classes)


def keep_by_shift(rows: pd.DataFrame, maximum: float, path: str) -> np.ndarray:
    """Return which particles were moved by at most `maximum` Å by alignment."""
    return np.hypot(column_of(rows, "rlnOriginXAngst", path), column_of(rows, "rlnOriginYAngst", path)) <= maximum


def keep_without_duplicates(rows: pd.DataFrame, optics: pd.DataFrame | None, distance: float,
                            pixel_size: float | None, path: str) -> np.ndarray:
    """Return which particles have no later one of their movie within `distance` (Å): RELION's rule.

    A particle lies at its coordinate minus its alignment origin (rlnOriginXAngst, rlnOriginYAngst). Of a chain of
    close neighbours only the last one is kept. Neighbours are found in a k-d tree of all micrographs at once.
    """
    from scipy.spatial import cKDTree

    scale = _coordinate_pixel_size(rows, optics, pixel_size, path)
    place = np.empty((len(rows), 3))
    for axis, (coordinate, origin) in enumerate((("rlnCoordinateX", "rlnOriginXAngst"),
                                                 ("rlnCoordinateY", "rlnOriginYAngst"))):
        place[:, axis] = column_of(rows, coordinate, path) * scale
        if origin in rows.columns:
            place[:, axis] -= column_of(rows, origin, path)
    if "rlnMicrographName" not in rows.columns:
        raise CryosnakeError(f"{path} has no column rlnMicrographName, which is needed to find duplicates")
    names, micrograph = np.unique(rows["rlnMicrographName"].to_numpy(str), return_inverse=True)
    _, movie = np.unique([movie_of(str(name)) for name in names], return_inverse=True)
    place[:, 2] = movie[micrograph] * (2.0 * distance + 1.0)  # keeps movies apart
    pairs = cKDTree(place).query_pairs(distance, output_type="ndarray")
    keep = np.ones(len(rows), bool)
    keep[pairs[:, 0]] = False  # the first of a pair is the earlier row
    return keep


def _coordinate_pixel_size(rows: pd.DataFrame, optics: pd.DataFrame | None, pixel_size: float | None,
                           path: str) -> np.ndarray | float:
    """Return Å per pixel of rlnCoordinateX and rlnCoordinateY, for each row where optics groups differ."""
    if pixel_size is not None:
        return pixel_size
    labels = ("rlnMicrographPixelSize", "rlnMicrographOriginalPixelSize")
    label = next((name for name in labels if optics is not None and name in optics.columns), None)
    if optics is None or label is None or "rlnOpticsGroup" not in rows.columns:
        raise CryosnakeError(f"{path} does not give the pixel size of its micrographs (no {labels[0]} in data_optics); "
                             "set pixel_size (in Å)")
    groups = checked(path, "particles", rows, ["rlnOpticsGroup"])["rlnOpticsGroup"]
    optics = checked(path, "optics", optics, ["rlnOpticsGroup"])
    optics = checked(path, "optics", optics[optics["rlnOpticsGroup"].isin(groups)], [label])
    sizes = dict(zip(optics["rlnOpticsGroup"].tolist(), optics[label].tolist(), strict=True))
    missing = set(groups.unique().tolist()) - set(sizes)
    if missing:
        raise CryosnakeError(f"{path}: rlnOpticsGroup {sorted(missing)[0]} is not in data_optics; correct the file")
    print(f"coordinates are in pixels of {' and '.join(f'{size:g}' for size in sorted(set(sizes.values())))} Å "
          f"({label})")
    return groups.map(sizes).to_numpy(np.float64)


def parts_of(rows: pd.DataFrame, count: int | None, size: int | None, seed: int | None) -> list[pd.DataFrame]:
    """Return consecutive parts of the rows, first shuffled when a seed is given.

    With `count` alone the parts are ⌈rows / count⌉ long and the last one may be shorter, as RELION's; with `size`
    they have that length, and with both there are at most `count` parts and the rest is left out.
    """
    if seed is not None:
        rows = rows.iloc[np.random.default_rng(seed).permutation(len(rows))].reset_index(drop=True)
    length = size if size is not None else math.ceil(len(rows) / (count or 1))
    starts = range(0, len(rows), length)
    if count is not None:
        starts = starts[:count]
    return [rows.iloc[start : start + length].reset_index(drop=True) for start in starts]
