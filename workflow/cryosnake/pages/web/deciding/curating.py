"""Curating micrographs or particles: writes what `cryosnake curate` writes, through the same functions."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from cryosnake.errors import CryosnakeError
from cryosnake.limits import ACCEPT, REJECT
from cryosnake.pages.web.reading.projects import working_in
from cryosnake.pages.web.serving.answers import opened_project, page, site_of
from cryosnake.pages.web.serving.forms import Form, field, posted
from cryosnake.pages.web.serving.site import ShownProject
from cryosnake.project.actions.curating import (
    Curated,
    curated,
    earlier_flags,
    numeric_columns,
    relion_selections,
    save,
    with_flags,
)

if TYPE_CHECKING:
    import pandas as pd

_TITLES = {"rlnAccumMotionTotal": ("motion, total", "px"), "rlnAccumMotionEarly": ("motion, early", "px"),
           "rlnAccumMotionLate": ("motion, late", "px"), "rlnDefocusU": ("defocus U", "Å"),
           "rlnDefocusV": ("defocus V", "Å"), "rlnCtfAstigmatism": ("astigmatism", "Å"),
           "rlnDefocusAngle": ("astigmatism angle", "°"), "rlnPhaseShift": ("phase shift", "°"),
           "rlnCtfMaxResolution": ("fit to", "Å"), "rlnCtfFigureOfMerit": ("figure of merit", ""),
           "rlnCtfIceRingDensity": ("ice rings", "")}
_NO_QUALITY = {"rlnOpticsGroup", "rlnClassNumber", "rlnCoordinateX", "rlnCoordinateY"}
_SIDE = {"micrographs": 240, "particles": 96}
_MOST_ROWS = 200_000
_MOST_BYTES = 2_000_000  # of a form: flags of many thousand images


def curate(request: Request) -> Response:
    """Answer with the page of what a job curates, which asks for the data by itself."""
    opened = opened_project(request)
    with working_in(opened.project):
        found = _found(request)
        return page(opened, opened.remembered.project(), "curate.html.j2", found=found)


def data(request: Request) -> Response:
    """Answer with the numbers of all rows, by columns, and with what was decided."""
    opened = opened_project(request)
    with working_in(opened.project):
        return JSONResponse(_data(opened, _found(request)))


def decide(request: Request, form: Form) -> Response:
    """Save limits and flags, if nobody else has since the page read them."""
    opened = opened_project(request)
    with working_in(opened.project):
        found = _found(request)
        if field(form, "stamp") != found.stamp:
            raise CryosnakeError(f"{found.job}: since this page was loaded, somebody else has saved. Nothing was "
                                 "written, and what you changed is still here: load the page again to see theirs")
        try:
            limits, said = json.loads(field(form, "limits")), json.loads(field(form, "flags"))
            changes = {state: [name for name, one in said.items() if one == state] for state in (ACCEPT, REJECT, "")}
            texts = {str(label): str(text) for label, text in limits.items()}
        except (ValueError, AttributeError):
            raise CryosnakeError("this form has no limits and flags") from None
        known = {*found.names, *found.curation.flags}
        strange = next((name for names in changes.values() for name in names if name not in known), "")
        if strange:
            raise CryosnakeError(f"{strange} is none of the {found.kind} in {found.table}")
        flags = found.curation.flags
        for state, names in changes.items():
            flags = with_flags(found, names, state, flags)
        save(found, texts, flags)
        return JSONResponse(_decided(_found(request)))


def _found(request: Request) -> Curated:
    found = curated(request.path_params["name"], site_of(request).tables.read)
    if len(found.rows) > _MOST_ROWS:
        raise CryosnakeError(f"{found.table} has {len(found.rows):,} rows, and a page takes {_MOST_ROWS:,}; use "
                             f"`cryosnake curate {found.job}`")
    return found


def _decided(found: Curated) -> dict[str, Any]:
    return {"stamp": found.stamp, "limits": found.limits, "flags": found.flags, "earlier": sorted(earlier_flags(found))}


def _data(opened: ShownProject, found: Curated) -> dict[str, Any]:
    limited = {label for label in found.limits if label in found.rows and found.rows[label].dtype.kind in "if"}
    labels = {*numeric_columns(found.rows)} - _NO_QUALITY | limited
    columns = [{"label": label, "title": _TITLES.get(label, (label.removeprefix("rln"), ""))[0],
                "unit": _TITLES.get(label, ("", ""))[1], "values": list(map(_number, found.rows[label].tolist()))}
               for label in sorted(labels, key=_order)]
    return {"job": found.job, "kind": found.kind, "names": list(found.names), "columns": columns,
            "images": [opened.address("image", name.rpartition("@")[2]) + _wish(found.kind, name)
                       for name in found.images],
            "spectra": _spectra(opened, found.rows), "relion": relion_selections(found), **_decided(found)}


def _order(label: str) -> tuple[int, str]:
    known = list(_TITLES)
    return (known.index(label) if label in known else len(known), label)


def _number(value: float) -> float | None:
    return float(f"{value:.7g}") if math.isfinite(value) else None


def _wish(kind: str, name: str) -> str:
    section = name.partition("@")[0] if "@" in name else ""
    words = f"section={int(section) - 1}&sigma=0" if section.isdecimal() else "lowpass=20"
    return f"?{words}&side={_SIDE[kind]}"


def _spectra(opened: ShownProject, rows: pd.DataFrame) -> list[str]:
    """Return the addresses of the power spectra beside their fits, none where the table has none."""
    if "rlnCtfImage" not in rows:
        return []
    return [f"{opened.address('image', str(name).removesuffix(':mrc'))}?sigma=3&side=240"
            for name in rows["rlnCtfImage"]]


ROUTES = (
    Route("/p/{project}/curate/{name:path}", curate),
    Route("/p/{project}/curate/{name:path}", posted(decide, _MOST_BYTES), methods=["POST"]),
    Route("/p/{project}/curated/{name:path}", data),
)
