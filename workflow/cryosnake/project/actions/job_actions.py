"""User actions on a job besides running it: a new alias, marks, a request to stop."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from cryosnake.atomic import touch
from cryosnake.errors import CryosnakeError
from cryosnake.pipeline.edit import alias_problem, clean_alias, process_of, set_alias, set_status
from cryosnake.pipeline.finished_nodes import with_files_found
from cryosnake.pipeline.lock import update_pipeline
from cryosnake.pipeline.markers import (
    ABORT_REQUEST,
    alias_obstacle,
    make_alias_link,
    remove_alias_link,
    set_exit,
    write_node_markers,
)
from cryosnake.pipeline.model import Pipeline, Process, Status
from cryosnake.pipeline.unlocked import read_pipeline_unlocked
from cryosnake.project.actions.config_edit import job_of_config, rename_job
from cryosnake.project.config.curation import curation_file, rename_curation
from cryosnake.project.config.decisions import decision_file, rename_decisions
from cryosnake.project.config.picked import picks_folder, rename_picks
from cryosnake.project.locks.job_status import is_dead, set_job_status, write_reason
from cryosnake.project.locks.snakemake_lock import running_claim
from cryosnake.project.locks.work_locks import at_work
from cryosnake.project.records.final_marks import set_final
from cryosnake.project.records.record import read_record, write_record

PROJECT = Path()
STATES = {"finished": Status.SUCCEEDED, "failed": Status.FAILED, "aborted": Status.ABORTED}


def give_alias(process: Process, alias: str) -> list[str]:
    """Give a job another alias (an empty one removes it); return what was done, one sentence each.

    The alias of a job of config.yaml is its name there, which the next run would restore. So the name in the config is
    changed too, with every connection to it. The job stays the same job: the name is not part of its identity.

    Raises
    ------
    CryosnakeError
        when RELION would refuse the alias, another job of the type or decisions of an earlier one have it, a run is
        in progress, or the config can't be changed
    """
    config = job_of_config(process)
    stored = clean_alias(alias)
    _check_alias(process, alias)
    if config is not None:
        if not stored:
            raise CryosnakeError(f"{config.name}: the alias of a job of config.yaml is always its name there; give it "
                                 "another")
        if running_claim() and stored != config.name:
            raise CryosnakeError("a run that reads config.yaml is in progress; rename the job when it has finished")
    done = []
    if config is not None and config.name != stored:
        _refuse_decisions_there(stored)
        lines = rename_job(config.name, stored)
        if rename_decisions(config.name, stored):
            done.append(f"{decision_file(stored)}: the decisions of {config.name!r} are those of {stored!r}")
        if rename_picks(config.name, stored):
            done.append(f"{picks_folder(stored)}: the picks of {config.name!r} are those of {stored!r}")
        if rename_curation(config.name, stored):
            done.append(f"{curation_file(stored)}: the limits and flags of {config.name!r} are those of {stored!r}")
        done.append(f"config.yaml: {config.name!r} is now {stored!r} (line {', '.join(map(str, lines))})")
    pipeline = update_pipeline(PROJECT, lambda before: _with_alias(before, process.name, stored))
    after = pipeline.processes[process.name]
    if process.alias and process.alias != after.alias:
        remove_alias_link(PROJECT, process.alias)
    make_alias_link(PROJECT, after)
    write_node_markers(PROJECT, pipeline)
    record = read_record(Path(process.name))
    if record is not None and stored:
        write_record(Path(process.name), replace(record, name=stored))
    return [*done, f"{process.name.rstrip('/')}: {f'alias {stored}' if stored else 'no alias'}"]


def _refuse_decisions_there(name: str) -> None:
    """Refuse a name under which decisions lie: of a job that left the config, and a renamed one would follow them."""
    for place in (decision_file(name), Path(picks_folder(name)), curation_file(name)):
        if os.path.lexists(place):
            raise CryosnakeError(f"{place} has decisions of an earlier job called {name!r}, which would be lost or "
                                 "followed by another one; nothing was renamed. Move it away, or choose another name")


def mark(process: Process, what: str) -> list[str]:
    """Mark a job as finished, failed, aborted, final or not-final; return what was done, one sentence each.

    As finished: the files that the job left (last iteration, RELION_OUTPUT_NODES.star) become its outputs, and
    outputs that do not exist and that no other job uses are removed, as in RELION.

    Raises
    ------
    CryosnakeError
        when a program works in the job, or the mark is unknown
    """
    path = process.name.rstrip("/")
    if what in ("final", "not-final"):
        set_final(path, final=what == "final")
        return [f"{path}: {'final: no clean-up removes it' if what == 'final' else 'no longer final'}"]
    if what not in STATES:
        raise CryosnakeError(f"{what}: a job is marked as {', '.join(STATES)}, final or not-final")
    workers = at_work(Path(path))
    if workers:
        raise CryosnakeError(f"{path}: {workers[0]} works here; `cryosnake abort {path}` stops it")
    status = STATES[what]
    set_exit(path, status)
    pipeline = update_pipeline(PROJECT, lambda before: _marked(before, process.name, status))
    write_node_markers(PROJECT, pipeline)
    done = [f"{path}: marked as {what}"]
    missing = [node for node in pipeline.outputs[process.name] if not os.path.exists(node)]
    if status == Status.SUCCEEDED and missing and read_record(Path(path)) is not None:
        done.append(f"missing: {', '.join(missing)}; Snakemake makes them when it is asked for the job")
    return done


def request_abort(process: Process) -> list[str]:
    """Ask the programs of a job to stop (RELION_JOB_ABORT_NOW); return what was done, one sentence each.

    All running batches see it within seconds, and those that the same run has yet to start do not start. A job of ours
    that is only listed as running is marked as failed, because no program can be asked.

    Raises
    ------
    CryosnakeError
        when the job is not running
    """
    path = process.name.rstrip("/")
    claim = running_claim()
    if process.status == Status.RUNNING and not claim and is_dead(path):
        set_exit(path, Status.FAILED)
        set_job_status(path, Status.FAILED)
        write_reason(Path(path), "found without a program when it was to be aborted: it was killed earlier")
        return [f"{path}: no program works here any more; it was killed, and is now marked as failed"]
    workers = at_work(Path(path))
    if not workers and process.status != Status.RUNNING and not (claim and process.status == Status.SCHEDULED):
        raise CryosnakeError(f"{path} is not running ({process.status.label.lower()}); there is nothing to abort")
    touch(Path(path, ABORT_REQUEST))
    return [f"{path}: asked to stop ({', '.join(workers) or 'as soon as it starts'})"]


def _check_alias(process: Process, alias: str) -> None:
    if not clean_alias(alias):
        return
    taken = [other.short_alias for other in read_pipeline_unlocked().processes.values()
             if other.folder == process.folder and other.name != process.name]
    problem = alias_problem(alias, taken)
    problem = problem or alias_obstacle(PROJECT, f"{process.folder}/{clean_alias(alias)}/", process.name)
    if problem:
        raise CryosnakeError(f"{process.name.rstrip('/')}: {problem}")


def _with_alias(pipeline: Pipeline, name: str, alias: str) -> Pipeline:
    full = f"{process_of(pipeline, name).folder}/{alias}/"
    other = pipeline.by_alias.get(full) if alias else None
    if other is not None and other.name != name:  # taken since it was checked
        raise CryosnakeError(f"{name.rstrip('/')}: the alias {alias!r} belongs to {other.name.rstrip('/')}")
    return set_alias(pipeline, name, alias)


def _marked(pipeline: Pipeline, name: str, status: Status) -> Pipeline:
    pipeline = set_status(pipeline, name, status)
    return with_files_found(PROJECT, pipeline, name) if status == Status.SUCCEEDED else pipeline
