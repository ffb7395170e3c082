"""Jobs that say something of each micrograph, and what they picked on one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from cryosnake.errors import CryosnakeError
from cryosnake.io.star import read_star
from cryosnake.pages.web.reading.files import file_of
from cryosnake.pages.web.reading.tables import Tables
from cryosnake.pipeline.model import job_number
from cryosnake.pipeline.types import type_folders

PICKING = {"AutoPick": "autopick.star", "ManualPick": "manualpick.star"}  # what lists the coordinate files
MERIT = "rlnAutopickFigureOfMerit"


def tables_of_jobs(root: Path, tables: Tables, names: Mapping[str, str], block: str,
                   ) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield each job with its table of micrographs, in the order of the jobs' numbers; `names` are files by folder."""
    for path in sorted((path for folder, name in names.items() if folder in type_folders()
                        for path in root.glob(f"{folder}/job[0-9]*/{name}") if not path.parent.is_symlink()),
                       key=lambda path: job_number(path.parent.name) or 0):
        try:
            found = tables.read(path)
        except (CryosnakeError, OSError):
            continue
        table = found.get(block, found.get(""))
        if table is not None and "rlnMicrographName" in table:
            yield str(path.parent.relative_to(root)), table


def picked_by(root: Path, tables: Tables, micrograph: str) -> dict[str, str]:
    """Return the coordinate file of a micrograph by job, for the jobs that picked on it."""
    return {job: str(table.loc[table["rlnMicrographName"] == micrograph, "rlnMicrographCoordinates"].iloc[0])
            for job, table in tables_of_jobs(root, tables, PICKING, "coordinate_files")
            if "rlnMicrographCoordinates" in table and (table["rlnMicrographName"] == micrograph).any()}


def places_in(root: Path, name: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Return places (n, 2) in px from the first row and column, and their figures of merit (n,) where there are some.

    A file that is not there or can't be read has none.
    """
    none = np.empty((0, 2))
    try:
        table = next(iter(read_star(file_of(root, name)).values())) if name else pd.DataFrame()
    except (CryosnakeError, OSError, StopIteration):
        return none, None
    if not {"rlnCoordinateX", "rlnCoordinateY"} <= set(table):
        return none, None
    places = table[["rlnCoordinateX", "rlnCoordinateY"]].to_numpy(float)
    merits = table[MERIT].to_numpy(float) if MERIT in table else None
    return places, merits if merits is not None and len(set(merits)) > 1 else None
