"""One micrograph as its page shows it: where it stands in a table, its CTF, and its picks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cryosnake.errors import CryosnakeError
from cryosnake.pages.panels.micrographs import picked_diameter
from cryosnake.pages.web.reading.files import file_of
from cryosnake.pages.web.reading.images import shape_of
from cryosnake.pages.web.reading.pick_tables import picked_by, places_in, tables_of_jobs
from cryosnake.pages.web.reading.tables import Tables, number_of
from cryosnake.pages.web.serving.site import ShownProject

_VALUES = {"rlnDefocusU": ("defocus U", "Å"), "rlnDefocusV": ("defocus V", "Å"),
           "rlnDefocusAngle": ("astigmatism angle", "°"), "rlnCtfMaxResolution": ("fit to", "Å"),
           "rlnCtfFigureOfMerit": ("figure of merit", ""), "rlnPhaseShift": ("phase shift", "°"),
           "rlnAccumMotionTotal": ("motion", "px"), "rlnAccumMotionEarly": ("early", "px"),
           "rlnAccumMotionLate": ("late", "px")}


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
    for _, table in tables_of_jobs(root, tables, {"MotionCorr": "corrected_micrographs.star",
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
    found = picked_by(root, tables, name)
    source = query.get("picks", "") if "picks" in query else next(iter(reversed(found)), "")
    picks = _seen_places(places_in(root, found.get(source, ""))[0], height)
    diameter = number_of(query.get("diameter", "")) or _diameter(root, source)
    return SeenMicrograph(width=shape.nx, height=height, pixel_size=pixel_size, values=list(values.items()),
                          picks=picks, radius=diameter / (pixel_size or 1.0) / 2, sources=list(found), source=source,
                          before=before, after=after, spectrum=spectrum)


def _in_words(value: object) -> str:
    if not isinstance(value, int | float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _seen_places(places: np.ndarray, height: int) -> list[tuple[float, float]]:
    """Return places (n, 2) as they are seen: row 0 at the bottom, and a whole number in the middle of its pixel."""
    return [(float(x) + 0.5, height - float(y) - 0.5) for x, y in places]


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
