"""Facts of each job for a clean-up, read from disk once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cryosnake.jobs.model import PARTICLES
from cryosnake.pipeline.model import Pipeline, Process, Status
from cryosnake.project.cleaning.clean_sets import clean_set
from cryosnake.project.cleaning.guards import CLEAR, DELETE, INTERMEDIATE, standings
from cryosnake.project.cleaning.trash import contents
from cryosnake.project.records.cleaned_files import read_cleaned
from cryosnake.project.records.file_sizes import sizes_of

KINDS = {"motion": "motion correction", "ctf": "CTF estimation", "extract": "particle extraction",
         "picks": "picking", "restack": "re-extraction of particles"}
_KIND_OF_FOLDER = {"MotionCorr": "motion", "CtfFind": "ctf", "AutoPick": "picks", "Extract": "extract"}
_STATE = {Status.FAILED: "failed", Status.ABORTED: "killed"}


@dataclass(frozen=True, kw_only=True)
class JobFacts:
    """One job. `kind` is a key of KINDS or empty, `state` failed, killed or empty."""

    process: Process
    standing: str
    kind: str
    state: str
    cleared: bool
    taken: Mapping[str, Mapping[str, int]]  # intermediate, clear, delete: the files that it takes, with their bytes

    @property
    def name(self) -> str:
        """The process (`Extract/job005/`)."""
        return self.process.name

    def bytes(self, what: str = DELETE) -> int:
        """Return the bytes that a level takes; by default those of the whole job."""
        return sum(self.taken[what].values())


def read_facts(pipeline: Pipeline) -> list[JobFacts]:
    """Return the facts of every job of the project in the working directory, in the order of their numbers."""
    standing = standings(pipeline)
    ordered = sorted(pipeline.processes.values(), key=lambda process: process.number)
    return [_facts(pipeline, process, standing[process.name]) for process in ordered]


def _facts(pipeline: Pipeline, process: Process, standing: str) -> JobFacts:
    name = process.name
    sizes = sizes_of(name, contents(name.rstrip("/"))[0])
    taken = {what: {file: sizes[file] for file in clean_set(pipeline, name, what, sizes)}
             for what in (INTERMEDIATE, CLEAR)}
    return JobFacts(process=process, standing=standing, kind=_kind(pipeline, process),
                    state=_STATE.get(process.status, ""), cleared=read_cleaned(name.rstrip("/")).status is not None,
                    taken={**taken, DELETE: sizes})


def _kind(pipeline: Pipeline, process: Process) -> str:
    kind = _KIND_OF_FOLDER.get(process.folder, "")
    if kind == "extract" and any(pipeline.nodes[node].type_id == PARTICLES.relion3
                                 for node in pipeline.inputs.get(process.name, ())):
        return "restack"
    return kind
