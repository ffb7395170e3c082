"""Copies of default_pipeline.star in the job directories, and restoring one of them.

RELION (and this package) copies the file into a job's directory when the job is added or started, so the newest copy
lists all jobs except, perhaps, the last.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from cryosnake.errors import CryosnakeError
from cryosnake.names import PIPELINE_FILE
from cryosnake.pipeline.edit import remove_processes
from cryosnake.pipeline.files import read_pipeline, write_pipeline
from cryosnake.pipeline.lock import pipeline_lock
from cryosnake.pipeline.markers import BACKUP_FILE, exit_of
from cryosnake.pipeline.model import Pipeline
from cryosnake.pipeline.rebuild import highest_number, job_directories, restore_labels

REPLACED = ".replaced"  # default_pipeline.star.replaced: the file as it was before the last restore


@dataclass(frozen=True, kw_only=True)
class Backup:
    """One copy. `unknown`: jobs on disk that it does not list; `gone`: jobs that it lists but that no longer exist."""

    path: str
    changed: float  # seconds since the epoch, by the file system
    jobs: int = 0
    counter: int = 0
    unknown: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    problem: str = ""  # why it can't be read

    def __str__(self) -> str:
        """Return a line that describes the copy to the user."""
        if self.problem:
            return f"{self.path}  can't be used: {self.problem}"
        parts = [time.strftime("%Y-%m-%d %H:%M", time.localtime(self.changed)), f"{self.jobs} jobs"]
        if self.unknown:
            parts.append(f"does not list {_some(self.unknown)}")
        if self.gone:
            parts.append(f"lists {_some(self.gone)}, removed since")
        return f"{self.path}  {', '.join(parts)}"


def backups(project: str | os.PathLike[str]) -> list[Backup]:
    """Return the copies of a project's pipeline file: first those that list the most jobs, then the newest."""
    names = job_directories(project)
    found = [_backup(project, f"{name}{BACKUP_FILE}", names) for name in names
             if Path(project, name, BACKUP_FILE).exists()]
    replaced = f"{PIPELINE_FILE}{REPLACED}"
    if Path(project, replaced).exists():
        found.append(_backup(project, replaced, names))
    return sorted(found, key=lambda item: (bool(item.problem), len(item.unknown), -item.changed))


def restore(project: str | os.PathLike[str], path: str) -> tuple[Pipeline, list[str]]:
    """Restore a copy of the pipeline file; return the pipeline and what was adapted, one sentence each.

    Jobs whose directories no longer exist are left out, statuses follow the exit files, and the counter stays above
    every number ever used. The replaced file is kept as `default_pipeline.star.replaced`.

    Raises
    ------
    CryosnakeError
        when the copy can't be read, or the lock can't be acquired
    """
    notes: list[str] = []
    with pipeline_lock(project):
        copy = read_pipeline(Path(project, path), notes)
        pipeline = _adapted(project, restore_labels(project, copy), notes)
        present = Path(project, PIPELINE_FILE)
        if present.exists() and Path(path).name != present.name + REPLACED:
            os.replace(present, present.with_name(present.name + REPLACED))
        write_pipeline(present, pipeline)
    return pipeline, notes


def _backup(project: str | os.PathLike[str], path: str, names: Iterable[str]) -> Backup:
    changed = Path(project, path).stat().st_mtime
    try:
        pipeline = read_pipeline(Path(project, path))
    except CryosnakeError as error:
        return Backup(path=path, changed=changed, problem=str(error))
    here = set(names)
    return Backup(path=path, changed=changed, jobs=len(pipeline.processes), counter=pipeline.counter,
                  unknown=tuple(name.rstrip("/") for name in names if name not in pipeline.processes),
                  gone=tuple(name.rstrip("/") for name in pipeline.processes if name not in here))


def _adapted(project: str | os.PathLike[str], pipeline: Pipeline, notes: list[str]) -> Pipeline:
    names = job_directories(project)
    gone = [name for name in pipeline.processes if name not in names]
    if gone:
        notes.append(f"left out, because their directories no longer exist: {_some(gone)}")
        pipeline = remove_processes(pipeline, gone)
    unknown = [name for name in names if name not in pipeline.processes]
    if unknown:
        notes.append(f"not in this copy: {_some(unknown)}; `cryosnake rebuild-pipeline` derives the file with them")
    processes = {name: replace(process, status=exit_of(Path(project, name)) or process.status)
                 for name, process in pipeline.processes.items()}
    return replace(pipeline, processes=processes, counter=max(pipeline.counter, highest_number(project) + 1))


def _some(names: Iterable[str]) -> str:
    names = [name.rstrip("/") for name in names]
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
