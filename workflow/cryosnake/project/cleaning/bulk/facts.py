"""What a clean-up has to know of each job, read from disk once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cryosnake.jobs.model import PARTICLES
from cryosnake.pipeline.model import Pipeline, Process, Status
from cryosnake.project.cleaning.clean import NO_HARSH_CLEAN, USER_INPUT
from cryosnake.project.cleaning.clean_sets import clean_set, intermediate_files
from cryosnake.project.cleaning.finality import standings
from cryosnake.project.cleaning.trash import contents
from cryosnake.project.locks.job_locks import busy_reason
from cryosnake.project.records.cleaned_files import read_cleaned
from cryosnake.project.records.file_sizes import sizes_of
from cryosnake.project.records.record import FILE as RECORD

KINDS = {"motion": "motion correction", "ctf": "CTF estimation", "extract": "particle extraction",
         "picks": "picking", "restack": "re-extraction of particles"}
_KIND_OF_FOLDER = {"MotionCorr": "motion", "CtfFind": "ctf", "AutoPick": "picks", "Extract": "extract"}


@dataclass(frozen=True)
class Amount:
    """A number of files and their bytes."""

    files: int = 0
    bytes: int = 0


@dataclass(frozen=True)
class JobFacts:
    """One job: `kind` is a key of KINDS or empty; `results` is what clearing it takes."""

    name: str
    alias: str
    status: Status
    standing: str
    kind: str
    user_input: bool
    protected: bool
    busy: str
    cleared: bool
    total: Amount
    results: Amount
    intermediates: Amount


def read_facts(pipeline: Pipeline) -> list[JobFacts]:
    """Return the facts of every job of the project in the working directory, in the order of their numbers."""
    standing = standings(pipeline)
    ordered = sorted(pipeline.processes.values(), key=lambda process: process.number)
    return [_facts(pipeline, process, standing[process.name]) for process in ordered]


def _facts(pipeline: Pipeline, process: Process, standing: str) -> JobFacts:
    name = process.name
    sizes = sizes_of(name, contents(name.rstrip("/"))[0])
    return JobFacts(
        name, process.short_alias, process.status, standing, _kind(pipeline, process), _is_user_input(process),
        Path(name, NO_HARSH_CLEAN).exists(), busy_reason(process), read_cleaned(name.rstrip("/")).status is not None,
        _amount(sizes, list(sizes)), _amount(sizes, clean_set(pipeline, name, "clear", sizes)),
        _amount(sizes, intermediate_files(pipeline, name, sizes)))


def _kind(pipeline: Pipeline, process: Process) -> str:
    kind = _KIND_OF_FOLDER.get(process.folder, "")
    if kind == "extract" and any(pipeline.nodes[node].type_id == PARTICLES.relion3
                                 for node in pipeline.inputs.get(process.name, ())):
        return "restack"
    return kind


def _is_user_input(process: Process) -> bool:
    """Whether a person decided in it: nothing can make that again. RELION's Select jobs may be interactive."""
    interactive = process.folder == "Select" and not Path(process.name, RECORD).exists()
    return process.folder in USER_INPUT or interactive


def _amount(sizes: dict[str, int], files: list[str]) -> Amount:
    return Amount(len(files), sum(sizes[file] for file in files))
