"""One micrograph as its page shows it: where it stands in a table, its CTF, and its picks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from cryosnake.errors import CryosnakeError
from cryosnake.io.star import read_star
from cryosnake.pages.panels.micrographs import picked_diameter
from cryosnake.pages.web.reading.files import file_of
from cryosnake.pages.web.reading.images import shape_of
from cryosnake.pages.web.reading.tables import Tables, number_of
from cryosnake.pages.web.serving.site import ShownProject
from cryosnake.pipeline.types import type_folders

_VALUES = {"rlnDefocusU": ("defocus U", "Å"), "rlnDefocusV": ("defocus V", "Å"),
           "rlnDefocusAngle": ("astigmatism angle", "°"), "rlnCtfMaxResolution": ("fit to", "Å"),
           "rlnCtfFigureOfMerit": ("figure of merit", ""), "rlnPhaseShift": ("phase shift", "°"),
           "rlnAccumMotionTotal": ("motion", "px"), "rlnAccumMotionEarly": ("early", "px"),
           "rlnAccumMotionLate": ("late", "px")}
_PICKS = {"AutoPick": "autopick.star", "ManualPick": "manualpick.star"}


@dataclass(frozen=True, kw_only=True)
class SeenMicrograph:
    """A micrograph: its sides in px, values in words, and circles (x, y) in px of the picture, row 0 at the bottom."""

    width: int
    height: int
    pixel_size: float
    values: list[tuple[str, str]]
    picks: list[tuple[float, float]]
    radius: float
    sources: list[str]  # jobs that picked on it
    source: str
    before: str  # the names of its neighbours in the table
    after: str
    spectrum: str  # the file of its power spectrum beside the fit, "" without one


def seen_micrograph(opened: ShownProject, tables: Tables, name: str, path: Path,
                    query: Mapping[str, str]) -> SeenMicrograph:
    """Return what is known of a micrograph; tables that can't be read count for nothing."""
    shape = shape_of(path)
    height, pixel_size = shape.ny, shape.pixel_size
    values: dict[str, str] = {}
    before, after, spectrum = "", "", ""
    root = opened.project.root
    for _, table in _tables(root, tables, {"MotionCorr": "corrected_micrographs.star",
                                           "CtfFind": "micrographs_ctf.star"}, "micrographs"):
        rows = table.index[table["rlnMicrographName"] == name]
        if not len(rows):
            continue
        row, names = table.loc[rows[0]], table["rlnMicrographName"]
        values |= {label: f"{_in_words(row[key])} {unit}".rstrip() for key, (label, unit) in _VALUES.items()
                   if key in table}
        before = names[rows[0] - 1] if rows[0] > 0 else ""
        after = names[rows[0] + 1] if rows[0] + 1 < len(names) else ""
        image = str(row.get("rlnCtfImage", "")).removesuffix(":mrc")
        spectrum = image if image and _exists(root, image) else spectrum
    found = {job: str(table.loc[table["rlnMicrographName"] == name, "rlnMicrographCoordinates"].iloc[0])
             for job, table in _tables(root, tables, _PICKS, "coordinate_files")
             if "rlnMicrographCoordinates" in table and (table["rlnMicrographName"] == name).any()}
    source = query.get("picks", "") if "picks" in query else next(iter(reversed(found)), "")
    picks = _picks(root, found.get(source, ""), height)
    diameter = number_of(query.get("diameter", "")) or _diameter(root, source)
    return SeenMicrograph(width=shape.nx, height=height, pixel_size=pixel_size, values=list(values.items()),
                          picks=picks, radius=diameter / (pixel_size or 1.0) / 2, sources=list(found), source=source,
                          before=before, after=after, spectrum=spectrum)


def _in_words(value: object) -> str:
    if not isinstance(value, int | float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _tables(root: Path, tables: Tables, names: Mapping[str, str], block: str) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield each job's table of micrographs, in the order of the jobs' numbers."""
    for path in sorted((path for folder, name in names.items() if folder in type_folders()
                        for path in root.glob(f"{folder}/job[0-9]*/{name}") if not path.parent.is_symlink()),
                       key=lambda path: path.parent.name):
        try:
            found = tables.read(path)
        except (CryosnakeError, OSError):
            continue
        table = found.get(block, found.get(""))
        if table is not None and "rlnMicrographName" in table:
            yield str(path.parent.relative_to(root)), table


def _picks(root: Path, name: str, height: int) -> list[tuple[float, float]]:
    try:
        table = next(iter(read_star(file_of(root, name)).values())) if name else pd.DataFrame()
    except (CryosnakeError, OSError, StopIteration):
        return []
    if "rlnCoordinateX" not in table:
        return []
    places = zip(table["rlnCoordinateX"], table["rlnCoordinateY"], strict=True)
    return [(float(x), height - float(y)) for x, y in places]


def _diameter(root: Path, job: str) -> float:
    from cryosnake.project.records.record import read_record

    try:
        record = read_record(root / job) if job else None
    except CryosnakeError:
        record = None
    return picked_diameter(record.parameters if record else {})


def _exists(root: Path, name: str) -> bool:
    try:
        return bool(file_of(root, name))
    except CryosnakeError:
        return False
