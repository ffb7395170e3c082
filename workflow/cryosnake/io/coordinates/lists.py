"""Lists of coordinate files by micrograph: of RELION 4 and 5 (data_coordinate_files), and of 3.1 (coords_suffix)."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd

from cryosnake.errors import CryosnakeError
from cryosnake.io.paths import post_name
from cryosnake.io.star import read_star
from cryosnake.star_tokens import read_text

_SUFFIX = "coords_suffix_"  # begins the name of RELION 3.1's list of coordinates
_COLUMNS = {"rlnMicrographName", "rlnMicrographCoordinates"}


def is_list(path: Path) -> bool:
    """Whether a file lists coordinate files, and is none itself."""
    return path.name.startswith(_SUFFIX) or (path.suffix == ".star" and path.is_file() and "coordinate_files" in
                                             read_text(path, "replace"))


def listed_coordinates(path: Path) -> dict[str, str]:
    """Return the coordinate file of each micrograph of a list, by the micrograph's name.

    Raises
    ------
    CryosnakeError
        if it is no such list, or the table of micrographs that one of RELION 3.1 names is missing
    """
    if path.name.startswith(_SUFFIX):
        return _listed_by_suffix(path)
    table = read_star(path).get("coordinate_files", pd.DataFrame())
    if not _COLUMNS <= set(table.columns):
        raise CryosnakeError(f"{path}: no data_coordinate_files with rlnMicrographName and "
                             "rlnMicrographCoordinates; connect manualpick.star of a ManualPick job (or connect "
                             "particles to `particles`)")
    return dict(zip(table["rlnMicrographName"].map(str), table["rlnMicrographCoordinates"].map(str), strict=True))


def _listed_by_suffix(path: Path) -> dict[str, str]:
    """Return the files of RELION 3.1: beside its list, named after each micrograph of the table that the list names."""
    suffix = path.name.removeprefix(_SUFFIX.rstrip("_"))
    table_name = Path(read_text(path).strip())
    if not table_name.is_file():
        raise CryosnakeError(f"{path} names the micrographs of {table_name}, which does not exist; run the job that "
                             "makes it again")
    names = next((table["rlnMicrographName"].map(str) for table in read_star(table_name).values()
                  if "rlnMicrographName" in table), pd.Series([], dtype=str))
    stems = {name: os.path.splitext(post_name(name))[0] for name in names}
    present = _files_below(path.parent, {os.path.dirname(stem) for stem in stems.values()})
    return {name: str(path.parent / f"{stem}{suffix}") for name, stem in stems.items() if f"{stem}{suffix}" in present}


def _files_below(folder: Path, folders: set[str]) -> set[str]:
    """Return the files in some folders below another, with one look at each folder."""
    found = set()
    for name in folders:
        place = folder / name
        found |= {os.path.join(name, file) for file in (os.listdir(place) if place.is_dir() else ())}
    return found
