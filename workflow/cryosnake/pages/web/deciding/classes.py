"""Choosing classes by eye: writes what `cryosnake choose` writes, through the same function."""

from __future__ import annotations

import math
from pathlib import Path

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from cryosnake.errors import CryosnakeError
from cryosnake.io.mrc_header import read_header
from cryosnake.pages.web.reading.projects import working_in
from cryosnake.pages.web.serving.answers import opened_project, page
from cryosnake.pages.web.serving.forms import Form, posted
from cryosnake.pages.web.serving.site import ShownProject
from cryosnake.project.actions.choosing import Offer, choose, offer_for

_GOOD = 0.5  # the score from which on classes are proposed


def offer(request: Request) -> Response:
    """Answer with the classes that a job can go on with, and those that it has."""
    opened = opened_project(request)
    with working_in(opened.project):
        found = offer_for(request.path_params["name"])
        written = request.query_params.get("written") == "1"
        return page(opened, opened.remembered.project(), "choose.html.j2", offer=found, before=_numbers(found.chosen),
                    pictures=_pictures(found, opened), written=written, good=_GOOD,
                    known={"resolution": any(math.isfinite(one.resolution) for one in found.classes),
                           "score": any(math.isfinite(one.score) for one in found.classes)})


def decide(request: Request, form: Form) -> Response:
    """Write a choice, if what it was made from is still as the page showed it."""
    opened = opened_project(request)
    with working_in(opened.project):
        found = offer_for(request.path_params["name"])
        if form.get("digest") != [found.choice.digest] or form.get("before", [""]) != [_numbers(found.chosen)]:
            raise CryosnakeError(f"{found.job}: since this page was loaded, its classes were made again, or somebody "
                                 "else chose. Nothing was written; open the page again to see what there is now")
        numbers = form.get("class", [])
        if not all(number.isascii() and number.isdecimal() for number in numbers):
            raise CryosnakeError("classes are given by their numbers")
        choose(found, [int(number) for number in numbers])
    return RedirectResponse(f"{opened.address('choose', found.job)}?written=1", 303)


def _numbers(chosen: tuple[int, ...]) -> str:
    return ",".join(map(str, sorted(chosen)))


def _pictures(found: Offer, opened: ShownProject) -> dict[int, str]:
    """Return the address of each class's picture: its average, or the middle slice of its map."""
    stack = next((file for file in found.choice.files if file.endswith(".mrcs")), "")
    pictures = {}
    for one in found.classes:
        name, section = stack, one.number - 1
        if not stack:
            name = next((file for file in found.choice.files if file.endswith(f"_class{one.number:03d}.mrc")), "")
            section = read_header(name).nz // 2 if name and Path(name).exists() else 0
        if name:
            pictures[one.number] = f"{opened.address('image', name)}?section={section}&sigma=0&side=160"
    return pictures


ROUTES = (
    Route("/p/{project}/choose/{name:path}", offer),
    Route("/p/{project}/choose/{name:path}", posted(decide), methods=["POST"]),
)
