"""Details of one job for `cryosnake show`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryosnake.errors import CryosnakeError
from cryosnake.io.star_rows import count_rows
from cryosnake.jobs.registry import job_types
from cryosnake.pipeline.job_star import JOB_FILE, read_job_star
from cryosnake.pipeline.model import Pipeline, Process
from cryosnake.project.actions.key_results import Result, key_results
from cryosnake.project.actions.notes import read_note
from cryosnake.project.actions.status import JobStatus, job_status
from cryosnake.project.records.final_marks import is_final
from cryosnake.project.records.record import JobRecord, read_record
from cryosnake.project.records.run_times import RunTime, read_run_times


@dataclass(frozen=True, kw_only=True)
class FileOfJob:
    """An input or output: its path, what it contains, the job at its other end, and whether it exists."""

    path: str
    kind: str
    count: int  # rows; 0 for maps and other files
    jobs: tuple[str, ...]  # the job that made it, or those that use it, as job directories
    exists: bool


@dataclass(frozen=True, kw_only=True)
class JobDetails:
    """One job. `parameters` maps names to (value, stated): a value that is not stated is the default."""

    status: JobStatus
    title: str
    final: bool
    record: JobRecord | None
    parameters: Mapping[str, tuple[Any, bool]]
    inputs: tuple[FileOfJob, ...]
    outputs: tuple[FileOfJob, ...]
    users: tuple[str, ...]
    results: tuple[Result, ...]
    runs: tuple[RunTime, ...]
    files: int
    note: str


def job_details(pipeline: Pipeline, process: Process) -> JobDetails:
    """Return the details of a job of the project in the working directory."""
    path = process.name.rstrip("/")
    record = read_record(Path(path))
    makers = {node: (pipeline.producers[node],) if node in pipeline.producers else ()
              for node in pipeline.inputs[process.name]}
    users = {node: pipeline.consumers.get(node, ()) for node in pipeline.outputs[process.name]}
    return JobDetails(
        status=job_status(process), title=_title(process, record), final=is_final(path), record=record,
        parameters=job_parameters(path, record), inputs=tuple(_file(pipeline, *item) for item in makers.items()),
        outputs=tuple(_file(pipeline, *item) for item in users.items()),
        users=tuple(name.rstrip("/") for name in pipeline.children(process.name)), results=tuple(key_results(path)),
        runs=tuple(read_run_times(path)), files=sum(len(names) for _, _, names in os.walk(path)), note=read_note(path))


def job_parameters(path: str, record: JobRecord | None) -> dict[str, tuple[Any, bool]]:
    """Return a job's parameters with their values and whether they were stated; RELION's options for RELION's jobs.

    A parameter that a later version brought has that version's default, because it did not exist when the job was made.
    """
    if record is None:
        try:
            return {name: (value, True) for name, value in read_job_star(Path(path, JOB_FILE)).options.items()}
        except CryosnakeError:
            return {}
    return {name: (record.stated.get(name, value), name in record.stated) for name, value in record.parameters.items()}


def log_tail(path: str, lines: int, error: bool = False) -> list[str]:
    """Return the last lines of a job's run.out, or run.err, without reading all of a long log."""
    try:
        with open(Path(path, "run.err" if error else "run.out"), "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 400 * max(lines, 1)))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return []
    return text.splitlines()[-lines:] if lines > 0 else []


def _title(process: Process, record: JobRecord | None) -> str:
    job_type = job_types().get(record.type) if record else None
    return job_type.title if job_type else f"{process.type_label or process.folder} (made by RELION)"


def _file(pipeline: Pipeline, node: str, jobs: tuple[str, ...]) -> FileOfJob:
    kind = pipeline.nodes[node].type_label.partition(".")[0]
    count = count_rows(node) if node.endswith(".star") else 0
    return FileOfJob(path=node, kind=kind, count=count, jobs=tuple(job.rstrip("/") for job in jobs),
                     exists=os.path.exists(node))
