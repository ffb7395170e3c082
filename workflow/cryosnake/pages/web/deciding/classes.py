"""Choosing classes by eye: writes what `cryosnake choose` writes, through the same functions."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from cryosnake.errors import CryosnakeError
from cryosnake.io.mrc import read_mrc
from cryosnake.io.mrc_header import read_header
from cryosnake.pages.blocks.panel import Panel
from cryosnake.pages.blocks.volumes import Volume, volume_of
from cryosnake.pages.panels import one_class
from cryosnake.pages.web.reading.files import NoSuchFileError, file_of
from cryosnake.pages.web.reading.projects import working_in
from cryosnake.pages.web.serving.answers import opened_project, page
from cryosnake.pages.web.serving.forms import Form, field, posted
from cryosnake.pages.web.serving.site import ShownProject
from cryosnake.project.actions.choosing import Offer, choice_in_relion, choose, offer_for

_GOOD = 0.5  # the score from which on classes are proposed
_GROUPS = 20  # RELION's proposal


def offer(request: Request) -> Response:
    """Answer with the classes that a job can go on with, and those that it has."""
    opened = opened_project(request)
    with working_in(opened.project):
        found = offer_for(request.path_params["name"])
        taken = request.query_params.get("from", "")
        ticked = choice_in_relion(found, taken).classes if taken else found.chosen
        written = request.query_params.get("written") == "1"
        pictures = {one.number: address for one in found.classes if (address := _picture(found, opened, one.number))}
        return page(opened, opened.remembered.project(), "choose.html.j2", offer=found, before=_numbers(found.chosen),
                    ticked=ticked, taken=taken, pictures=pictures, written=written, good=_GOOD, groups=_GROUPS,
                    stamp=_stamp(found), limits=_limits(found))


def one(request: Request) -> Response:
    """Answer with one class alone: a large picture, or a map to turn with its slices, and its curves."""
    opened = opened_project(request)
    with working_in(opened.project):
        found = offer_for(request.path_params["name"])
        text = request.query_params.get("number", "")
        shown = next((one for one in found.classes if str(one.number) == text), None)
        if shown is None:
            raise NoSuchFileError(f"{found.choice.made_on} has no class {text}")
        path = _map_of(found, shown.number)
        return page(opened, opened.remembered.project(), "class.html.j2", offer=found, one=shown,
                    picture=_picture(found, opened, shown.number, side=768) if not path else "",
                    volume=_volume(opened, path) if path else None, panels=_panels(opened, found, shown.number, path))


def decide(request: Request, form: Form) -> Response:
    """Write a choice, if what it was made from is still as the page showed it."""
    opened = opened_project(request)
    with working_in(opened.project):
        found = offer_for(request.path_params["name"])
        made_from = [field(form, "digest"), field(form, "before"), field(form, "stamp", _stamp(found))]
        if made_from != [found.choice.digest, _numbers(found.chosen), _stamp(found)]:
            raise CryosnakeError(f"{found.job}: since this page was loaded, its classes were made again, or somebody "
                                 "else chose. Nothing was written; open the page again to see what there is now")
        numbers = form.get("class", [])
        if not all(number.isascii() and number.isdecimal() for number in numbers):
            raise CryosnakeError("classes are given by their numbers")
        choose(found, [int(number) for number in numbers], _settings(found, form) if "stamp" in form else {})
    return RedirectResponse(f"{opened.address('choose', found.job)}?written=1", 303)


def _settings(found: Offer, form: Form) -> dict[str, Any]:
    """Return what the form says of recentring and groups."""
    groups = field(form, "groups", str(_GROUPS))
    if "regroup" in form and not (groups.isascii() and groups.isdecimal() and 1 <= int(groups) <= 999):
        raise CryosnakeError(f"{groups or 'nothing'} is no number of groups: write one from 1 to 999")
    given = {"recenter": "recenter" in form, "regroup": int(groups) if "regroup" in form else None}
    return {name: given[name] for name in found.settings}


def _stamp(found: Offer) -> str:
    return json.dumps(dict(found.settings), sort_keys=True)


def _numbers(chosen: tuple[int, ...]) -> str:
    return ",".join(map(str, sorted(chosen)))


def _limits(found: Offer) -> dict[str, tuple[float, float]]:
    """Return between which values each proposal's slider moves; only of what is known."""
    values = {name: [value for one in found.classes if one.share and math.isfinite(value := getattr(one, name))
                     and abs(value) < 900] for name in ("share", "resolution", "score")}
    return {name: (min(known), max(known)) for name, known in values.items() if known}


def _picture(found: Offer, opened: ShownProject, number: int, side: int = 160) -> str:
    """Return the address of a class's picture: its average, or the middle slice of its map; "" without one."""
    stack = next((file for file in found.files if file.endswith(".mrcs")), "")
    name, section = stack or _map_of(found, number), number - 1
    if not stack and name:
        section = read_header(name).nz // 2 if Path(name).exists() else 0
    return f"{opened.address('image', name)}?section={section}&sigma=0&side={side}" if name else ""


def _map_of(found: Offer, number: int) -> str:
    """Return the map of a class, "" for 2D classes."""
    return next((file for file in found.files if file.endswith(f"_class{number:03d}.mrc")), "")


def _volume(opened: ShownProject, path: str) -> Volume | None:
    try:
        return volume_of(path, *read_mrc(file_of(opened.project.root, path)))
    except (CryosnakeError, ValueError):  # an empty class has no density; its slices are shown all the same
        return None


def _panels(opened: ShownProject, found: Offer, number: int, path: str) -> list[Panel]:
    """Return what else there is to see of a class; what can't be read is left out."""
    model = next((file for file in found.files if file.endswith("_model.star")), "")
    job = next((job for job in opened.remembered.project().jobs if job.path == found.choice.made_on), None)
    symmetry = str(job.view().values.get("symmetry") or "C1") if job else "C1"
    draws: list[Callable[[], Panel | None]] = [partial(one_class.seen_from, found.choice.particles, number, symmetry)]
    draws += [partial(one_class.signal, model, number)] if model else []
    draws += [partial(one_class.slices, path)] if path else []
    panels = []
    for draw in reversed(draws):
        try:
            panels.append(draw())
        except (CryosnakeError, OSError, ValueError, KeyError):
            continue
    return [panel for panel in panels if panel is not None]


ROUTES = (
    Route("/p/{project}/choose/{name:path}", offer),
    Route("/p/{project}/choose/{name:path}", posted(decide), methods=["POST"]),
    Route("/p/{project}/class/{name:path}", one),
)
