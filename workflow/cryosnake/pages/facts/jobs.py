"""What a page says of each job: state, results, parameters, times, and why it failed."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from cryosnake.errors import CryosnakeError
from cryosnake.jobs.model import JobType
from cryosnake.jobs.registry import by_folder, job_types
from cryosnake.pages.panels.view import JobView
from cryosnake.pipeline.model import Pipeline, Process, Status
from cryosnake.project.actions.job_details import job_parameters, log_tail
from cryosnake.project.actions.key_results import Result, key_results
from cryosnake.project.actions.notes import source_path
from cryosnake.project.actions.status import JobStatus, job_status
from cryosnake.project.locks.job_status import KILLED, last_reason
from cryosnake.project.records.file_sizes import folder_size
from cryosnake.project.records.record import JobRecord, read_record
from cryosnake.project.records.run_times import RunTime, read_run_times, seconds_taken

_NOTICE = re.compile(r"WARNING:? *(.+)")
_LOG_LINES = 400
_MOST_NOTICES = 8
_LONGEST = 500  # letters of a value, a line or a reason


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A parameter with another value than the default, as text."""

    name: str
    value: str
    default: str
    help: str


@dataclass(frozen=True, kw_only=True)
class JobFacts:
    """One job. `problem` says why it failed, or what of it can't be read.

    What costs much is read when a page asks for it, in the project's folder: of thousands of jobs few are shown.
    """

    process: Process
    status: JobStatus  # without its size
    job_type: JobType | None
    record: JobRecord | None
    runs: tuple[RunTime, ...]
    seconds: float
    problem: str
    gone: bool  # its directory does not exist
    inputs: tuple[str, ...]  # process names
    users: tuple[str, ...]

    @property
    def anchor(self) -> str:
        """Its place in the page."""
        return f"job{self.process.number:03d}"

    @property
    def path(self) -> str:
        """Its directory, as "Class2D/job007"."""
        return self.process.name.rstrip("/")

    @property
    def title(self) -> str:
        """Its type in words."""
        return self.job_type.title if self.job_type else self.process.folder

    @property
    def state(self) -> str:
        """One word for its state; killed where the program has ended without a message."""
        return "killed" if self.status.dead else "replaced" if self.status.replaced else self.status.state.lower()

    @cached_property
    def size(self) -> int:
        """The bytes of its files."""
        return folder_size(self.path)

    @cached_property
    def results(self) -> tuple[Result, ...]:
        """Its key results."""
        return tuple(key_results(self.path))

    @cached_property
    def settings(self) -> tuple[Setting, ...]:
        """Its parameters that differ from the default."""
        return tuple(_settings(self.path, self.record))

    @cached_property
    def notices(self) -> tuple[str, ...]:
        """The lines of its log that begin with WARNING."""
        return _notices(self._tail)

    @cached_property
    def log(self) -> tuple[str, ...]:
        """The end of its log, of a job that failed."""
        return tuple(self._tail[-12:]) if self.problem else ()

    @cached_property
    def _tail(self) -> list[str]:
        return [line[:_LONGEST] for line in log_tail(self.path, _LOG_LINES)]

    def view(self) -> JobView:
        """Return it as panels see it."""
        values: dict[str, Any] = {}
        if self.record:
            values = {**self.record.parameters, **{slot: source_path(source) for slot, source in
                                                   self.record.inputs.items()}}
        return JobView(path=Path(self.path), folder=self.process.folder, values=values)


def job_facts(pipeline: Pipeline, process: Process) -> JobFacts:
    """Return the facts of a job of the project in the working directory; what is damaged is left out, and said."""
    path, problem = process.name.rstrip("/"), ""
    record: JobRecord | None = None
    try:
        record = read_record(Path(path))
        status = job_status(process, sized=False, record=record)
    except (CryosnakeError, OSError, UnicodeError) as error:
        status, problem = _bare_status(process), str(error)
    runs = tuple(read_run_times(path))
    if not problem and os.path.isdir(path) and (status.dead or process.status in (Status.FAILED, Status.ABORTED)):
        problem = last_reason(Path(path)) or (KILLED if status.dead else "no reason was written to run.err")
    return JobFacts(
        process=process, status=status, job_type=job_types().get(record.type) if record else by_folder(process.folder),
        record=record, runs=runs, seconds=sum(run.seconds for run in runs) or seconds_taken(path) or 0.0,
        problem=problem[:_LONGEST], gone=not os.path.isdir(path),
        inputs=tuple(pipeline.parents(process.name)), users=tuple(pipeline.children(process.name)))


def _bare_status(process: Process) -> JobStatus:
    return JobStatus(path=process.name.rstrip("/"), alias=process.short_alias, state=process.status.label, done=0,
                     failed=0, rejected=0, batches=0, changed=0.0, size=0, version="", dead=False, replaced=False,
                     final=False, outdated="")


def _settings(path: str, record: JobRecord | None) -> list[Setting]:
    """Return the parameters that differ from the default; of RELION's jobs all, because its defaults are not known."""
    job_type = job_types().get(record.type) if record else None
    if job_type is None:
        return [Setting(name=name, value=_text(value), default="", help="")
                for name, (value, _) in job_parameters(path, record).items()]
    known = {parameter.name: parameter for parameter in job_type.parameters}
    values: Mapping[str, Any] = record.parameters if record else {}
    found = []
    for name, value in values.items():
        parameter = known.get(name)
        if parameter is None or value != parameter.default:
            unit = f" {parameter.unit}" if parameter and parameter.unit else ""
            found.append(Setting(name=name, value=_text(value) + unit, help=parameter.help if parameter else "",
                                 default=_text(parameter.default) if parameter and not parameter.required else ""))
    return found


def _text(value: Any) -> str:
    text = _words(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} …"


def _words(value: Any) -> str:
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(_words(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _notices(log: list[str]) -> tuple[str, ...]:
    found = dict.fromkeys(match[1].strip()[:_LONGEST] for line in log if (match := _NOTICE.match(line.strip())))
    return tuple(found)[:_MOST_NOTICES]
