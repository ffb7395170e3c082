"""`view`: any STAR file, image, stack, map or text of a project, as RELION's Display shows them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from cryosnake.errors import CryosnakeError
from cryosnake.pages.blocks.charts import Chart, histogram
from cryosnake.pages.blocks.volumes import volume_of
from cryosnake.pages.web.reading.files import IMAGES, file_of
from cryosnake.pages.web.reading.images import Wish, shape_of, wish_of
from cryosnake.pages.web.reading.projects import working_in
from cryosnake.pages.web.reading.tables import Wanted, fitting, is_numeric, page_of, wanted_of
from cryosnake.pages.web.serving.answers import opened_project, page, site_of
from cryosnake.pages.web.serving.site import ShownProject
from cryosnake.pages.web.views.micrographs import seen_micrograph

_MOST_TEXT = 200_000  # bytes of the end of a text
_SECTIONS = 40  # of a page of a stack
_MICROGRAPH, _STACK = Wish(low_pass=20.0), Wish(sigma=0.0)  # particles can be seen; averages are not bell-shaped


def view(request: Request) -> Response:
    """Answer with the page of a file, by its kind."""
    opened = opened_project(request)
    name = request.path_params["name"]
    image = Path(name).suffix.lower() in IMAGES
    path = file_of(opened.project.root, name, through_links=image)
    show = _image if image else _table if path.suffix.lower() == ".star" else _text
    template, content = show(request, opened, name, path)
    with working_in(opened.project):
        return page(opened, opened.remembered.project(), template, name=name, path=path, size=path.stat().st_size,
                    **content)


def image(request: Request) -> Response:
    """Answer with a picture of an image, a section or a slice."""
    path = file_of(opened_project(request).project.root, request.path_params["name"], through_links=True)
    return Response(site_of(request).images.picture(path, wish_of(request.query_params)), media_type="image/png")


def _table(request: Request, _: ShownProject, name: str, path: Path) -> tuple[str, dict[str, Any]]:
    tables = site_of(request).tables.read(path)
    block = request.query_params.get("block", "")
    if block not in tables:
        block = max(tables, key=lambda one: len(tables[one]), default="")
    if not tables:
        return "text.html.j2", {"text": "", "cut": False}
    table, wanted = tables[block], wanted_of(request.query_params)
    shown = page_of(table, wanted)

    def again(**changed: object) -> str:
        """Return this page's address with other wishes."""
        kept = {**dict(request.query_params), **changed}
        return "?" + urlencode({key: value for key, value in kept.items() if value not in ("", None)})

    return "table.html.j2", {"tables": tables, "block": block, "table": shown, "wanted": wanted, "again": again,
                             "chart": _chart(table, wanted), "named": _file_named}


def _file_named(cell: str) -> str:
    """Return the file of the project that a cell names ("000001@Extract/job005/a.mrcs"), "" if it looks like none."""
    name = cell.rpartition("@")[2].removesuffix(":mrc")
    return name if "/" in name[1:] and name[0] != "/" and Path(name).suffix else ""


def _chart(table: Any, wanted: Wanted) -> Chart | None:
    """Return the histogram of the column that is sorted or cut by."""
    column = next((one for one in (wanted.column, wanted.sort) if one in table.columns), "")
    if not column or not is_numeric(table, column) or not len(table):
        return None
    kept = fitting(table, wanted)[column].to_numpy(float)
    left = table[column].drop(fitting(table, wanted).index).to_numpy(float)
    groups = [("shown", kept, 0)] + ([("not shown", left, 3)] if len(left) else [])
    return histogram(column.removeprefix("rln"), column.removeprefix("rln"), groups, y_label="rows")


def _image(request: Request, opened: ShownProject, name: str, path: Path) -> tuple[str, dict[str, Any]]:
    shape, query = shape_of(path), request.query_params
    if shape.nz == 1:
        seen = seen_micrograph(opened, site_of(request).tables, name, path, query)
        return "micrograph.html.j2", {"wish": wish_of(query, _MICROGRAPH), "seen": seen}
    wish = wish_of(query, _STACK)
    cube = shape.nx == shape.ny == shape.nz and path.suffix.lower() in (".mrc", ".map")
    first = min(wish.section, shape.nz - 1) // _SECTIONS * _SECTIONS
    content: dict[str, Any] = {"wish": wish, "shape": shape, "first": first, "cube": cube,
                               "sections": range(first, min(first + _SECTIONS, shape.nz)), "step": _SECTIONS,
                               "volume": None}
    if cube and shape.nx <= 512:
        content["volume"] = _volume(name, path)
    return "stack.html.j2", content


def _volume(name: str, path: Path) -> Any:
    from cryosnake.io.mrc import read_mrc

    try:
        density, pixel_size = read_mrc(path)
        return volume_of(name, density, pixel_size)
    except (CryosnakeError, ValueError):  # a mask of zeros, a map without density: its slices are shown all the same
        return None


def _text(request: Request, _: ShownProject, name: str, path: Path) -> tuple[str, dict[str, Any]]:
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        file.seek(max(0, size - _MOST_TEXT))
        data = file.read(_MOST_TEXT)
    text = None if b"\0" in data else data.decode(errors="replace")
    return "text.html.j2", {"text": text, "cut": text is not None and size > _MOST_TEXT}


ROUTES = (
    Route("/p/{project}/view/{name:path}", view),
    Route("/p/{project}/image/{name:path}", image),
)
