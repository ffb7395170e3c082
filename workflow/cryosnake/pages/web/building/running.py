"""What a run would do, starting one, its log, and stopping it."""

from __future__ import annotations

import os

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from cryosnake.errors import CryosnakeError
from cryosnake.pages.web.building.job_form import broken_config
from cryosnake.pages.web.reading.projects import working_in
from cryosnake.pages.web.serving.answers import opened_project, page
from cryosnake.pages.web.serving.forms import Form, field, posted
from cryosnake.project.building.run_preview import RunPreview, preview_run
from cryosnake.project.building.starting import run_command, start_run, stop_run
from cryosnake.project.locks.snakemake_lock import running_claim


def preview(request: Request) -> Response:
    """Answer with what a run would do, of all jobs or of those that are named."""
    opened, query = opened_project(request), request.query_params
    with working_in(opened.project):
        problem, found = broken_config(), RunPreview((), (), ())
        names = query.getlist("job")
        try:
            found = found if problem else preview_run(names)
        except CryosnakeError as error:
            problem = str(error)
        return page(opened, opened.remembered.project(), "preview.html.j2", found=found, problem=problem, names=names,
                    built=query.get("built", ""), cores=len(os.sched_getaffinity(0)), claim=running_claim(),
                    command=run_command(None, found.files))


def start(request: Request, sent: Form) -> Response:
    """Start a run, which goes on without this server."""
    opened, cores = opened_project(request), field(sent, "cores").strip()
    if cores and not (cores.isascii() and cores.isdecimal() and 1 <= int(cores) <= 4096):
        raise CryosnakeError(f"{cores} is no number of cores: write one from 1 on, or nothing for all")
    with working_in(opened.project):
        start_run(int(cores) if cores else None, sent.get("job", []))
    return RedirectResponse(opened.address("runs"), 303)


def stop(request: Request, _: Form) -> Response:
    """Ask the run in progress to stop, as Ctrl-C does."""
    opened = opened_project(request)
    with working_in(opened.project):
        stop_run()
    return RedirectResponse(opened.address("runs"), 303)


ROUTES = (
    Route("/p/{project}/preview", preview),
    Route("/p/{project}/start", posted(start), methods=["POST"]),
    Route("/p/{project}/stop", posted(stop), methods=["POST"]),
)
