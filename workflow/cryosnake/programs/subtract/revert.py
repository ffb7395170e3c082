"""Particles as they were before Subtract, with what later jobs have found."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from cryosnake.errors import CryosnakeError
from cryosnake.io.mrc import read_header
from cryosnake.io.star import read_star
from cryosnake.numerics.euler import euler_to_matrix
from cryosnake.programs.optics.groups import optics_groups
from cryosnake.programs.subtract.recentring import origins_about, views_of

BEFORE, SUBTRACTED = "before.star", "particles_subtracted.star"  # in a job's directory, rows in the same order
CENTRE = ("rlnCoordinateX", "rlnCoordinateY", "rlnCoordinateZ")  # of BEFORE: the point images are centred on, Å
_NAME, _ORIGINAL = "rlnImageName", "rlnImageOriginalName"
_ANGLES, _ORIGIN = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"), ("rlnOriginXAngst", "rlnOriginYAngst")
_SIZE, _GROUP = "rlnImageSize", "rlnOpticsGroup"


def reverted(path: str) -> dict[str, pd.DataFrame]:
    """Return the tables of subtracted particles with their original images, and all else that Subtract changed.

    A column that is as Subtract wrote it gets back its former value; what a later job changed stays. Origins that are
    later than the recentring are those of the map's former centre again. Of particles that another program subtracted
    only the names are exchanged, and the box is read from the images.

    Raises
    ------
    CryosnakeError
        when the file lists no subtracted particles, or the original images are not there
    """
    tables = read_star(path)
    if not {"optics", "particles"} <= set(tables) or _ORIGINAL not in tables["particles"]:
        raise CryosnakeError(f"{path}: data_particles has no {_ORIGINAL}: these are not subtracted particles. Connect "
                             f"{SUBTRACTED} of a Subtract job, or what later jobs made of it")
    optics, particles = tables["optics"].copy(), tables["particles"]
    jobs = [str(Path(str(name).partition("@")[2]).parent.parent) for name in particles[_NAME]]
    parts = []
    for job in dict.fromkeys(jobs):
        mine = particles[np.array(jobs) == job]
        known = (Path(job) / BEFORE).exists() and (Path(job) / SUBTRACTED).exists()
        parts.append(_restored(path, mine, Path(job), optics) if known else _exchanged(mine))
    columns = list(dict.fromkeys(label for part in parts for label in part))
    result = pd.concat(parts).sort_index()[columns]
    for row, group in enumerate(optics[_GROUP].tolist()):
        names = result.loc[result[_GROUP] == group, _NAME]
        if len(names):
            optics.loc[optics.index[row], _SIZE] = _box(path, str(names.iloc[0]))
    return {**tables, "optics": optics, "particles": result.reset_index(drop=True)}


def _box(path: str, name: str) -> int:
    stack = name.partition("@")[2]
    if not Path(stack).exists():
        raise CryosnakeError(f"{path}: the original images {stack} do not exist. Restore them, or make them again")
    return read_header(stack).nx


def _exchanged(mine: pd.DataFrame) -> pd.DataFrame:
    return mine.assign(**{_NAME: mine[_ORIGINAL], _ORIGINAL: mine[_NAME]})


def _restored(path: str, mine: pd.DataFrame, job: Path, optics: pd.DataFrame) -> pd.DataFrame:
    """Return rows of particles as they were before a Subtract job of ours."""
    first, after = read_star(job / BEFORE), read_star(job / SUBTRACTED)["particles"]
    place = pd.Index(after[_NAME].to_numpy(str)).get_indexer(mine[_NAME].to_numpy(str).tolist())
    if (place < 0).any():
        raise CryosnakeError(f"{path}: {mine[_NAME].iloc[int((place < 0).argmax())]} is not in {job / SUBTRACTED}; the "
                             "job was run again with other particles. Make these particles again from its output")
    before, after = (table.iloc[place].set_index(mine.index) for table in (first["particles"], after))
    result = mine.assign(**dict(_former(mine, before, after)))
    later = ~_same(mine, after, (*_ORIGIN, *_ANGLES))
    if later.any():
        point = first["centre"][list(CENTRE)].to_numpy(float)[0]
        result.loc[later, list(_ORIGIN)] = _origins(path, optics, point, mine, before, after)[later]
    gone = [] if _ORIGINAL in before else [_ORIGINAL]
    order = [*(label for label in before if label in result), *(label for label in result if label not in before)]
    return result[order].drop(columns=gone)


def _former(mine: pd.DataFrame, before: pd.DataFrame, after: pd.DataFrame) -> Iterator[tuple[str, pd.Series]]:
    """Yield the columns that Subtract changed or removed, as they were where they have not been changed since."""
    for label in map(str, before):
        if label not in mine:
            if label not in after:
                yield label, before[label]
        elif not before[label].equals(after[label]):
            yield label, before[label].where(_same(mine, after, (label,)), mine[label])


def _same(one: pd.DataFrame, other: pd.DataFrame, labels: tuple[str, ...]) -> np.ndarray:
    """Return in which rows (n,) the columns are equal."""
    return np.logical_and.reduce([(one[label] == other[label]).to_numpy() for label in labels])


def _origins(path: str, optics: pd.DataFrame, point: np.ndarray, mine: pd.DataFrame, before: pd.DataFrame,
             after: pd.DataFrame) -> np.ndarray:
    """Return origins (n, 2) of the map's centre in the original images, from present poses about `point` (3,), Å."""
    groups = optics_groups(path, optics, False)
    index = pd.Index(optics[_GROUP]).get_indexer(mine[_GROUP])
    pixel = np.array([group.pixel_size for group in groups])[index, None]
    views, later_views = (views_of(euler_to_matrix(*(table[label].to_numpy(float) for label in _ANGLES)), groups, index)
                          for table in (before, mine))
    origins, written, present = (table[list(_ORIGIN)].to_numpy(float) for table in (before, after, mine))
    moved = np.rint((origins_about(point, views, origins) - written) / pixel) * pixel
    return origins_about(-point, later_views, present + moved)
