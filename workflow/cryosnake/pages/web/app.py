"""The addresses of the dashboard."""

from __future__ import annotations

import errno
import inspect
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path, PurePath

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from cryosnake.errors import CryosnakeError
from cryosnake.pages.document import static_names, static_text
from cryosnake.pages.web.building import builder, cleaning, job_acts, running
from cryosnake.pages.web.deciding import classes, curating, picks
from cryosnake.pages.web.reading.files import NoSuchFileError
from cryosnake.pages.web.reading.working_directory import SlowDiskError
from cryosnake.pages.web.serving.answers import opened_project, site_of
from cryosnake.pages.web.serving.guard import Access, Guard
from cryosnake.pages.web.serving.patience import PAGE, patient, patiently
from cryosnake.pages.web.serving.site import Site
from cryosnake.pages.web.views import file_pages, job_pages, project_pages

_TRIED_AGAIN = "15"  # s after a page of a slow disk
_MEDIA = {".css": "text/css", ".js": "text/javascript"}


def application(roots: Sequence[Path], access: Access) -> Guard:
    """Return the dashboard of the projects below some folders, behind its guard."""
    app = Starlette(routes=_routes(), exception_handlers={
        CryosnakeError: _refused, HTTPException: _not_there, OSError: _not_done, Exception: _failed})
    app.state.site = Site(roots, access)
    return Guard(app, access)


def _routes() -> Sequence[Route]:
    rooms = (project_pages, job_pages, file_pages, classes, curating, picks, builder, running, cleaning, job_acts)
    shown = (Route("/", project_pages.projects), *(route for room in rooms for route in room.ROUTES))
    return [Route("/static/{name}", _static), Route("/p/{project}/events", _events), *map(_patient, shown)]


def _patient(route: Route) -> Route:
    if inspect.iscoroutinefunction(route.endpoint):
        return route
    return Route(route.path, patient(route.endpoint), methods=list(route.methods or ()))


def _static(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in static_names():
        raise NoSuchFileError(f"{name}: there is no such file")
    return Response(static_text(name), media_type=_MEDIA[PurePath(name).suffix])


async def _events(request: Request) -> Response:
    opened = await patiently(PAGE, request.path_params["project"], partial(opened_project, request))
    seen = request.headers.get("last-event-id", "")
    return StreamingResponse(opened.changes.follow(seen), media_type="text/event-stream",
                             headers={"x-accel-buffering": "no"})  # a proxy must not keep events back


def _refused(request: Request, error: Exception) -> Response:
    """Answer in words where what was asked for is not there, or can't be read."""
    slow = isinstance(error, SlowDiskError)
    answer = _message(request, str(error), 404 if isinstance(error, NoSuchFileError) else 503 if slow else 409)
    if slow and request.method == "GET":
        answer.headers["refresh"] = _TRIED_AGAIN
    return answer


def _not_there(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _message(request, "There is no such page." if error.status_code == 404 else str(error.detail),
                    error.status_code)


def _not_done(request: Request, error: Exception) -> Response:
    """Answer in words where the disk refuses: full, gone, not allowed. Files are written complete or not at all."""
    assert isinstance(error, OSError)
    what = "Nothing was written, and what was there is as it was" if request.method == "POST" else "This can't be read"
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    hint = "free some space, and send it again" if full else "load the page again"
    file = f" ({PurePath(os.fsdecode(error.filename)).name})" if error.filename else ""
    return _message(request, f"{what}: {error.strerror or error}{file}; {hint}.", 507 if full else 409)


def _failed(request: Request, error: Exception) -> Response:
    return _message(request, f"This page could not be made ({type(error).__name__}: {error}). Its files may just be "
                    "changing: load it again. The project itself is not affected.", 500)


def _message(request: Request, words: str, status: int) -> Response:
    if "/image/" in request.url.path or "/events" in request.url.path:
        return PlainTextResponse(words, status)
    if request.headers.get("accept") == "application/json":  # a script that says it in its page
        return JSONResponse({"message": words}, status)
    return HTMLResponse(site_of(request).page("message.html.j2", words=words), status)
