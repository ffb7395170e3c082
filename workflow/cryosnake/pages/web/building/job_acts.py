"""What a user does to a job from its page: marks, alias, note, abort, continue, retry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from cryosnake.errors import CryosnakeError
from cryosnake.pages.web.reading.projects import working_in
from cryosnake.pages.web.serving.answers import opened_project
from cryosnake.pages.web.serving.forms import Form, field, posted
from cryosnake.pipeline.find_process import find_job
from cryosnake.pipeline.model import Process
from cryosnake.project.actions.continuing import continue_with_iterations
from cryosnake.project.actions.job_actions import give_alias, mark, request_abort
from cryosnake.project.actions.notes import replace_note
from cryosnake.project.actions.retry import retry_failed


def act(request: Request, sent: Form) -> Response:
    """Do one thing to a job, and show its page again with what was done."""
    opened = opened_project(request)
    with working_in(opened.project):
        process = find_job(request.path_params["name"])
        what = field(sent, "do")
        if what not in _ACTS:
            raise CryosnakeError(f"there is nothing called {what} to do to a job")
        said = _ACTS[what](process, sent)
    address = opened.address("job", process.name)
    return RedirectResponse(f"{address}?{urlencode({'done': '; '.join(said)})}", 303)


def _note(process: Process, sent: Form) -> list[str]:
    text = field(sent, "text").replace("\r\n", "\n")
    replace_note(process.name.rstrip("/"), text, field(sent, "stamp"))
    return ["note.txt is saved"]


def _retry(process: Process, sent: Form) -> list[str]:
    names = retry_failed(process.name.rstrip("/"), rejected="rejected" in sent)
    return [f"{len(names)} micrographs are processed again by the next run" if names else "nothing to retry"]


def _continue(process: Process, sent: Form) -> list[str]:
    total = field(sent, "iterations")
    if not (total.isascii() and total.isdecimal()):
        raise CryosnakeError(f"{total or 'nothing'} is no number of iterations")
    found = continue_with_iterations(process, int(total))
    return [*found.done, found.reason]


_ACTS: Mapping[str, Callable[[Process, Form], list[str]]] = {
    "mark": lambda process, sent: mark(process, field(sent, "as")),
    "alias": lambda process, sent: give_alias(process, field(sent, "alias")),
    "abort": lambda process, _: request_abort(process),
    "note": _note,
    "retry": _retry,
    "continue": _continue,
}

ROUTES = (
    Route("/p/{project}/act/{name:path}", posted(act), methods=["POST"]),
)
