"""The picks that a picker is learned from, by micrograph: a person's, or particles that were kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cryosnake.errors import CryosnakeError
from cryosnake.io.checked_numbers import numbers_of
from cryosnake.io.coordinates.lists import listed_coordinates
from cryosnake.io.movies import header_pixel_size
from cryosnake.io.star import optics_of, read_star
from cryosnake.io.star_optics import with_optics
from cryosnake.programs.micrographs.extract_inputs import read_coordinates
from cryosnake.programs.micrographs.optics_values import optics_value

FEWEST = 20  # picks; fewer say more about their own noise than about the particle
_PLACE = ["rlnCoordinateX", "rlnCoordinateY"]
_ORIGINS = ["rlnOriginXAngst", "rlnOriginYAngst"]
_OUTSIDE = 0.1  # of the picks may lie off their micrographs


@dataclass(frozen=True)
class TrainingPicks:
    """Places (n, 2) of particles on a micrograph, x and y in pixels of `pixel_size` Å."""

    micrograph: Path
    places: np.ndarray
    pixel_size: float


def training_picks(inputs: Mapping[str, Path], pixel_size: float | None) -> list[TrainingPicks]:
    """Return the picks on each micrograph that has some, by name; `pixel_size` (Å) overrides headers.

    Raises
    ------
    CryosnakeError
        if not one of coordinates and particles is given, there are too few picks, or the micrographs or their pixel
        sizes are not there
    """
    given = [slot for slot in ("coordinates", "particles") if slot in inputs]
    if len(given) != 1:
        raise CryosnakeError("trainpicker: connect either `coordinates` (a person's picks) or `particles` (those that "
                             "a classification or refinement kept)")
    path = Path(inputs[given[0]])
    by_name = _of_person(path) if given == ["coordinates"] else _of_particles(path)
    by_name = {name: table[np.isfinite(table[_PLACE].to_numpy(np.float64)).all(1)] for name, table in by_name.items()}
    by_name = {name: by_name[name] for name in sorted(by_name) if len(by_name[name])}
    _refuse_few(path, sum(map(len, by_name.values())), f"on {len(by_name)} micrographs")
    gone = [name for name in by_name if not Path(name).is_file()]
    left = {name: table for name, table in by_name.items() if name not in gone}
    if gone:
        print(f"{path}: {len(gone)} of {len(by_name)} micrographs with picks do not exist, the first {gone[0]}; they "
              "are left out. Run the job that makes them again to learn from them as well")
        _refuse_few(path, sum(map(len, left.values())), f"on micrographs that exist ({gone[0]} does not; run the job "
                    "that makes it again)")
    return [_in_pixels(path, name, table, pixel_size) for name, table in left.items()]


def checked_places(picks: TrainingPicks, shape: tuple[int, ...]) -> np.ndarray:
    """Return the places (n, 2) that lie on a micrograph of this shape (rows, columns).

    Raises
    ------
    CryosnakeError
        if more than a tenth of them, and two at least, do not
    """
    size = np.array([shape[1], shape[0]])
    inside = np.all((picks.places >= 0) & (picks.places <= size - 1), axis=1)
    outside = int((~inside).sum())
    if outside > max(1, _OUTSIDE * len(inside)):
        x, y = picks.places[~inside][0]
        raise CryosnakeError(f"{picks.micrograph}: {outside} of {len(inside)} picks lie off the micrograph of "
                             f"{size[0]} × {size[1]} pixels, the first at x {x:g}, y {y:g}; were they picked at "
                             "another pixel size, or on another micrograph?")
    return picks.places[inside]


def _refuse_few(path: Path, count: int, where: str) -> None:
    if count < FEWEST:
        raise CryosnakeError(f"{path}: {count} picks {where} are too few to learn from; pick all particles of two or "
                             f"three micrographs, {FEWEST} at the least, better 100 to 200")


def _of_person(path: Path) -> dict[str, pd.DataFrame]:
    """Return the table of picks of each micrograph in a list of coordinate files, as RELION 3.1, 4 and 5 write it."""
    return {name: read_coordinates({"rlnMicrographName": name, "rlnMicrographCoordinates": file})
            for name, file in listed_coordinates(path).items()}


def _of_particles(path: Path) -> dict[str, pd.DataFrame]:
    """Return particles by micrograph, at their refined centres, with the pixel size of their coordinates if known."""
    tables = with_optics(path, read_star(path), images=False)
    table = tables.get("particles", pd.DataFrame())
    missing = [label for label in (*_PLACE, "rlnMicrographName") if label not in table]
    if missing:
        raise CryosnakeError(f"{path}: data_particles lacks {', '.join(missing)}, or has no rows; give the particles "
                             "of a selection, classification or refinement")
    table = table.assign(**{label: numbers_of(table[label]) for label in _PLACE})
    optics = optics_of(tables, path)
    label = "rlnMicrographPixelSize"
    sizes = {number: optics_value(group, label) for number, group in optics.items() if label in group}
    known = table["rlnOpticsGroup"].map(sizes) if sizes and "rlnOpticsGroup" in table else np.nan
    origins = [numbers_of(table[label]) if label in table else np.zeros(len(table)) for label in _ORIGINS]
    table = table.assign(pixel_size=known, origin_x=origins[0], origin_y=origins[1])
    return {str(name): part for name, part in table.groupby(table["rlnMicrographName"].map(str), sort=False)}


def _in_pixels(path: Path, name: str, table: pd.DataFrame, override: float | None) -> TrainingPicks:
    """Return picks in pixels of their micrograph, with the shifts of refinement (Å) taken off."""
    pixel_size = override or header_pixel_size(name)
    if not pixel_size:
        raise CryosnakeError(f"{name}: its header has no pixel size; set pixel_size in the trainpicker job that learns "
                             f"from {path}")
    places = table[_PLACE].to_numpy(np.float64)
    if "pixel_size" in table:
        known = table["pixel_size"].to_numpy(np.float64)
        places = places * np.where(np.isfinite(known), known / pixel_size, 1.0)[:, None]
        places = places - table[["origin_x", "origin_y"]].to_numpy(np.float64) / pixel_size
    return TrainingPicks(Path(name), places, pixel_size)
