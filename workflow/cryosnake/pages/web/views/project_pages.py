"""The pages about a project as a whole: overview, runs, disc space; and the list of projects."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from cryosnake.pages.facts.project import summary
from cryosnake.pages.report import flowchart_of
from cryosnake.pages.web.reading.projects import working_in
from cryosnake.pages.web.serving.answers import opened_project, page, site_of
from cryosnake.pages.web.views.disc_space import disc_space
from cryosnake.project.actions.choosing import project_waits
from cryosnake.project.building.starting import run_log, started_run

_JOBS_LISTED = 200  # in the overview, until all are asked for


def projects(request: Request) -> Response:
    """Answer with the list of projects; with the project where there is one only."""
    site = site_of(request)
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
        return page(opened, facts, "runs.html.j2", started=started_run(), run_log=run_log(), waits=project_waits(),
                    ended=ended[:-101:-1], running=[job for job in facts.jobs if job.state == "running"],
                    scheduled=[job for job in facts.jobs if job.state == "scheduled"])


def space(request: Request) -> Response:
    """Answer with what takes the disc."""
    opened = opened_project(request)
    with working_in(opened.project):
        facts = opened.remembered.project()
        return page(opened, facts, "space.html.j2", space=disc_space(facts))


ROUTES = (
    Route("/p/{project}/overview", overview),
    Route("/p/{project}/runs", runs),
    Route("/p/{project}/space", space),
)
