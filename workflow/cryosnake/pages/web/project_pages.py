"""The pages about a project as a whole: overview, runs, disc space; and the list of projects."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from cryosnake.pages.facts.project import ProjectFacts, summary
from cryosnake.pages.report import flowchart_of
from cryosnake.pages.web.disc_space import disc_space
from cryosnake.pages.web.projects import working_in
from cryosnake.pages.web.site import ShownProject, Site
from cryosnake.project.actions.choosing import project_waits

_JOBS_LISTED = 200  # in the overview, until all are asked for
_JOBS_BESIDE = 40  # in the list beside each page


def projects(request: Request) -> Response:
    """Answer with the list of projects; with the project where there is one only."""
    site: Site = request.app.state.site
    found = site.projects()
    if len(found) == 1:
        return RedirectResponse(site.project(found[0].key).address("overview"))
    listed = [(project, site.project(project.key).address("overview")) for project in found]
    return HTMLResponse(site.page("projects.html.j2", projects=listed, roots=site.roots))


def overview(request: Request) -> Response:
    """Answer with the summary of a project, its flowchart and its jobs."""
    opened = opened_project(request)
    with working_in(opened.project):
        facts = opened.remembered.project()
        goal = facts.goals[0] if facts.goals else None
        shown = opened.remembered.shown(facts, goal) if goal else None
        listed = facts.jobs[::-1] if request.query_params.get("all") else facts.jobs[::-1][:_JOBS_LISTED]
        return page(opened, facts, "overview.html.j2", figures=summary(facts), flowchart=flowchart_of(facts),
                    waits=project_waits(), volume=shown.volume if shown else None, listed=listed,
                    lead=shown.panels[0] if shown and shown.panels else None)


def runs(request: Request) -> Response:
    """Answer with what runs, what waits, and what ran."""
    opened = opened_project(request)
    with working_in(opened.project):
        facts = opened.remembered.project()
        ended = sorted(((run, job) for job in facts.jobs for run in job.runs), key=lambda pair: pair[0].started)
        return page(opened, facts, "runs.html.j2", waits=project_waits(), ended=ended[:-101:-1],
                    running=[job for job in facts.jobs if job.state == "running"],
                    scheduled=[job for job in facts.jobs if job.state == "scheduled"])


def space(request: Request) -> Response:
    """Answer with what takes the disc."""
    opened = opened_project(request)
    with working_in(opened.project):
        facts = opened.remembered.project()
        return page(opened, facts, "space.html.j2", space=disc_space(facts))


def opened_project(request: Request) -> ShownProject:
    """Return the project of an address."""
    site: Site = request.app.state.site
    return site.project(request.path_params["project"])


def page(opened: ShownProject, facts: ProjectFacts, template: str, **content: Any) -> HTMLResponse:
    """Return a page with the list of jobs beside it."""
    return HTMLResponse(opened.page(template, project=facts, beside=facts.jobs[::-1][:_JOBS_BESIDE],
                                    micrographs=_table_of_micrographs(facts), **content))


def _table_of_micrographs(facts: ProjectFacts) -> str:
    """Return the newest table of micrographs, "" without any."""
    for folder, name in (("CtfFind", "micrographs_ctf.star"), ("MotionCorr", "corrected_micrographs.star"),
                         ("Import", "micrographs.star"), ("Import", "movies.star")):
        for job in reversed(facts.jobs):
            if job.process.folder == folder and job.state == "succeeded" and (job.view().path / name).exists():
                return f"{job.path}/{name}"
    return ""
