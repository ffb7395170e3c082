"""The addresses of the dashboard."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from cryosnake.errors import CryosnakeError
from cryosnake.pages.document import static_text
from cryosnake.pages.web import choosing_pages, file_pages, job_pages, project_pages
from cryosnake.pages.web.files import NoSuchFileError
from cryosnake.pages.web.guard import Access, Guard
from cryosnake.pages.web.project_pages import opened_project
from cryosnake.pages.web.site import Site

_STATIC = {"page.css": "text/css", "web.css": "text/css", "map_viewer.js": "text/javascript",
           "page.js": "text/javascript", "web.js": "text/javascript"}


def application(roots: Sequence[Path], access: Access) -> Guard:
    """Return the dashboard of the projects below some folders, behind its guard."""
    app = Starlette(routes=_routes(), exception_handlers={
        CryosnakeError: _refused, HTTPException: _not_there, Exception: _failed})
    app.state.site = Site(roots, access)
    return Guard(app, access)


def _routes() -> Sequence[BaseRoute]:
    project = "/p/{project}"
    return [
        Route("/", project_pages.projects),
        Route("/static/{name}", _static),
        Route(f"{project}/overview", project_pages.overview),
        Route(f"{project}/runs", project_pages.runs),
        Route(f"{project}/space", project_pages.space),
        Route(f"{project}/events", _events),
        Route(f"{project}/job/{{name:path}}", job_pages.job),
        Route(f"{project}/choose/{{name:path}}", choosing_pages.offer),
        Route(f"{project}/choose/{{name:path}}", choosing_pages.decide, methods=["POST"]),
        Route(f"{project}/file/{{name:path}}", job_pages.download),
        Route(f"{project}/view/{{name:path}}", file_pages.view),
        Route(f"{project}/image/{{name:path}}", file_pages.image),
    ]


def _static(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in _STATIC:
        raise NoSuchFileError(f"{name}: there is no such file")
    return Response(static_text(name), media_type=_STATIC[name])


async def _events(request: Request) -> Response:
    opened = opened_project(request)
    seen = request.headers.get("last-event-id", "")
    return StreamingResponse(opened.changes.follow(seen), media_type="text/event-stream",
                             headers={"x-accel-buffering": "no"})  # a proxy must not keep events back


def _refused(request: Request, error: Exception) -> Response:
    """Answer in words where what was asked for is not there, or can't be read."""
    return _message(request, str(error), 404 if isinstance(error, NoSuchFileError) else 409)


def _not_there(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _message(request, "There is no such page." if error.status_code == 404 else str(error.detail),
                    error.status_code)


def _failed(request: Request, error: Exception) -> Response:
    return _message(request, f"This page could not be made ({type(error).__name__}: {error}). Its files may just be "
                    "changing: load it again. The project itself is not affected.", 500)


def _message(request: Request, words: str, status: int) -> Response:
    if "/image/" in request.url.path or "/events" in request.url.path:
        return PlainTextResponse(words, status)
    site: Site = request.app.state.site
    return HTMLResponse(site.page("message.html.j2", words=words), status)
