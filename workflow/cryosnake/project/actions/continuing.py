"""Continue a job: a stopped one with the same command, a finished classification with more iterations.

The config decides: more iterations are another parameter, so they make another job (a new number, the alias
moves), which starts where the first one stopped. RELION writes such iterations into the same directory.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

import yaml

from cryosnake.errors import CryosnakeError
from cryosnake.jobs.model import JobType
from cryosnake.pipeline.model import Process, Status
from cryosnake.pipeline.unlocked import read_pipeline_unlocked
from cryosnake.project.actions.config_edit import change_job, job_of_config
from cryosnake.project.actions.key_results import last_iteration
from cryosnake.project.actions.notes import source_path
from cryosnake.project.config.config import JobConfig
from cryosnake.project.config.text_edits import FILE, read_config
from cryosnake.project.locks.snakemake_lock import running_claim
from cryosnake.project.locks.work_locks import at_work
from cryosnake.project.records.record import read_record


@dataclass(frozen=True)
class WayOn:
    """How to continue a job: what was changed, and what to run; both may be empty."""

    done: tuple[str, ...]
    command: str
    reason: str


def way_on(process: Process) -> WayOn:
    """Say how a job of the project in the working directory continues; nothing is changed.

    Raises
    ------
    CryosnakeError
        when it is running, was made by RELION, or is no longer in the config (the message holds its entry)
    """
    path, job = _at_rest(process)
    if process.status == Status.SUCCEEDED:
        more = "; for more iterations: `cryosnake continue JOB --iterations N`" if _iterative(job.type) else ""
        return WayOn((), "", f"{path} is finished: Snakemake makes only what is missing, or new in its inputs"
                     f"{more}")
    number = last_iteration(path)
    where = f"continues after iteration {number}" if number and _iterative(job.type) else (
        "does what is unfinished" if job.type.per_micrograph else "starts again")
    outputs = read_pipeline_unlocked().outputs.get(f"{path}/", ())
    return WayOn((), shlex.join(["snakemake", "--cores", "all", *outputs]), f"{path} ({job.name}) {where}")


def continue_with_iterations(process: Process, iterations: int) -> WayOn:
    """Continue a classification up to this total of iterations: config.yaml is changed, and the command returned.

    Raises
    ------
    CryosnakeError
        when the job has no number of iterations, has already done as many, is running or not in the config
    """
    path, job = _at_rest(process)
    name = next((n for n in ("iterations", "max_iterations") if any(p.name == n for p in job.type.parameters)), "")
    if not _iterative(job.type) or not name:
        raise CryosnakeError(f"{path}: {job.type.name} does not continue with more iterations")
    number = last_iteration(path)
    if not number:
        raise CryosnakeError(f"{path}: there is no complete iteration to continue from; `cryosnake continue {path}` "
                             "says how it runs")
    if iterations <= number:
        raise CryosnakeError(f"{path} has done {number} iterations; ask for more than that")
    if running_claim():
        raise CryosnakeError("a run that reads config.yaml is in progress; wait until it has finished")
    start = f"{path}/run_it{number:03d}_optimiser.star"
    lines = change_job(job.name, {name: iterations, "continue_from": start})
    return WayOn((f"{FILE}, line {', '.join(map(str, lines))}: {job.name} has {name}: {iterations} and "
                  f"continue_from: {start}",), "snakemake --cores all",
                 f"{job.name} becomes a new job, which continues after iteration {number}; {path} is not changed")


def config_entry(path: str) -> str:
    """Return the entry of config.yaml for a job of ours, from its record; empty for RELION's jobs."""
    record = read_record(Path(path))
    if record is None:
        return ""
    inputs = {slot: source_path(source) for slot, source in record.inputs.items()}
    entry = {"type": record.type, **inputs, **record.stated}
    return str(yaml.safe_dump({record.name: entry}, default_flow_style=None, sort_keys=False))


def _iterative(job_type: JobType) -> bool:
    return any(parameter.name == "continue_from" for parameter in job_type.parameters)


def _at_rest(process: Process) -> tuple[str, JobConfig]:
    """Return the directory of a job and its entry in the config; refuse a job in which a program works."""
    path = process.name.rstrip("/")
    workers = at_work(Path(path))
    if workers:
        raise CryosnakeError(f"{path}: {workers[0]} works here; wait until it finishes, or `cryosnake abort {path}`")
    job = job_of_config(process)
    if job is None:
        raise CryosnakeError(_not_in_config(path))
    return path, job


def _not_in_config(path: str) -> str:
    entry = config_entry(path)
    if not entry:
        return f"{path} was made by RELION; continue it there (relion_pipeliner, or RELION's window)"
    if not read_config():
        return f"{path}: there is no config.yaml in this project; add the job again under `jobs:`\n{entry}"
    return f"{path} is not in config.yaml; add it again under `jobs:`\n{entry}"
