"""Facts and panels of jobs, read again only when their files have changed."""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from cryosnake.errors import CryosnakeError
from cryosnake.pages.blocks.panel import Panel
from cryosnake.pages.blocks.volumes import Volume
from cryosnake.pages.facts.jobs import JobFacts, job_facts
from cryosnake.pages.facts.project import ProjectFacts, project_facts
from cryosnake.pages.panels.of_jobs import panels_of
from cryosnake.pages.report import volume_of_job
from cryosnake.pages.web.reading.changes import Stamp, stamp_of_job
from cryosnake.pipeline.model import Pipeline, Process, Status
from cryosnake.project.actions.job_details import JobDetails, job_details

_MOST_SHOWN = 40  # jobs; a page of class averages is about a megabyte
_SIZE_KEPT = 60.0  # s that the size of a running job counts, which may have a hundred thousand files


@dataclass(frozen=True)
class Shown:
    """A job's panels, its map for the viewer if it has one, and its files; none of these where it can't be read."""

    panels: list[Panel]
    volume: Volume | None
    details: JobDetails | None


@dataclass
class _Known:
    stamp: Any
    value: Any


class Remembered:
    """What was read of one project; all methods read the project in the working directory."""

    def __init__(self) -> None:
        self._facts: dict[str, _Known] = {}
        self._shown: OrderedDict[str, _Known] = OrderedDict()
        self._sized: dict[str, float] = {}

    def project(self) -> ProjectFacts:
        """Return the project's facts."""
        return project_facts(self.job)

    def job(self, pipeline: Pipeline, process: Process) -> JobFacts:
        """Return a job's facts. Whether a program still runs stands in no file, so a running job is read each time."""
        parents = [(name, _stamp(name)) for name in pipeline.parents(process.name)]
        stamp = (process, _stamp(process.name), pipeline.children(process.name), parents)
        known = self._facts.get(process.name)
        if known is None or known.stamp != stamp or process.status == Status.RUNNING:
            fresh = job_facts(pipeline, process)
            if known and process.status == Status.RUNNING:
                self._keep_size(known.value, fresh)
            known = self._facts[process.name] = _Known(stamp, fresh)
        facts: JobFacts = known.value
        return facts

    def _keep_size(self, old: JobFacts, fresh: JobFacts) -> None:
        """Let the size of a job that runs count for a while; `size` is read when it is asked for."""
        since, now = self._sized.get(old.path, 0.0), time.monotonic()
        if "size" in vars(old) and now < since + _SIZE_KEPT:
            vars(fresh)["size"] = old.size
        else:
            self._sized[old.path] = now

    def shown(self, project: ProjectFacts, job: JobFacts) -> Shown:
        """Return what a job's own page shows beside its facts."""
        stamp = (_stamp(job.path), job.process, job.users)
        known = self._shown.get(job.path)
        if known is None or known.stamp != stamp:
            known = self._shown[job.path] = _Known(stamp, _shown(project, job))
        self._shown.move_to_end(job.path)
        while len(self._shown) > _MOST_SHOWN:
            self._shown.popitem(last=False)
        found: Shown = known.value
        return found


def _shown(project: ProjectFacts, job: JobFacts) -> Shown:
    try:
        details = job_details(project.pipeline, job.process)
    except (CryosnakeError, OSError, UnicodeError):
        details = None  # the job's facts say why
    return Shown(panels_of(job.view()), volume_of_job(job, project.jobs), details)


def _stamp(name: str) -> Stamp:
    return stamp_of_job(os.curdir, name.rstrip("/"))
