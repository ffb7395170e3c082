"""Pinned inputs: a connection that names a job directory takes its output, and stays when the job is made again.

`particles: Class2D/job016` is what `particles: classes` was while `classes` was job016: what takes it is the same job.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from cryosnake.jobs.model import Slot
from cryosnake.jobs.registry import job_types
from cryosnake.names import job_of_link, why_not_ours
from cryosnake.pipeline.markers import exit_of
from cryosnake.pipeline.model import Status
from cryosnake.project.config.config import ConfigError, Connection, JobConfig, fitting_output
from cryosnake.project.planning.planned import PlannedJob, Records, Source
from cryosnake.project.records.record import JobRecord, read_record


def pinned_source(key: str, slot: Slot, connection: Connection, *, without_data: bool = False) -> Source:
    """Return the file that a connection to a job directory stands for.

    Raises
    ------
    ConfigError
        when it is no job of this project, has no fitting output, or has not finished; `key` is the connection's
    """
    path, wanted = connection.path, f" called {connection.output!r}" if connection.output else ""
    reason = why_not_ours("", f"{path}/") if os.path.lexists(path) else "there is no such directory"
    if reason:
        raise ConfigError(key, f"{path} is not a job of this project: {reason}; `cryosnake list` lists the jobs, and "
                          "`cryosnake undelete` brings a deleted one back")
    record = read_record(Path(path))
    if record is None:
        return _of_relion(key, slot, connection)
    job = recorded_job(path, record)
    output = fitting_output(job.config, slot, connection.output) if job else None
    if job is None or output is None:
        offers = ", ".join(f"{o.name} ({o.node.name})" for o in job.outputs()) if job else ""
        raise ConfigError(key, f"{slot.name} takes {_kinds(slot)}{wanted}, and {path} ({record.type}) offers "
                          f"{offers or 'nothing, for this job type is not installed'}")
    file = job.file(output)
    finished = job.config.type.per_micrograph or exit_of(path) == Status.SUCCEEDED
    if not (without_data or (finished and os.path.exists(file))):
        remedy = (f"it was cleaned or removed: `cryosnake unclean {path}` brings cleaned files back" if finished else
                  f"the job has not finished. Connect {record.name}, which also makes it, or wait until it has")
        raise ConfigError(key, f"{file} is not there: {remedy}")
    return Source(file, "", output.name, pinned=path)


def refuse_folder(key: str, path: str) -> None:
    """Refuse a connection to a folder that is no job directory.

    Raises
    ------
    ConfigError
        for an alias, which moves, and for any other folder
    """
    if not os.path.isdir(path):
        return
    job = job_of_link(path.rstrip("/"), os.path.dirname(path.rstrip("/"))).rstrip("/")
    raise ConfigError(key, f"{path} is an alias, which moves when the job is made again: write {job}, where it leads "
                      f"now, to stay there, or {os.path.basename(path.rstrip('/'))} to follow it" if job else
                      f"{path} is a folder; name a file in it, or a job directory such as Class2D/job012")


def recorded_job(path: str, record: JobRecord) -> PlannedJob | None:
    """Return a recorded job as if the config had it, without inputs; None if its type is not installed."""
    job_type = job_types().get(record.type)
    if job_type is None:
        return None
    connections = dict.fromkeys(record.inputs, Connection("", ""))
    return PlannedJob(config=JobConfig(record.name, job_type, record.parameters, connections), path=path, inputs={})


def maker_of(source: Source, jobs: Mapping[str, PlannedJob], records: Records) -> PlannedJob | None:
    """Return the job that makes what fills a slot: one of the plan, or a recorded one; None for a file of the user."""
    if source.pinned:
        record = records.get(source.pinned)
        return recorded_job(source.pinned, record) if record else None
    return next((job for job in jobs.values() if job.path == source.job), None)


def _of_relion(key: str, slot: Slot, connection: Connection) -> Source:
    """Return the fitting output of a job that RELION made, by its nodes."""
    from cryosnake.pipeline.unlocked import read_pipeline_unlocked  # here: a plan seldom needs it

    path = connection.path
    pipeline = read_pipeline_unlocked()
    nodes = [pipeline.nodes[name] for name in pipeline.outputs.get(f"{path}/", ())]
    fitting = [node.name for node in nodes if any(
        node.type_label.startswith(kind.label) if kind.label and node.type_label else node.type_id == kind.relion3
        for kind in slot.types)]
    found = next((name for name in fitting if os.path.exists(name)), "")
    if not found or connection.output:
        raise ConfigError(key, f"{slot.name} takes {_kinds(slot)}, and {path}, which RELION made, has "
                          f"{', '.join(node.name for node in nodes) or 'no outputs'}: name the file itself")
    return Source(found, "", os.path.basename(found), pinned=path)


def _kinds(slot: Slot) -> str:
    return " or ".join(kind.name for kind in slot.types)
