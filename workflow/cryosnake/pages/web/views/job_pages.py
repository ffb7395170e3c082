"""The page of a job, and the files that it offers."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from cryosnake.pages.web.reading.files import NoSuchFileError, file_of
from cryosnake.pages.web.reading.projects import working_in
from cryosnake.pages.web.serving.answers import opened_project, page
from cryosnake.project.actions.job_details import log_tail
from cryosnake.project.actions.notes import note_stamp

_LOG_LINES = 200
_CHOSEN_FROM = ("Class2D", "Class3D")


def job(request: Request) -> Response:
    """Answer with all about one job: panels, map, files, log, times."""
    opened = opened_project(request)
    with working_in(opened.project):
        facts = opened.remembered.project()
        name = request.path_params["name"].rstrip("/")
        found = next((job for job in facts.jobs if name in (job.path, job.process.alias.rstrip("/"))), None)
        if found is None:
            raise NoSuchFileError(f"{name}: there is no such job in this project")
        shown = opened.remembered.shown(facts, found)
        return page(opened, facts, "job.html.j2", job=found, shown_job=shown, log=log_tail(found.path, _LOG_LINES),
                    errors=log_tail(found.path, _LOG_LINES, error=True),
                    picks=found.process.folder == "ManualPick",
                    done=request.query_params.get("done", ""), note_stamp=note_stamp(found.path),
                    curates=found.process.folder == "Curate" or bool(found.view().values.get("curate")),
                    chooses=found.process.folder in _CHOSEN_FROM and found.state == "succeeded")


def download(request: Request) -> Response:
    """Answer with a file of the project as it is, to be saved."""
    opened = opened_project(request)
    path = file_of(opened.project.root, request.path_params["name"])
    return FileResponse(path, media_type="application/octet-stream", filename=path.name)


ROUTES = (
    Route("/p/{project}/job/{name:path}", job),
    Route("/p/{project}/file/{name:path}", download),
)
