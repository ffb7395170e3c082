"""What a page says of a whole project: its jobs, the one it has come to, and the way there."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from cryosnake.errors import CryosnakeError
from cryosnake.io.mrc_header import read_header
from cryosnake.names import PIPELINE_FILE
from cryosnake.pages.facts.jobs import JobFacts, job_facts
from cryosnake.pages.panels.maps import map_file
from cryosnake.pipeline.model import Pipeline, Process, Status
from cryosnake.pipeline.rebuild import rebuild
from cryosnake.pipeline.recover import is_cut
from cryosnake.pipeline.unlocked import read_pipeline_unlocked
from cryosnake.project.actions.history import in_order
from cryosnake.project.config.text_edits import read_config
from cryosnake.project.locks.snakemake_lock import running_claim

# Which job a project has come to, where none is marked as final: the newest of the first of these types.
_GOALS = ("PostProcess", "Refine3D", "LocalRes", "Class3D", "InitialModel", "Class2D", "Extract", "AutoPick", "CtfFind",
          "MotionCorr", "Import")


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One number of the summary, with a word and what more there is to say."""

    name: str
    value: str
    more: str = ""


@dataclass(frozen=True, kw_only=True)
class ProjectFacts:
    """A project: `goals` are the jobs that it has come to, the first the newest; `chain` is the way to that one."""

    title: str
    folder: str
    pipeline: Pipeline
    jobs: tuple[JobFacts, ...]
    goals: tuple[JobFacts, ...]
    chain: tuple[JobFacts, ...]
    warnings: tuple[str, ...]
    running: str
    written: str

    @property
    def troubled(self) -> list[JobFacts]:
        """The jobs that failed, were killed, or can't be read."""
        return [job for job in self.jobs if job.problem]

    @property
    def gone(self) -> list[JobFacts]:
        """The jobs that are listed, and whose directories do not exist."""
        return [job for job in self.jobs if job.gone]


def project_facts(read: Callable[[Pipeline, Process], JobFacts] = job_facts) -> ProjectFacts:
    """Return the facts of the project in the working directory; `read` returns those of a job.

    Raises
    ------
    CryosnakeError
        where there is no project
    """
    warnings: list[str] = []
    pipeline = pipeline_of(warnings)
    order = sorted(pipeline.processes.values(), key=lambda process: process.number)
    jobs = {process.name: read(pipeline, process) for process in order}
    goals = _goals(jobs.values())
    names = in_order(pipeline, {goals[0].process.name, *pipeline.ancestors(goals[0].process.name)}) if goals else []
    return ProjectFacts(title=_title(warnings), folder=os.path.basename(os.getcwd()), pipeline=pipeline,
                        jobs=tuple(jobs.values()), goals=tuple(goals), chain=tuple(jobs[name] for name in names),
                        warnings=tuple(warnings), running=str(running_claim() or ""),
                        written=time.strftime("%Y-%m-%d %H:%M"))


def summary(project: ProjectFacts) -> list[Figure]:
    """Return the numbers of the project's way to its result, in the order of processing."""
    found: list[Figure] = []
    seen: dict[str, str] = {}
    for job in project.chain:
        for result in job.results:
            seen.setdefault(f"first {result.name}", str(result))
            seen[f"last {result.name}"] = str(result)
    lost = sum(job.status.failed + job.status.rejected for job in project.chain
               if job.process.folder in ("MotionCorr", "CtfFind"))
    for name, key in (("movies", "first movies"), ("micrographs", "last micrographs"), ("picks", "last picks"),
                      ("particles extracted", "first particles"), ("particles in the result", "last particles")):
        if key in seen:
            more = f"{lost:,} left out" if name == "micrographs" and lost else ""
            found.append(Figure(name=name, value=seen[key], more=more))
    if not project.goals:
        return found
    goal = project.goals[0]
    for result in goal.results:
        if result.name == "resolution":
            found.append(Figure(name=result.name, value=f"{result.value:.2f} Å"))
        elif result.name == "B-factor" and result.value:
            found.append(Figure(name=result.name, value=f"{result.value:.0f} Å²".replace("-", "−")))
    pixel_size, box = _sampling(goal)
    if pixel_size:
        found.append(Figure(name="pixel size", value=f"{pixel_size:.3f} Å", more=f"box {box} px"))
    symmetry = [job.record.parameters["symmetry"] for job in project.chain if job.record
                and "symmetry" in job.record.parameters]
    if symmetry:
        found.append(Figure(name="symmetry", value=str(symmetry[-1])))
    return found


def pipeline_of(warnings: list[str]) -> Pipeline:
    """Return the project's pipeline; where the file is damaged, what the job directories say."""
    try:
        found = read_pipeline_unlocked()
        if is_cut(""):
            warnings.append(f"{PIPELINE_FILE} is cut off or damaged. This is what its copies and the job directories "
                            "say; the next run writes it anew.")
        return found
    except CryosnakeError as error:
        if not Path(PIPELINE_FILE).exists() and not Path("config.yaml").exists():
            raise
        rebuilt = rebuild(".", warnings)
        if Path(PIPELINE_FILE).exists() or rebuilt.processes:
            warnings.insert(0, f"{error}. This is what the job directories say.")
        return rebuilt


def _title(warnings: list[str]) -> str:
    if not Path("config.yaml").exists():
        return ""
    try:
        return str(read_config().get("title") or "")
    except (CryosnakeError, OSError, AttributeError) as error:
        warnings.append(str(error))
        return ""


def _goals(jobs: Iterable[JobFacts]) -> list[JobFacts]:
    done = [job for job in jobs if job.process.status == Status.SUCCEEDED and not job.problem and not job.gone]
    final = [job for job in done if job.status.final]
    if final:
        return sorted(final, key=lambda job: (_rank(job), -job.process.number))
    ranked = sorted((job for job in done if job.process.folder in _GOALS),
                    key=lambda job: (_rank(job), -job.process.number))
    return ranked[:1]


def _rank(job: JobFacts) -> int:
    return _GOALS.index(job.process.folder) if job.process.folder in _GOALS else len(_GOALS)


def _sampling(job: JobFacts) -> tuple[float, int]:
    """Return pixel size (Å) and box of a job's map; zeros where it has none."""
    path = map_file(job.view())
    if path is None:
        return 0.0, 0
    try:
        header = read_header(path)
    except (CryosnakeError, OSError):
        return 0.0, 0
    return header.pixel_size, header.nx
