"""Picking by hand: the page, what its script asks for, and saving, as `cryosnake pick` saves."""

from __future__ import annotations

from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from cryosnake.errors import CryosnakeError
from cryosnake.pages.web.deciding.after_picking import jobs_after_picking
from cryosnake.pages.web.reading.images import Wish, wish_of
from cryosnake.pages.web.reading.pick_tables import picked_by, places_in
from cryosnake.pages.web.reading.projects import working_in
from cryosnake.pages.web.serving.answers import opened_project, page, site_of
from cryosnake.pages.web.serving.forms import Form, field, posted
from cryosnake.pages.web.serving.site import ShownProject
from cryosnake.project.actions.picking import PickingOffer, Picks, picking_offer, picks_on, save_picks
from cryosnake.project.actions.picking_job import picking_job
from cryosnake.project.building.config_jobs import add_job
from cryosnake.project.config.text_edits import config_stamp

_USUAL = Wish(low_pass=20.0)
_MOST_BYTES = 1_000_000  # of a form: 10,000 picks and more
ENOUGH = 150  # picks to train with


def picking(request: Request) -> Response:
    """Answer with the page to pick on; its script asks for the rest."""
    opened, query = opened_project(request), request.query_params
    with working_in(opened.project):
        found = picking_offer(request.path_params["name"])
        names = [one.name for one in found.micrographs]
        first = query.get("micrograph", "")
        facts = opened.remembered.project()
        after = jobs_after_picking(found, {job.process.short_alias: job for job in facts.jobs})
        return page(opened, facts, "pick.html.j2", offer=found, first=first if first in names else "", enough=ENOUGH,
                    wish=wish_of(query, _USUAL), after=after, stamp=config_stamp())


def picks(request: Request) -> Response:
    """Answer with the picks on one micrograph, or with the list of all of them, for the page's script."""
    opened, name = opened_project(request), request.query_params.get("micrograph", "")
    with working_in(opened.project):
        if not name:
            return JSONResponse(_listed(picking_offer(request.path_params["name"])))
        found = picks_on(picking_job(request.path_params["name"]), name)
        return JSONResponse(_in_page(request, opened, found))


def save(request: Request, form: Form) -> Response:
    """Save the picks on one micrograph, if they are still what the page was made from."""
    opened, name = opened_project(request), field(form, "micrograph")
    with working_in(opened.project):
        saved = save_picks(request.path_params["name"], name, _places(field(form, "places")), field(form, "stamp"),
                           selected=field(form, "selected", "1") == "1")
        return JSONResponse({"stamp": saved.stamp, "remark": saved.remark, "path": str(saved.path)})


def train(request: Request, form: Form) -> Response:
    """Add the jobs that learn from the picks, and pick with what was learned, to config.yaml."""
    opened = opened_project(request)
    with working_in(opened.project):
        found = picking_offer(request.path_params["name"])
        stamp: str | None = field(form, "stamp")
        for job in jobs_after_picking(found, {}):
            if not job.there:
                add_job(job.name, job.type, job.values, made_from=stamp)
                stamp = None  # the next is made from what this one wrote
    return RedirectResponse(f"{opened.address('pick', found.job)}#train", 303)


def _listed(found: PickingOffer) -> dict[str, Any]:
    return {"remark": found.remark, "directory": found.directory, "micrographs": [
        [one.name, one.picks, one.origin, one.earlier, one.selected] for one in found.micrographs]}


def _in_page(request: Request, opened: ShownProject, found: Picks) -> dict[str, Any]:
    frame, sources = found.frame, []
    for job, path in picked_by(opened.project.root, site_of(request).tables, frame.micrograph).items():
        places, merits = places_in(opened.project.root, path)
        sources.append({"job": job, "places": places.round(2).tolist(),
                        "merits": None if merits is None else merits.round(4).tolist()})
    return {"micrograph": frame.micrograph, "width": frame.width, "height": frame.height,
            "pixelSize": frame.pixel_size, "places": found.places.round(4).tolist(), "stamp": found.stamp,
            "origin": found.origin, "earlier": found.earlier, "selected": found.selected, "sources": sources,
            "image": opened.address("image", frame.micrograph), "view": opened.address("view", frame.micrograph)}


def _places(text: str) -> np.ndarray:
    """Return places (n, 2) from "x,y x,y"."""
    try:
        return np.array([[float(x), float(y)] for x, y in (place.split(",") for place in text.split())]).reshape(-1, 2)
    except ValueError:
        raise CryosnakeError("places are written as x,y; nothing was saved") from None


ROUTES = (
    Route("/p/{project}/pick/{name:path}", picking),
    Route("/p/{project}/picks/{name:path}", picks),
    Route("/p/{project}/pick/{name:path}", posted(save, _MOST_BYTES), methods=["POST"]),
    Route("/p/{project}/train/{name:path}", posted(train), methods=["POST"]),
)
