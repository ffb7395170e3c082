"""Clean one job: move files to the Trash, and restore them.

A cleaned job stays finished: the files are recorded (`cleaned_files`), and are regenerated if, and only if, a job that
is to run needs them (`regenerate_plan`).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cryosnake.errors import CryosnakeError
from cryosnake.pipeline.edit import set_status
from cryosnake.pipeline.lock import update_pipeline
from cryosnake.pipeline.markers import write_node_markers
from cryosnake.pipeline.model import Pipeline, Status
from cryosnake.project.cleaning.clean_sets import clean_set, data_files
from cryosnake.project.cleaning.delete import CLEANED_FOLDER
from cryosnake.project.cleaning.guards import CLEAR, refusal
from cryosnake.project.cleaning.relion_cleaning import relion_clean_set
from cryosnake.project.cleaning.trash import contents, in_trash, move_files, remove_empty_folders, room_in_trash
from cryosnake.project.records.cleaned_files import forget_present, read_cleaned, record_cleaned
from cryosnake.project.records.file_sizes import sizes_of
from cryosnake.project.records.kept_results import drop_results


@dataclass(frozen=True, kw_only=True)
class Action:
    """An action on one job: its level (intermediate to delete), the files to move, the reasons, and what is kept."""

    name: str
    what: str
    files: Mapping[str, int]  # below the job directory, with their bytes
    reasons: tuple[str, ...] = ()
    kept: str = ""

    @property
    def bytes(self) -> int:
        """Bytes that leave the job directory."""
        return sum(self.files.values())


def plan_action(pipeline: Pipeline, name: str, what: str, *, relion: bool = False, force: bool = False) -> Action:
    """Return what cleaning a job would do; nothing is written.

    Parameters
    ----------
    pipeline
        The pipeline of the project in the working directory.
    name
        The process (`Extract/job005/`).
    what
        intermediate, gentle, harsh or clear.
    relion
        Take exactly the files that RELION takes, even if other jobs need them.
    force
        Also take files that a scheduled or running job still needs.

    Raises
    ------
    CryosnakeError
        If a guard refuses it, or the job was never run.
    """
    _refuse(pipeline, name, what)
    present = contents(name.rstrip("/"))[0]
    files = (relion_clean_set if relion else clean_set)(pipeline, name, what, present)
    waiting = [] if relion or force else waiting_readers(pipeline, name)
    needed = set(files if what == CLEAR else data_files(name, files)) if waiting else set()
    kept = f"{len(needed)} files stay, because {', '.join(waiting)} has yet to run; --force takes them"
    return Action(name=name, what=what, files=sizes_of(name, [file for file in files if file not in needed]),
                  kept=kept if needed else "")


def _refuse(pipeline: Pipeline, name: str, what: str) -> None:
    reason = refusal(pipeline.processes[name], what)
    if reason:
        raise CryosnakeError(f"{name}: cleaning refused: {reason}")


def waiting_readers(pipeline: Pipeline, name: str) -> list[str]:
    """Return the jobs that depend on a job and have yet to run, without jobs that were cleared."""
    return [reader for reader in sorted(pipeline.descendants(name))
            if pipeline.processes[reader].status in (Status.SCHEDULED, Status.RUNNING)
            and read_cleaned(reader.rstrip("/")).status is None]


def clean(action: Action) -> None:
    """Carry out an action in the project in the working directory. The caller holds `clean_up_lock.cleaning_up`.

    The record is on disk before the first file moves; after a crash the same call continues.
    """
    job, clear = action.name.rstrip("/"), action.what == CLEAR
    if not action.files:
        return

    def schedule(pipeline: Pipeline) -> Pipeline:
        process = pipeline.processes.get(action.name)
        if process is None:
            raise CryosnakeError(f"{action.name} is no longer in the project; nothing was cleaned")
        _refuse(pipeline, action.name, action.what)
        record_cleaned(job, action.files, process.status if clear else None)
        return set_status(pipeline, action.name, Status.SCHEDULED) if clear else pipeline

    pipeline = update_pipeline(Path(), schedule)
    drop_results(Path(job))
    move_files(action.files, job, room_in_trash(job))
    _remove_emptied(job, action.files)
    if clear:
        write_node_markers(Path(), pipeline)


def unclean(name: str) -> list[str]:
    """Restore the cleaned files of a job from the Trash; return those that are permanently lost.

    Existing files are kept. A cleared job gets its former status when all its files exist again. Files that RELION
    cleaned are restored too. The caller holds `clean_up_lock.cleaning_up`.
    """
    job = name.rstrip("/")
    cleaned = read_cleaned(job)
    for place in (in_trash(job), f"{job}/{CLEANED_FOLDER}"):
        if os.path.islink(place) or not os.path.isdir(place):
            continue
        present, folders = contents(place)
        for file in present:
            doubled = "" if file in cleaned.files else _doubled(file)
            target = file.removeprefix(doubled)
            if not os.path.lexists(f"{job}/{target}"):
                move_files([target], f"{place}/{doubled}".rstrip("/"), job)
        remove_empty_folders(place, folders)
        remove_empty_folders(os.path.dirname(place), [os.path.basename(place)])
    forget_present(job)
    missing = sorted(read_cleaned(job).files)
    if cleaned.status is not None and not missing:
        status = cleaned.status
        pipeline = update_pipeline(Path(), lambda present: set_status(present, name, status))
        write_node_markers(Path(), pipeline)
    return missing


def _doubled(file: str) -> str:
    """Return the folder that RELION's harsh cleaning adds to a path: Movies/a.mrc goes to Movies/Movies/a.mrc."""
    head, _, tail = file.partition("/")
    return f"{head}/" if tail.startswith(f"{head}/") else ""


def _remove_emptied(job: str, files: Iterable[str]) -> None:
    """Remove the folders that cleaning has emptied."""
    folders = set()
    for file in files:
        while "/" in file:
            file = file.rpartition("/")[0]
            folders.add(file)
    remove_empty_folders(job, folders)
