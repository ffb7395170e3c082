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
from cryosnake.pages.web.views.motion_tracks import Tracks, motion_tracks

_VALUES = {"rlnDefocusU": ("defocus U", "Å"), "rlnDefocusV": ("defocus V", "Å"),
           "rlnDefocusAngle": ("astigmatism angle", "°"), "rlnCtfMaxResolution": ("fit to", "Å"),
           "rlnCtfFigureOfMerit": ("figure of merit", ""), "rlnPhaseShift": ("phase shift", "°"),
           "rlnAccumMotionTotal": ("motion", "px"), "rlnAccumMotionEarly": ("early", "px"),
           "rlnAccumMotionLate": ("late", "px")}


@dataclass(frozen=True, kw_only=True)
class SeenPicks:
    """The picks of a job: places (x, y) in px of the picture, row 0 at the bottom."""

    job: str = ""
    places: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, kw_only=True)
class SeenMicrograph:
    """A micrograph: its sides in px, values in words, and what is drawn over it."""

    width: int
    height: int
    pixel_size: float
    values: list[tuple[str, str]]
    picks: SeenPicks
    others: SeenPicks  # of a second job, in another shape
    agreement: str  # of these two, in words
    tracks: Tracks | None
    radius: float
    sources: list[str]  # jobs that picked on it
    by_hand: list[str]  # jobs of the config for which a person can pick on it
    before: str  # the names of its neighbours in the table
    after: str
    spectrum: str  # the file of its power spectrum beside the fit, "" without one


@dataclass(frozen=True, kw_only=True)
class _Known:
    """What tables say of a micrograph; names of files are "" where there are none."""

    values: dict[str, str]
    before: str = ""
    after: str = ""
    spectrum: str = ""
    metadata: str = ""


def seen_micrograph(opened: ShownProject, tables: Tables, name: str, path: Path,
                    query: Mapping[str, str]) -> SeenMicrograph:
    """Return what is known of a micrograph; tables that can't be read count for nothing."""
    shape, root = shape_of(path), opened.project.root
    known, found = _known(root, tables, name), picked_by(root, tables, name)
    source = query.get("picks", "") if "picks" in query else next(iter(reversed(found)), "")
    second = query.get("with", "")
    places, others = (places_in(root, found.get(job, ""))[0] for job in (source, second))
    radius = (number_of(query.get("diameter", "")) or _diameter(root, source)) / (shape.pixel_size or 1.0) / 2
    tracks = None
    if query.get("tracks") == "1" and known.metadata:
        tracks = motion_tracks(file_of(root, known.metadata), (shape.ny, shape.nx))
    return SeenMicrograph(
        width=shape.nx, height=shape.ny, pixel_size=shape.pixel_size, values=list(known.values.items()), radius=radius,
        picks=SeenPicks(job=source, places=_seen_places(places, shape.ny)),
        others=SeenPicks(job=second, places=_seen_places(others, shape.ny)),
        agreement=_agreement(source, places, second, others, radius) if second in found else "",
        tracks=tracks, sources=list(found), by_hand=_by_hand(root), before=known.before, after=known.after,
        spectrum=known.spectrum)


def _known(root: Path, tables: Tables, name: str) -> _Known:
    known = _Known(values={})
    for _, table in tables_of_jobs(root, tables, {"MotionCorr": "corrected_micrographs.star",
                                                  "CtfFind": "micrographs_ctf.star"}, "micrographs"):
        rows = table.index[table["rlnMicrographName"] == name]
        if not len(rows):
            continue
        row, names = table.loc[rows[0]], table["rlnMicrographName"]
        values = {label: f"{_in_words(row[key])} {unit}".rstrip() for key, (label, unit) in _VALUES.items()
                  if key in table}
        image = str(row.get("rlnCtfImage", "")).removesuffix(":mrc")
        metadata = str(row.get("rlnMicrographMetadata", ""))
        known = _Known(values=known.values | values, before=names[rows[0] - 1] if rows[0] > 0 else "",
                       after=names[rows[0] + 1] if rows[0] + 1 < len(names) else "",
                       spectrum=image if image and _exists(root, image) else known.spectrum,
                       metadata=metadata if metadata and _exists(root, metadata) else known.metadata)
    return known


def _agreement(one: str, places: np.ndarray, other: str, others: np.ndarray, radius: float) -> str:
    """Return in words how many of two jobs' picks (n, 2) are the same: each the other's nearest, within a radius."""
    from scipy.spatial import cKDTree

    same = 0
    if len(places) and len(others):
        far, nearest = cKDTree(others).query(places)
        _, back = cKDTree(places).query(others)
        same = int(((back[nearest] == np.arange(len(places))) & (far <= radius)).sum())
    return f"{same:,} picks of both; {len(places) - same:,} only of {one}, {len(others) - same:,} only of {other}"


def _by_hand(root: Path) -> list[str]:
    """Return the jobs of the config that a person picks for."""
    from cryosnake.project.config.reading import read_config_file

    try:
        jobs = read_config_file(str(root / "config.yaml")).get("jobs")
    except (CryosnakeError, OSError):
        return []
    return [str(name) for name, job in (jobs or {}).items()
            if isinstance(job, dict) and job.get("type") == "manualpick"]


def _in_words(value: object) -> str:
    if not isinstance(value, int | float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _seen_places(places: np.ndarray, height: int) -> tuple[tuple[float, float], ...]:
    """Return places (n, 2) as they are seen: row 0 at the bottom, and a whole number in the middle of its pixel."""
    return tuple((float(x) + 0.5, height - float(y) - 0.5) for x, y in places)


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
