"""Answers: pages of a project with the list of jobs beside them."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse

from cryosnake.pages.facts.project import ProjectFacts
from cryosnake.pages.web.serving.site import ShownProject, Site

_JOBS_BESIDE = 40  # in the list beside each page


def site_of(request: Request) -> Site:
    """Return the server's projects, images and tables."""
    site: Site = request.app.state.site
    return site


def opened_project(request: Request) -> ShownProject:
    """Return the project of an address."""
    return site_of(request).project(request.path_params["project"])


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
