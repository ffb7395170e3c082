"""Refined particles that are extracted again, with another box or pixel size or on new centres."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd

from cryosnake.errors import CryosnakeError
from cryosnake.io.paths import post_name
from cryosnake.io.star import optics_of, read_star
from cryosnake.numerics.extraction import recentred

_ANGLES = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi")
_ORIGINS = ("rlnOriginXAngst", "rlnOriginYAngst")


@dataclass(frozen=True)
class Refined:
    """Refined particles by micrograph (its name below the job directory), and what to do with their origins."""

    by_micrograph: dict[str, pd.DataFrame]
    recenter: bool
    centre: np.ndarray  # (3,) Å
    reset: bool


def read_refined(path: Path, options: SimpleNamespace) -> Refined:
    """Read a particle STAR file.

    Raises
    ------
    CryosnakeError
        if it has no rows, lacks a column, mixes pixel sizes, or both ways to treat origins are asked for
    """
    if options.recenter and options.reset_offsets:
        raise CryosnakeError("extract: recenter and reset_offsets exclude each other; set one of them")
    tables = read_star(path)
    table = tables.get("particles", pd.DataFrame())
    if len(table) == 0:
        raise CryosnakeError(f"{path}: data_particles has no rows; look at the job that wrote it")
    centre = np.asarray(options.recenter_point, np.float64)
    needed = ["rlnCoordinateX", "rlnCoordinateY", "rlnMicrographName", "rlnOpticsGroup"]
    needed += [*_ORIGINS] if options.recenter else []
    needed += [*_ANGLES] if options.recenter and centre.any() else []
    missing = [label for label in needed if label not in table]
    if missing:
        raise CryosnakeError(f"{path}: data_particles lacks {', '.join(missing)}; give the particles of a refinement "
                             "or classification")
    _check_pixel_sizes(path, optics_of(tables))
    groups = table.groupby(table["rlnMicrographName"].map(post_name), sort=False)
    return Refined({str(name): part for name, part in groups}, options.recenter, centre, options.reset_offsets)


def _check_pixel_sizes(path: Path, optics: Mapping[int, Mapping[str, Any]]) -> None:
    """Boxes count in pixels of the micrographs: with two pixel sizes the particles would be of two sizes in Å."""
    label = "rlnMicrographOriginalPixelSize"
    sizes = sorted({round(float(group[label]), 4) for group in optics.values() if label in group})
    if len(sizes) > 1:
        raise CryosnakeError(f"{path}: the optics groups come from micrographs of several pixel sizes ({label}: "
                             f"{', '.join(f'{size:g}' for size in sizes)} Å); split the file with relion_star_handler "
                             "--select rlnOpticsGroup, and extract each part with its own box_size and rescale")


def again(refined: Refined, micrograph: str, pixel_size: float) -> pd.DataFrame:
    """Return the rows of one micrograph with coordinates and origins as asked for; all other columns are kept.

    Parameters
    ----------
    micrograph : str
        rlnMicrographName of the micrograph to cut from; it may be of another motion-correction job.
    pixel_size : float
        Å.
    """
    table = refined.by_micrograph.get(post_name(micrograph))
    if table is None:
        return pd.DataFrame({"rlnCoordinateX": [], "rlnCoordinateY": []})
    table = table.assign(rlnMicrographName=micrograph)
    if refined.reset:
        return table.assign(**{label: 0.0 for label in _ORIGINS if label in table})
    if not refined.recenter:
        return table
    positions = table[["rlnCoordinateX", "rlnCoordinateY"]].to_numpy(np.float64)
    angles = table[[*_ANGLES]].to_numpy(np.float64) if refined.centre.any() else None
    positions, origins = recentred(positions, table[[*_ORIGINS]].to_numpy(np.float64), pixel_size, refined.centre,
                                   angles)
    return table.assign(rlnCoordinateX=positions[:, 0], rlnCoordinateY=positions[:, 1], rlnOriginXAngst=origins[:, 0],
                        rlnOriginYAngst=origins[:, 1])
