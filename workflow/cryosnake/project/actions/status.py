"""Status of each job for `cryosnake status`: state, progress per micrograph, time and size on disk."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from cryosnake.errors import CryosnakeError
from cryosnake.pipeline.model import Process, Status
from cryosnake.pipeline.unlocked import read_pipeline_unlocked
from cryosnake.project.config.values import nearest
from cryosnake.project.locks.job_status import is_dead
from cryosnake.project.locks.snakemake_lock import running_claim
from cryosnake.project.planning.growth import outdated
from cryosnake.project.records.batches import batch_number, read_done, revisions
from cryosnake.project.records.disk import BATCHES
from cryosnake.project.records.file_sizes import size_and_time
from cryosnake.project.records.final_marks import is_final
from cryosnake.project.records.record import JobRecord, read_record


@dataclass(frozen=True, kw_only=True)
class JobStatus:
    """One line of the status. Micrograph counts are 0 for jobs that take their input whole."""

    path: str
    alias: str
    state: str
    done: int
    failed: int
    rejected: int
    batches: int
    changed: float  # time of the last change, seconds since the epoch
    size: int  # bytes that deleting the job would free
    version: str
    dead: bool  # listed as running, though no program works in it: it was killed
    replaced: bool  # listed as scheduled, though another job has its place in the config: it never starts
    final: bool
    outdated: str  # how its input has grown since, "" if it has not

    @property
    def full_state(self) -> str:
        """The state, with a remark if the job was killed, or replaced before it started."""
        return f"{self.state}{' (killed)' * self.dead}{' (replaced)' * self.replaced}"


def project_status() -> list[JobStatus]:
    """Return the status of every job that default_pipeline.star lists, in the order of the numbers."""
    return [job_status(process) for process in
            sorted(read_pipeline_unlocked().processes.values(), key=lambda process: process.number)]


def job_status(process: Process, *, sized: bool = True, record: JobRecord | None = None) -> JobStatus:
    """Return the status of one job of the project in the working directory.

    Not `sized`, its files are not walked through, and their size and time are 0. A `record` that was read already is
    not read again.
    """
    path = process.name.rstrip("/")
    counts = Counter(item.state for number in recorded_batches(path) for item in read_done(path, number).values())
    size, changed = size_and_time(path) if sized else (0, 0.0)
    record = record or read_record(Path(path))
    dead = process.status == Status.RUNNING and not running_claim() and is_dead(path)
    return JobStatus(path=path, alias=process.short_alias, state=process.status.label, done=counts["ok"],
                     failed=counts["failed"], rejected=counts["rejected"], batches=len(revisions(path)),
                     changed=changed, size=size, version=record.version if record else "", dead=dead,
                     replaced=_is_replaced(process, record), final=is_final(path), outdated=outdated(record))


def _is_replaced(process: Process, record: JobRecord | None) -> bool:
    """Whether a job of ours never started, and lost the alias that it has from the config to another one."""
    return (process.status == Status.SCHEDULED and record is not None and not process.alias
            and not Path(process.name, "note.txt").exists())


def chosen(jobs: list[JobStatus], state: str = "", folder: str = "") -> list[JobStatus]:
    """Return the jobs in a state (running, …, killed, replaced, final) and of a type's folder; "" selects all.

    Raises
    ------
    CryosnakeError
        for an unknown state
    """
    states = {*(status.label.lower() for status in Status), "killed", "final", "replaced"}
    word = {"finished": "succeeded"}.get(state.lower(), state.lower())
    if word and word not in states:
        raise CryosnakeError(f"{state!r} is not a state of a job{nearest(word, states)}; the states are "
                             f"{', '.join(sorted(states))}")
    return [job for job in jobs if folder.lower() in ("", job.path.partition("/")[0].lower())
            and (not word or word == job.state.lower() or (word == "killed" and job.dead)
                 or (word == "replaced" and job.replaced) or (word == "final" and job.final))]


def recorded_batches(path: str) -> list[int]:
    """Return the numbers of the batches in which something was recorded."""
    return sorted(batch_number(file.name) for file in Path(path, BATCHES).glob("*.done"))
