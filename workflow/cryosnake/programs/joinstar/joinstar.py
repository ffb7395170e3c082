"""JoinStar: the rows of several tables of movies, micrographs or particles in one, with one optics table."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cryosnake.errors import CryosnakeError
from cryosnake.io.star import read_star, write_star
from cryosnake.io.star_optics import with_optics
from cryosnake.jobs.forms import Progress
from cryosnake.jobs.options import JoinStarOptions
from cryosnake.programs.joinstar.columns import common_columns, stacked, with_own_groups, with_usual
from cryosnake.programs.joinstar.duplicates import duplicates
from cryosnake.programs.joinstar.optics_groups import joined_optics, with_checked_groups

if TYPE_CHECKING:
    import pandas as pd

_FILES = {"particles": "join_particles.star", "micrographs": "join_mics.star", "movies": "join_movies.star"}
_NAMES = {"particles": "rlnImageName", "micrographs": "rlnMicrographName", "movies": "rlnMicrographMovieName"}


def run(options: JoinStarOptions, inputs: Mapping[str, str | Path], out: str | Path, progress: Progress) -> None:
    """Write the joined table: join_particles.star, join_mics.star or join_movies.star.

    Raises
    ------
    CryosnakeError
        when a table is of another kind, has no optics or rows of an optics group that is not in it, or when tables
        have rows in common and `duplicates` is refuse; the message names the file and the remedy
    """
    kind = next(iter(inputs)).rstrip("0123456789")
    paths = [str(path) for path in inputs.values()]
    found = [read_listed(path, kind) for path in paths]
    used = [(path, *tables) for path, tables in zip(paths, found, strict=True) if len(tables[1])]
    for path in sorted(set(paths) - {path for path, _, _ in used}):
        print(f"{path} has no rows")
    if not used:
        raise CryosnakeError(f"none of {', '.join(paths)} has rows in data_{kind}; nothing is left to join. Check the "
                             "jobs that made them")
    names = [path for path, _, _ in used]
    optics, numbers = joined_optics(names, [optics for _, optics, _ in used], kind)
    tables = with_usual(names, [rows for _, _, rows in used])
    tables = [rows.assign(rlnOpticsGroup=rows["rlnOpticsGroup"].map(own).to_numpy(np.int64))
              for rows, own in zip(tables, numbers, strict=True)]
    labels = common_columns(names, tables, kind)
    rows, source = stacked(with_own_groups(names, tables, labels), labels)
    rows = rows[_kept(names, rows, source, optics, kind, options)].reset_index(drop=True)
    write_star(Path(out, _FILES[kind]), {"optics": optics, kind: rows})
    counts = " + ".join(f"{len(table):,}" for table in tables)
    print(f"{_FILES[kind]}: {len(rows):,} of {counts} {kind}, {len(optics)} optics group{'s' * (len(optics) > 1)}")
    progress(1, 1, "done")


def read_listed(path: str, kind: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the optics table and the rows of a table of movies, micrographs or particles, checked.

    Raises
    ------
    CryosnakeError
        for a table of another kind, without optics, or with rows of an optics group that it does not describe
    """
    tables = with_optics(path, read_star(path), images=False)
    if kind not in tables or _NAMES[kind] not in tables[kind].columns:
        listed = ", ".join(f"data_{name}" for name in tables)
        raise CryosnakeError(f"{path} lists no {kind} (it has {listed}, and a join of {kind} takes data_{kind} with "
                             f"{_NAMES[kind]}); connect a job that makes {kind}")
    if "optics" not in tables:
        raise CryosnakeError(f"{path} says nothing of its optics: it has neither data_optics nor columns such as "
                             "rlnVoltage and rlnDetectorPixelSize. Add data_optics (rlnOpticsGroup, rlnVoltage, "
                             "rlnSphericalAberration, rlnAmplitudeContrast and the pixel size) and the column "
                             f"rlnOpticsGroup of data_{kind}")
    if kind == "particles":  # sizes that data_optics lacks are in the stacks
        tables = with_optics(path, tables)
    return with_checked_groups(path, tables["optics"], tables[kind], kind)


def _kept(names: list[str], rows: pd.DataFrame, source: np.ndarray, optics: pd.DataFrame, kind: str,
          options: JoinStarOptions) -> np.ndarray:
    """Return which rows stay (n,), and print how many do not."""
    first = duplicates(rows, source, optics, kind)
    twice = np.flatnonzero(first != np.arange(len(rows)))
    if not len(twice):
        return np.ones(len(rows), bool)
    row, name = int(twice[0]), rows[_NAMES[kind]]
    other = int(first[row])
    said = (f"{len(twice):,} of {len(rows):,} {kind} had been listed before; the first of them is {name.iloc[row]} of "
            f"{names[source[row]]}, the same as {name.iloc[other]} of {names[source[other]]}")
    if options.duplicates != "keep_first":
        why = "count twice, and link half sets" if kind == "particles" else "be processed and count twice"
        raise CryosnakeError(f"{said}. They would {why}. Leave one of the tables out, or write the join as a job, "
                             f"{{type: joinstar, {kind}: […], duplicates: keep_first}}, which keeps the first of each")
    print(f"{said}. Left out, for duplicates: keep_first")
    return first == np.arange(len(rows))
