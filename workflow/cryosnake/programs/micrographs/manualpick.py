"""ManualPick: a person's picks as RELION's files, of 3.1 and of 4 and 5."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cryosnake.atomic import write_text
from cryosnake.errors import CryosnakeError
from cryosnake.io.coordinates.decided import Decided, decided_file, read_decided
from cryosnake.io.coordinates.tables import PLACE
from cryosnake.io.movies import header_pixel_size
from cryosnake.io.paths import micrograph_root, usual_name
from cryosnake.io.star import read_star, write_star
from cryosnake.io.star_optics import with_optics
from cryosnake.jobs.forms import Progress
from cryosnake.jobs.options import ManualPickOptions

SUFFIX = "_manualpick.star"
_NOT_GIVEN = {"rlnClassNumber": -999, "rlnAnglePsi": -999.0, "rlnAutopickFigureOfMerit": -999.0}  # as RELION has it


@dataclass(frozen=True)
class Listed:
    """The coordinate file of a micrograph with picks, "" for one without, and whether it is selected."""

    file: str
    selected: bool


def run(options: ManualPickOptions, inputs: Mapping[str, Path], out: Path, progress: Progress) -> None:
    """Write the picks in the folder `inputs["picks"]` of the micrographs of a table.

    Raises
    ------
    CryosnakeError
        if the table lists no micrographs, none of them has picks, or a file with picks is damaged
    """
    path = inputs["micrographs"]
    tables = with_optics(path, read_star(path), images=False)
    block, rows = _table(path, tables)
    listed: list[Listed] = []
    places = 0
    for number, name in enumerate(rows["rlnMicrographName"].map(str)):
        decision = decided_file(inputs["picks"], usual_name(name))
        decided = read_decided(decision) if decision.exists() else None
        listed.append(_written(out, name, decided))
        places += len(decided.places) if listed[-1].file and decided else 0
        progress(number + 1, len(rows), name)
    chosen = np.array([bool(one.file) and one.selected for one in listed])
    if not chosen.any():
        raise CryosnakeError(f"{inputs['picks']} has no picks on selected micrographs of {path}: pick some particles "
                             "(cryosnake web --edit)")
    files = [one.file for one, is_chosen in zip(listed, chosen, strict=True) if is_chosen]
    _write_lists(out, path, tables | {block: rows}, block, chosen, files, [one.selected for one in listed])
    print(f"{places} picks on {sum(bool(one.file) for one in listed)} of {len(listed)} micrographs, "
          f"{int(chosen.sum())} of them selected")


def _table(path: Path, tables: Mapping[str, pd.DataFrame]) -> tuple[str, pd.DataFrame]:
    for block, rows in tables.items():
        if "rlnMicrographName" in rows:
            return block, rows
    raise CryosnakeError(f"{path} lists no micrographs (no rlnMicrographName); connect a job that does")


def _written(out: Path, micrograph: str, decided: Decided | None) -> Listed:
    """Write the coordinate file of a micrograph; without picks there is none, as in RELION."""
    root = micrograph_root(out, usual_name(micrograph))
    target = Path(f"{root}{SUFFIX}")
    if decided is None or not len(decided.places):
        target.unlink(missing_ok=True)
        return Listed("", decided is None or decided.selected)
    pixel_size = header_pixel_size(micrograph) if os.path.exists(micrograph) else 0.0
    target.parent.mkdir(parents=True, exist_ok=True)
    table = pd.DataFrame(decided.at(pixel_size), columns=list(PLACE)).assign(**_NOT_GIVEN)
    write_star(target, {"": table})
    return Listed(target.as_posix(), decided.selected)


def _write_lists(out: Path, source: Path, tables: Mapping[str, pd.DataFrame], block: str, chosen: np.ndarray,
                 files: list[str], ticks: list[bool]) -> None:
    names = tables[block]["rlnMicrographName"]
    selected = {"optics": tables["optics"]} if "optics" in tables else {}
    write_star(out / "micrographs_selected.star", {**selected, block: tables[block][chosen]})
    write_star(out / "local_selection.star", {"": pd.DataFrame({"rlnMicrographName": names,
                                                                "rlnSelected": np.array(ticks, int)})})
    write_text(out / f"coords_suffix{SUFFIX}", f"{source}\n")
    write_star(out / "manualpick.star", {"coordinate_files": pd.DataFrame({
        "rlnMicrographName": names[chosen].to_numpy(), "rlnMicrographCoordinates": files})})
