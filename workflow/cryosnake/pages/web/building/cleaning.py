"""Clean-up with its tabs, the Trash, and the deletion of one job: all is shown before it is done."""

from __future__ import annotations

import shlex
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from cryosnake.pages.web.reading.projects import working_in
from cryosnake.pages.web.serving.answers import opened_project, page, site_of
from cryosnake.pages.web.serving.forms import Form, field, posted
from cryosnake.pipeline.find_process import find_job
from cryosnake.project.building.clean_up import carry_out, choose_cleanup
from cryosnake.project.cleaning.bulk.facts import KINDS
from cryosnake.project.cleaning.bulk.run import unfinished_manifest
from cryosnake.project.cleaning.clean import unclean
from cryosnake.project.cleaning.delete import current_pipeline, delete_jobs, finish_deletions, plan_deletion
from cryosnake.project.cleaning.undelete import deletion_of, deletions, empty_trash, undelete
from cryosnake.project.config.text_edits import ChangedMeanwhileError, read_config
from cryosnake.project.locks.clean_up_lock import cleaning_up
from cryosnake.project.records.cleaned_files import missing_files
from cryosnake.project.records.file_sizes import folder_size
from cryosnake.project.records.own_trash import trash_stamp

_WHICH = {"non_final": "on which no final job depends", "failed": "that failed", "killed": "that were aborted"}
TICKS = {**{kind: f"clear: {words}" for kind, words in KINDS.items()},
         "intermediates": "all iterations but the last of every job",
         **{f"{verb}_{which}": f"{verb} jobs {words}" for which, words in _WHICH.items()
            for verb in ("clear", "delete")}}


def show(request: Request) -> Response:
    """Answer with what a clean-up would take by what is ticked, the tabs, and what is in the Trash."""
    opened, query = opened_project(request), request.query_params
    ticks = [tick for tick in query.getlist("tick") if tick in TICKS]
    workspace = query.get("workspace", "")
    with working_in(opened.project):
        edits = site_of(request).access.edit  # a page that only shows writes no sizes either
        found = choose_cleanup(ticks, workspace, measure=query.get("refresh") == "1", keep=edits)
        cleaned = [name for name in current_pipeline().processes if missing_files(name.rstrip("/"))]
        return page(opened, opened.remembered.project(), "cleanup.html.j2", found=found, ticks=ticks, all_ticks=TICKS,
                    workspace=workspace, workspaces=list(read_config().get("workspaces") or ()), kinds=KINDS,
                    command=_command(ticks, workspace), deleted=[list(one.part.processes) for one in deletions()][::-1],
                    cleaned=cleaned, cut_short=unfinished_manifest(), in_trash=trash_stamp(),
                    done=query.get("done", ""))


def _command(ticks: list[str], workspace: str) -> str:
    kinds = [tick for tick in ticks if tick in KINDS]
    words = ["cryosnake", "cleanup", *(["--workspace", workspace] if workspace else []),
             *(["--preprocessing", ",".join(kinds)] if kinds else []),
             *(f"--{tick.replace('_', '-')}" for tick in ticks if tick not in KINDS)]
    return shlex.join([*words, "--apply"])


def apply(request: Request, sent: Form) -> Response:
    """Move to the Trash what was shown."""
    opened = opened_project(request)
    with working_in(opened.project):
        found = choose_cleanup([tick for tick in sent.get("tick", []) if tick in TICKS], field(sent, "workspace"))
        left = carry_out(found, field(sent, "stamp"))
        said = [f"{len(found.plan.actions) - len(left)} jobs cleaned; what went is in the Trash"]
        said += [f"{job.rstrip('/')} left alone: {why}" for job, why in left]
    return _back(request, said)


def empty(request: Request, sent: Form) -> Response:
    """Empty the Trash for good, if what is in it is still what was shown."""
    with working_in(opened_project(request).project), cleaning_up():
        if field(sent, "stamp") != trash_stamp():
            raise ChangedMeanwhileError("other files are in the Trash than this page showed; nothing was deleted. Look "
                                        "at it again")
        freed = empty_trash()
    return _back(request, [f"The Trash is empty; {freed:,} bytes are free"])


def restore(request: Request, sent: Form) -> Response:
    """Bring a deleted job back, or the files that were cleaned from one."""
    job = field(sent, "job")
    with working_in(opened_project(request).project), cleaning_up():
        finish_deletions(current_pipeline())
        if field(sent, "what") == "files":
            gone = unclean(find_job(job, current_pipeline()).name)
            said = [f"{job}: {len(gone)} files are no longer in the Trash, and are computed again when they are needed"
                    if gone else f"{job}: all its files are back"]
        else:
            deleted = deletion_of(job)
            said = [f"restored: {', '.join(name.rstrip('/') for name in deleted.part.processes)}", *undelete(deleted)]
    return _back(request, said)


def deletion(request: Request) -> Response:
    """Answer with what goes when a job is deleted: it, and all that depends on it."""
    opened = opened_project(request)
    with working_in(opened.project):
        pipeline = current_pipeline()
        job = find_job(request.path_params["name"], pipeline).name
        found = plan_deletion(pipeline, [job])
        listed = [(name.rstrip("/"), pipeline.processes[name].short_alias, folder_size(name)) for name in found.all]
        in_config = [alias for _, alias, _ in listed if alias in (read_config().get("jobs") or {})]
        return page(opened, opened.remembered.project(), "delete.html.j2", job=job.rstrip("/"), listed=listed,
                    in_config=in_config, stamp=",".join(found.all))


def delete(request: Request, sent: Form) -> Response:
    """Move a job and what depends on it to the Trash, if these are still the jobs that were shown."""
    with working_in(opened_project(request).project), cleaning_up():
        found = plan_deletion(current_pipeline(), [find_job(request.path_params["name"]).name])
        if ",".join(found.all) != field(sent, "stamp"):
            raise ChangedMeanwhileError("other jobs depend on it by now; nothing was moved. Look at the list again")
        delete_jobs(found)
    return _back(request, [f"{', '.join(name.rstrip('/') for name in found.all)} moved to the Trash"])


def _back(request: Request, said: list[str]) -> Response:
    return RedirectResponse(f"{opened_project(request).address('cleanup')}?{urlencode({'done': '; '.join(said)})}", 303)


ROUTES = (
    Route("/p/{project}/cleanup", show),
    Route("/p/{project}/cleanup/apply", posted(apply), methods=["POST"]),
    Route("/p/{project}/cleanup/empty", posted(empty), methods=["POST"]),
    Route("/p/{project}/cleanup/restore", posted(restore), methods=["POST"]),
    Route("/p/{project}/delete/{name:path}", deletion),
    Route("/p/{project}/delete/{name:path}", posted(delete), methods=["POST"]),
)
