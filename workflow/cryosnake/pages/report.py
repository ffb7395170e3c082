"""The report of a project: one HTML file that holds everything, to be read anywhere and sent to anybody."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cryosnake.atomic import write_text
from cryosnake.errors import CryosnakeError
from cryosnake.io.mrc import read_mrc
from cryosnake.pages.blocks.panel import Panel
from cryosnake.pages.blocks.pictures import Gallery
from cryosnake.pages.blocks.volumes import Volume, volume_of
from cryosnake.pages.document import MARK, page
from cryosnake.pages.facts.jobs import JobFacts, Setting
from cryosnake.pages.facts.methods import methods
from cryosnake.pages.facts.project import ProjectFacts, project_facts, summary
from cryosnake.pages.facts.versions import versions
from cryosnake.pages.panels.maps import map_file
from cryosnake.pages.panels.of_jobs import PANELS, panels_of
from cryosnake.pipeline.edit import remove_processes
from cryosnake.report.flowchart.chart import Flowchart, layout
from cryosnake.report.flowchart.project import node_counts

_MOST_BYTES = 6_000_000  # of panels and maps; what comes later than this has its numbers only
_MOST_SHOWN = 100  # jobs with panels
_MOST_MAPS = 4
_MOST_SETTINGS = 10_000  # of jobs of RELION, which list all that they have
_AVERAGES = 8  # in the summary
_MOST_BOXES = 150  # of a flowchart that can still be read


@dataclass(frozen=True, kw_only=True)
class ShownJob:
    """A job with its panels; `cut` where there was no room for them."""

    facts: JobFacts
    panels: list[Panel]
    settings: tuple[Setting, ...]
    cut: bool = False


def write_report(out: Path) -> ProjectFacts:
    """Write the report of the project in the working directory; nothing else is written.

    Raises
    ------
    CryosnakeError
        where there is no project, or `out` is a file that is not a report
    """
    _refuse_others(out)
    project = project_facts()
    volumes = _volumes(project)
    jobs = _shown(project, sum(len(volume.packed) for volume in volumes))
    write_text(out, page("report.html.j2", project=project, figures=summary(project), jobs=jobs, volumes=volumes,
                         flowchart=_flowchart(project), methods=methods(project.chain),
                         versions=versions(project.jobs), lead=_lead(project, jobs), glance=_glance(project, jobs),
                         classes=_classes(project, jobs)))
    return project


def _refuse_others(out: Path) -> None:
    """Refuse to replace what is no report: a table, a map, a page of another program."""
    if out.is_dir():
        raise CryosnakeError(f"{out} is a folder; name a file in it: --out {out / 'report.html'}")
    try:
        with open(out, "rb") as file:
            start = file.read(400)
    except FileNotFoundError:
        return
    if MARK.encode() not in start:
        raise CryosnakeError(f"{out} exists and is no report of cryosnake; name another file: --out my_report.html")


def _shown(project: ProjectFacts, spent: int) -> list[ShownJob]:
    """Return all jobs in the order of their numbers: those of the chain have panels, then the newest, while room is."""
    chain = list(project.chain)
    others = [job for job in reversed(project.jobs) if job not in chain]
    panels: dict[str, list[Panel]] = {}
    for job in [*reversed(chain), *others]:
        if job.process.folder not in PANELS or len(panels) >= _MOST_SHOWN or spent > _MOST_BYTES:
            continue
        panels[job.path] = panels_of(job.view())
        spent += sum(len(repr(panel.blocks)) for panel in panels[job.path])
    listed = sum(len(job.settings) for job in project.jobs)
    return [ShownJob(facts=job, panels=panels.get(job.path, []),
                     settings=job.settings if job.record or job in chain or listed < _MOST_SETTINGS else (),
                     cut=job.process.folder in PANELS and job.path not in panels) for job in project.jobs]


def _volumes(project: ProjectFacts) -> list[Volume]:
    """Return the maps of the jobs that the project has come to; one that can't be read is left out."""
    found = []
    for job in project.goals[:_MOST_MAPS]:
        path = map_file(job.view())
        resolution = next((result.value for result in job.results if result.name == "resolution"), 0.0)
        try:
            if path is not None:
                density, pixel_size = read_mrc(path)
                found.append(volume_of(str(path), density, pixel_size, resolution,
                                       _local_resolution(project, job, density.shape)))
        except (CryosnakeError, OSError, ValueError):  # the job's own panel says why
            continue
    return found


def _local_resolution(project: ProjectFacts, goal: JobFacts, shape: tuple[int, ...]) -> np.ndarray | None:
    """Return the local resolution (box, box, box) of the newest job that made one from a job that `goal` is from."""
    for job in reversed(project.jobs):
        path = Path(job.path, "relion_locres.mrc")
        if set(job.inputs) & set(goal.inputs) and path.exists():
            local = read_mrc(path)[0]
            return local if local.shape == shape else None
    return None


def _flowchart(project: ProjectFacts) -> Flowchart | None:
    """Return the flowchart; of too many jobs only those that the result depends on."""
    pipeline = project.pipeline
    if len(pipeline.processes) > _MOST_BOXES:
        kept = {job.process.name for job in project.chain}
        pipeline = remove_processes(pipeline, [name for name in pipeline.processes if name not in kept])
    return layout(pipeline, node_counts(pipeline)) if 0 < len(pipeline.processes) <= _MOST_BOXES else None


def _lead(project: ProjectFacts, jobs: Iterable[ShownJob]) -> Panel | None:
    """Return the panel by which the result is judged: the first one of the newest goal."""
    goal = project.goals[0] if project.goals else None
    return next((job.panels[0] for job in jobs if job.facts is goal and job.panels), None)


def _glance(project: ProjectFacts, jobs: Iterable[ShownJob]) -> list[tuple[JobFacts, Panel]]:
    """Return the panels that judge the way to the result, in the order of processing: of each kind the last one."""
    shown = {job.facts.path: job for job in jobs}
    last = {panel.title: (job, panel) for job in project.chain for panel in shown[job.path].panels
            if panel.level and not panel.missing}
    return sorted(last.values(), key=lambda found: found[0].process.number)


def _classes(project: ProjectFacts, jobs: Iterable[ShownJob]) -> Gallery | None:
    """Return the largest class averages of the newest job with any, as the summary shows them."""
    for job in sorted(jobs, key=lambda job: (job.facts in project.chain, job.facts.process.number), reverse=True):
        for panel in job.panels if job.facts.process.folder in ("Class2D", "Select") else []:
            for block in panel.blocks:
                if isinstance(block, Gallery):
                    return Gallery(pictures=block.pictures[:_AVERAGES], size="small")
    return None
