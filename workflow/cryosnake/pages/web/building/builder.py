"""The job builder: a type, a form, what it amounts to; writes what `cryosnake add`, `set` and `remove` write."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from cryosnake.errors import CryosnakeError
from cryosnake.jobs.model import JobType
from cryosnake.jobs.registry import job_types
from cryosnake.pages.web.building.job_form import JobForm, all_offers, broken_config, make_form, texts_of
from cryosnake.pages.web.reading.projects import working_in
from cryosnake.pages.web.serving.answers import opened_project, page
from cryosnake.pages.web.serving.forms import Form, field, posted
from cryosnake.pages.web.serving.site import ShownProject
from cryosnake.project.actions.config_edit import body_of, change_job
from cryosnake.project.building.config_jobs import add_job, proposed_name, remove_job, users_of
from cryosnake.project.config.text_edits import ChangedMeanwhileError, config_stamp, read_config
from cryosnake.project.records.archive import is_archived


def types(request: Request) -> Response:
    """Answer with the types to choose from, by topic, and the jobs of the config to change."""
    opened = opened_project(request)
    with working_in(opened.project):
        groups: dict[str, list[JobType]] = {}
        for one in job_types().values():
            groups.setdefault(one.topic, []).append(one)
        broken = broken_config()
        jobs = {} if broken else read_config().get("jobs") or {}
        listed = [(name, body["type"], users_of({"jobs": jobs}, name)) for name, body in jobs.items()]
        return page(opened, opened.remembered.project(), "build.html.j2", groups=groups, broken=broken, jobs=listed,
                    stamp=config_stamp(), done=request.query_params.get("done", ""), archived=is_archived())


def new(request: Request) -> Response:
    """Answer with the form of a new job of a type: empty, or with what another job of the config has (`like`)."""
    opened, type_name = opened_project(request), request.path_params["type"]
    with working_in(opened.project):
        like = request.query_params.get("like", "")
        texts = {key: value for key, value in request.query_params.items() if key != "like"}
        texts |= texts_of(like) if like else {}
        name = proposed_name(like or type_name, _taken())
        return _form_page(opened, make_form(type_name, name, texts, changes=False))


def change(request: Request) -> Response:
    """Answer with the form of a job of the config."""
    opened, name = opened_project(request), request.path_params["name"]
    with working_in(opened.project):
        type_name = str(body_of(read_config(), name).get("type"))
        return _form_page(opened, make_form(type_name, name, texts_of(name), changes=True))


def check(request: Request) -> Response:
    """Answer with what a form amounts to: the entry, the command, and what is wrong by field. Nothing is written."""
    opened, query = opened_project(request), request.query_params
    with working_in(opened.project):
        form = _filled(request.path_params["type"], dict(query))
    return JSONResponse({
        "entry": form.entry, "command": form.command, "right": form.is_right, "follow": form.follow,
        "number": form.new_number, "problem": form.problem,
        "problems": {"name": form.name_problem} | {one.name: one.problem for one in form.fields}})


def save(request: Request, sent: Form) -> Response:
    """Write a job into config.yaml; where something is wrong, or it has changed, answer with the form and nothing."""
    opened = opened_project(request)
    texts = {key: values[-1] for key, values in sent.items()}
    with working_in(opened.project):
        form = _filled(request.path_params["type"], texts)
        if not form.is_right:
            return _form_page(opened, form, status=422)
        try:
            if form.changes:
                change_job(form.name, form.values, form.unset, made_from=field(sent, "stamp"))
            else:
                add_job(form.name, form.job_type.name, form.values, made_from=field(sent, "stamp"))
        except ChangedMeanwhileError as error:
            return _form_page(opened, form, said=f"{error}: what you typed is below, and can be sent again", status=409)
        except (CryosnakeError, OSError) as error:
            return _form_page(opened, form, said=_words(error), status=409)
    return RedirectResponse(f"{opened.address('preview')}?{urlencode({'built': form.name})}", 303)


def remove(request: Request, sent: Form) -> Response:
    """Take a job out of config.yaml."""
    opened, name = opened_project(request), field(sent, "name")
    with working_in(opened.project):
        try:
            said = remove_job(name, made_from=field(sent, "stamp"))
        except OSError as error:
            raise CryosnakeError(_words(error)) from error
    return RedirectResponse(f"{opened.address('build')}?{urlencode({'done': '; '.join(said)})}", 303)


def _form_page(opened: ShownProject, form: JobForm, said: str = "", status: int = 200) -> Response:
    answer = page(opened, opened.remembered.project(), "build_job.html.j2", form=form, said=said, stamp=config_stamp(),
                  broken=broken_config(), beside_offers=all_offers(form.job_type, form.name if form.changes else ""))
    answer.status_code = status
    return answer


def _filled(type_name: str, sent: Mapping[str, Any]) -> JobForm:
    """Return the form with what was typed: `key` of a select, `key.other` of the line beside it, which goes before."""
    keys = {key.removesuffix(".other") for key in sent} - {"name", "stamp", "changes"}
    texts = {key: str(sent.get(f"{key}.other", "")).strip() or str(sent.get(key, "")) for key in keys}
    return make_form(type_name, str(sent.get("name", "")).strip(), texts, changes=sent.get("changes") == "1")


def _taken() -> list[str]:
    try:
        return [str(name) for name in read_config().get("jobs") or ()]
    except CryosnakeError:
        return []


def _words(error: Exception) -> str:
    if isinstance(error, OSError):
        return (f"config.yaml could not be written: {error.strerror}. It is as it was; free some space or ask for "
                "write permission, and send this again")
    return str(error)


ROUTES = (
    Route("/p/{project}/build", types),
    Route("/p/{project}/build/remove", posted(remove), methods=["POST"]),
    Route("/p/{project}/build/new/{type}", new),
    Route("/p/{project}/build/change/{name}", change),
    Route("/p/{project}/build/check/{type}", check),
    Route("/p/{project}/build/save/{type}", posted(save), methods=["POST"]),
)
