"""Refined particles extracted again, with another box or pixel size or with new centres."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cryosnake.errors import CryosnakeError
from cryosnake.io.checked_numbers import POSE, checked, numbers_of
from cryosnake.io.movies import header_pixel_size
from cryosnake.io.paths import MicrographNames
from cryosnake.io.star import optics_of, read_star
from cryosnake.io.star_optics import with_optics
from cryosnake.jobs.options import ExtractOptions
from cryosnake.numerics.extraction.recentre import at_pixel_size, recentred
from cryosnake.programs.micrographs.optics_values import optics_value

_ANGLES = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi")
_ORIGINS = ("rlnOriginXAngst", "rlnOriginYAngst")


@dataclass(frozen=True, kw_only=True)
class Refined:
    """Particles by micrograph, and the treatment of their origins; without `optics` they have their micrographs'."""

    path: Path
    by_micrograph: dict[str, pd.DataFrame]
    names: MicrographNames  # of by_micrograph
    optics: dict[int, dict[str, Any]]
    recenter: bool
    centre: np.ndarray  # (3,) Å
    reset: bool


def read_refined(path: Path, options: ExtractOptions) -> Refined:
    """Read a particle STAR file.

    Raises
    ------
    CryosnakeError
        if it has no rows, lacks a column, has fields that are no numbers, mixes pixel sizes, or both ways to treat
        origins are requested
    """
    if options.recenter and options.reset_offsets:
        raise CryosnakeError("extract: recenter and reset_offsets exclude each other; set one of them")
    tables = with_optics(path, read_star(path), images=False)
    table = tables.get("particles", pd.DataFrame())
    if len(table) == 0:
        raise CryosnakeError(f"{path}: data_particles has no rows; check the job that wrote it")
    centre = np.asarray(options.recenter_point, np.float64)
    needed = ["rlnCoordinateX", "rlnCoordinateY", "rlnMicrographName"] + ["rlnOpticsGroup"] * ("optics" in tables)
    needed += [*_ORIGINS] if options.recenter else []
    needed += [*_ANGLES] if options.recenter and centre.any() else []
    missing = [label for label in needed if label not in table]
    if missing:
        raise CryosnakeError(f"{path}: data_particles lacks {', '.join(missing)}; give the particles of a refinement "
                             "or classification")
    table = checked(path, "particles", table, ["rlnOpticsGroup", *POSE])
    table = table.assign(**{label: numbers_of(table[label]) for label in ("rlnCoordinateX", "rlnCoordinateY")})
    optics = optics_of(tables, path)
    if optics:
        _check_optics(path, optics, table)
    groups = {str(name): part for name, part in table.groupby(table["rlnMicrographName"].astype(str), sort=False)}
    return Refined(path=path, by_micrograph=groups, names=MicrographNames(groups), optics=optics,
                   recenter=options.recenter, centre=centre, reset=options.reset_offsets)


def unknown_micrographs(refined: Refined, names: Collection[str]) -> dict[str, str]:
    """Return the micrographs of particles that are none of the names, as the file spells them, with the number."""
    left = refined.by_micrograph.keys() - {like for name in names for like in refined.names.of_movie(name)}
    return {name: f"{len(refined.by_micrograph[name])} particle(s)" for name in left}


def refined_optics(path: Path, micrographs: Sequence[Mapping[str, Any]], box: int, size: int) -> list[dict[str, Any]]:
    """Return the optics groups of a particle file, with all their refined values, for the new images.

    They are those of the micrographs where the file has none, as a list of coordinates.

    Parameters
    ----------
    path
        The particle STAR file.
    micrographs
        The optics groups of the micrographs, with rlnMicrographPixelSize (Å).
    box, size
        Side of the box in pixels of the micrograph, and of the image.

    Raises
    ------
    CryosnakeError
        if the micrographs have several pixel sizes, so that images of one optics group would, too
    """
    sizes = sorted({round(optics_value(group, "rlnMicrographPixelSize"), 4) for group in micrographs})
    if len(sizes) > 1:
        raise CryosnakeError(f"extract: the micrographs have several pixel sizes ({', '.join(map(str, sizes))} Å); "
                             "extract each pixel size separately, with its own box_size and rescale")
    groups = optics_of(with_optics(path, read_star(path), images=False), path).values() or micrographs
    return [image_optics({**group, "rlnMicrographPixelSize": sizes[0]}, box, size) for group in groups]


def image_optics(optics: Mapping[str, Any], box: int, size: int) -> dict[str, Any]:
    """Return the optics row of images cut from micrographs: RELION's columns of an image in place of the micrograph's.

    RELION drops the micrographs' pixel size; for binned movies nothing else gives the unit of the coordinates.
    """
    pixel_size = optics_value(optics, "rlnMicrographPixelSize")
    binned = pixel_size != optics.get("rlnMicrographOriginalPixelSize")
    kept = {label: value for label, value in optics.items() if binned or label != "rlnMicrographPixelSize"}
    return {**kept, "rlnImagePixelSize": pixel_size * box / size, "rlnImageSize": size, "rlnImageDimensionality": 2}


def _check_optics(path: Path, optics: Mapping[int, Mapping[str, Any]], table: pd.DataFrame) -> None:
    """Boxes are in pixels of the micrographs: with two pixel sizes the particles would have two sizes in Å."""
    unknown = sorted(set(table["rlnOpticsGroup"]) - set(optics))
    if unknown:
        raise CryosnakeError(f"{path}: data_optics does not have optics group {unknown[0]}; give the file as the "
                             "job that made it wrote it")
    label = "rlnMicrographOriginalPixelSize"
    sizes = sorted({round(optics_value(group, label), 4) for group in optics.values() if label in group})
    if len(sizes) > 1:
        raise CryosnakeError(f"{path}: the optics groups come from micrographs of several pixel sizes ({label}: "
                             f"{', '.join(f'{size:g}' for size in sizes)} Å); split the file with relion_star_handler "
                             "--select rlnOpticsGroup, and extract each part with its own box_size and rescale")


def again(refined: Refined, micrograph: str, pixel_size: float) -> pd.DataFrame:
    """Return the rows of one micrograph with coordinates and origins as requested; all other columns are kept.

    Parameters
    ----------
    micrograph : str
        rlnMicrographName of the micrograph to cut from; it may come from another motion-correction job.
    pixel_size : float
        Å.

    Raises
    ------
    CryosnakeError
        if nothing gives the pixel size of the coordinates
    """
    parts = [refined.by_micrograph[name] for name in refined.names.of_movie(micrograph)]
    if not parts:
        return pd.DataFrame({"rlnCoordinateX": [], "rlnCoordinateY": []})
    table = pd.concat(parts).sort_index() if len(parts) > 1 else parts[0]
    before = _pixel_sizes_before(refined, table, micrograph, pixel_size)
    table = table.assign(rlnMicrographName=micrograph)
    if not np.allclose(before, pixel_size, rtol=1e-4):
        table = _moved(table, *at_pixel_size(*_places(table), before, pixel_size))
    if refined.reset:
        return table.assign(**{label: 0.0 for label in _ORIGINS if label in table})
    if not refined.recenter:
        return table
    angles = table[[*_ANGLES]].to_numpy(np.float64) if refined.centre.any() else None
    return _moved(table, *recentred(*_places(table), pixel_size, refined.centre, angles))


def _places(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return coordinates (n, 2) in pixels and origins (n, 2) in Å, 0 where the particles were not refined."""
    positions = table[["rlnCoordinateX", "rlnCoordinateY"]].to_numpy(np.float64)
    known = all(label in table for label in _ORIGINS)
    return positions, table[[*_ORIGINS]].to_numpy(np.float64) if known else np.zeros_like(positions)


def _moved(table: pd.DataFrame, positions: np.ndarray, origins: np.ndarray) -> pd.DataFrame:
    columns = dict(zip(_ORIGINS, origins.T, strict=True)) if _ORIGINS[0] in table else {}
    return table.assign(rlnCoordinateX=positions[:, 0], rlnCoordinateY=positions[:, 1], **columns)


def _pixel_sizes_before(refined: Refined, table: pd.DataFrame, micrograph: str, pixel_size: float) -> np.ndarray:
    """Return for each particle the pixel size (Å) of the micrograph that its coordinates belong to.

    Our files give it where movies were binned; RELION's never do, so the micrograph itself is read.
    """
    names = table["rlnMicrographName"]
    numbers = table["rlnOpticsGroup"] if refined.optics else pd.Series(0, index=table.index)
    of_each = {(name, number): _pixel_size_before(refined, str(name), refined.optics.get(int(number), {}), micrograph,
                                                  pixel_size) for name, number in {*zip(names, numbers, strict=True)}}
    return np.array([of_each[key] for key in zip(names, numbers, strict=True)])


def _pixel_size_before(refined: Refined, name: str, optics: Mapping[str, Any], micrograph: str, pixel_size: float,
                       ) -> float:
    if "rlnMicrographPixelSize" in optics:
        return optics_value(optics, "rlnMicrographPixelSize")
    if name == micrograph:
        return pixel_size
    if Path(name).is_file() and Path(micrograph).is_file():
        before, now = header_pixel_size(name), header_pixel_size(micrograph)
        if before and now:
            return pixel_size * before / now
    label = "rlnMicrographOriginalPixelSize"
    original = optics_value(optics, label) if label in optics else pixel_size
    if np.isclose(original, pixel_size, rtol=1e-4):
        return pixel_size
    raise CryosnakeError(f"{refined.path}: its particles were picked on {name}, which "
                         f"{'gives no pixel size' if Path(name).is_file() else 'does not exist'}, and nothing says "
                         f"whether that had {original:g} Å per pixel, as its movie, or was binned ({micrograph} has "
                         f"{pixel_size:g}); add the column rlnMicrographPixelSize to data_optics")
