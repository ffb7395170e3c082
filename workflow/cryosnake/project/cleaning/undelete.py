"""Restore deleted jobs from the Trash: files, nodes, edges and aliases as they were.

A deletion is undone as a whole, as in RELION. Directories are restored first, the one with `deleted_pipeline.star`
last, so that the same command continues after a crash.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from cryosnake.errors import CryosnakeError
from cryosnake.names import JOB_STARS, TRASH
from cryosnake.pipeline.edit import tidy
from cryosnake.pipeline.files import read_pipeline
from cryosnake.pipeline.find_process import find_job
from cryosnake.pipeline.job_star import JOB_PIPELINE_FILE
from cryosnake.pipeline.lock import update_pipeline
from cryosnake.pipeline.markers import alias_obstacle, make_alias_link, write_node_markers
from cryosnake.pipeline.model import Edge, Pipeline
from cryosnake.project.cleaning.delete import CLEANED_FOLDER, DELETED_FILE, MOVING, current_pipeline, move_job
from cryosnake.project.cleaning.trash import contents, in_trash, move_tree, remove_empty_folders, room_in_trash
from cryosnake.project.records.own_trash import free_trash, is_own, trash_size, trashed


@dataclass(frozen=True)
class Deleted:
    """One deletion in the Trash: the job with its file, and the part of the pipeline that it removed."""

    holder: str
    part: Pipeline


def deletions() -> list[Deleted]:
    """Return the deletions that can be undone, the newest last."""
    files = [path for folder in trashed() if (path := Path(folder, DELETED_FILE)).exists()]
    found = []
    for path in sorted(files, key=lambda path: path.stat().st_mtime_ns):
        try:
            found.append(Deleted(f"{path.parent.parent.name}/{path.parent.name}/", read_pipeline(path)))
        except CryosnakeError as error:
            print(f"{error}; this deletion can't be undone", file=sys.stderr)
    return [item for item in found if item.holder in item.part.processes]


def deletion_of(job: str) -> Deleted:
    """Return the newest deletion of a job, given by directory, number or alias.

    Raises
    ------
    CryosnakeError
        If no such job is in the Trash.
    """
    for item in reversed(deletions()):
        try:
            find_job(job.removeprefix(f"{TRASH}/"), item.part)
        except CryosnakeError:
            continue
        return item
    known = ", ".join(name.rstrip("/") for item in deletions() for name in item.part.processes)
    content = f"contains {known}" if known else "is empty"
    raise CryosnakeError(f"there is no deleted job {job!r} in the Trash; it {content}")


def undelete(deleted: Deleted) -> list[str]:
    """Undo a deletion in the project in the working directory; the caller holds `clean_up_lock.cleaning_up`.

    Returns a line for each alias that another job has taken meanwhile, and for each parent that is itself deleted.

    Raises
    ------
    CryosnakeError
        If a job of this name exists in the project, or a file cannot be moved.
    """
    notes: list[str] = []
    _refuse_existing(deleted)
    deleted = _without_occupied_aliases(deleted, notes)
    for name in deleted.part.processes:
        if name != deleted.holder:
            _bring_back(name)
    pipeline = update_pipeline(Path(), lambda present: restored(present, deleted.part, notes))
    for name in deleted.part.processes:
        make_alias_link(Path(), pipeline.processes[name])
    _bring_back(deleted.holder)
    Path(deleted.holder, DELETED_FILE).unlink(missing_ok=True)
    pipeline = update_pipeline(Path(), lambda present: _with_recorded_inputs(present, deleted.part))
    write_node_markers(Path(), pipeline)
    return notes


def restored(pipeline: Pipeline, part: Pipeline, notes: list[str]) -> Pipeline:
    """Return a pipeline with a deleted part restored; pure."""
    processes = dict(pipeline.processes)
    for name, process in part.processes.items():
        owner = pipeline.by_alias.get(process.alias)
        if owner is not None and owner.name != name:
            notes.append(f"{name}: its alias {process.short_alias!r} now belongs to {owner.name}; it has none")
            process = replace(process, alias="")
        processes.setdefault(name, process)
    nodes = {**part.nodes, **pipeline.nodes}
    result, _ = tidy(replace(
        pipeline, counter=max(pipeline.counter, part.counter), processes=processes, nodes=nodes,
        input_edges=_merged(pipeline.input_edges, part.input_edges),
        output_edges=_merged(pipeline.output_edges, part.output_edges)))
    for node, name in part.input_edges:
        if node not in pipeline.nodes and node not in {made for _, made in part.output_edges}:
            notes.append(f"{name}: the job that made {node} is not in the project; undelete it too")
    return result


def empty_trash() -> int:
    """Empty the Trash permanently; return the bytes that were in it. The caller holds `clean_up_lock.cleaning_up`.

    Only jobs and files of jobs are removed. Of a job that its owner moved elsewhere, the Trash contains a link: its
    files stay where they are.

    Raises
    ------
    CryosnakeError
        When an undelete was interrupted, so that the files of a job of the project are still in the Trash, or a file
        cannot be removed.
    """
    for item in deletions():
        if not os.path.isdir(item.holder) and item.holder in current_pipeline().processes:
            raise CryosnakeError(f"the files of {item.holder} are still in the Trash, because an undelete was "
                                 f"interrupted; `cryosnake undelete {item.holder.rstrip('/')}` finishes it")
    size = trash_size()
    try:  # the folder itself stays: it may be a link to another disk
        for path in list(trashed()):
            if os.path.islink(path) or not os.path.isdir(path):
                os.unlink(path)
            else:
                shutil.rmtree(path)
        if is_own() and os.path.isdir(TRASH):
            remove_empty_folders(TRASH, contents(TRASH)[1])
        free_trash()
    except OSError as error:
        raise CryosnakeError(f"{error.filename}: cannot be removed ({error.strerror}); it may belong to another "
                             "user") from error
    return size


def _refuse_existing(deleted: Deleted) -> None:
    for name in deleted.part.processes:
        trash = in_trash(name.rstrip("/"))
        a_job = any(os.path.exists(f"{trash}/{file}") for file in JOB_STARS)
        if a_job and os.path.lexists(name.rstrip("/")) and not os.path.exists(f"{name}{MOVING}") \
                and os.path.realpath(name) != os.path.realpath(trash):
            raise CryosnakeError(f"{name} exists in the project, and so does a deleted job of that name in "
                                 f"{trash}/: delete or rename the present one first")


def _without_occupied_aliases(deleted: Deleted, notes: list[str]) -> Deleted:
    """Take the aliases from jobs where something that is not an alias link is in the place of the link."""
    processes = dict(deleted.part.processes)
    for name, process in processes.items():
        obstacle = alias_obstacle(Path(), process.alias, name) if process.alias else ""
        if obstacle:
            notes.append(f"{name}: without its alias {process.short_alias!r}, because {obstacle}")
            processes[name] = replace(process, alias="")
    return replace(deleted, part=replace(deleted.part, processes=processes))


def _bring_back(name: str) -> None:
    job = name.rstrip("/")
    trash = in_trash(job)
    half_way = os.path.exists(f"{job}/{MOVING}") or (os.path.islink(trash)
                                                     and os.path.realpath(trash) == os.path.realpath(job))
    if half_way or not os.path.isdir(job):  # else only files cleaned from it are in the Trash
        move_job(trash, job, ".")
    if os.path.lexists(f"{job}/{CLEANED_FOLDER}"):
        move_tree(f"{job}/{CLEANED_FOLDER}", room_in_trash(job))


def _merged(first: Iterable[Edge], second: Iterable[Edge]) -> tuple[Edge, ...]:
    return tuple(dict.fromkeys((*first, *second)))


def _with_recorded_inputs(pipeline: Pipeline, part: Pipeline) -> Pipeline:
    """Give jobs that RELION deleted, without the edges from kept nodes, the inputs of their own job_pipeline.star."""
    edges: list[Edge] = []
    for name in part.processes:
        if not pipeline.inputs.get(name):
            try:
                own = read_pipeline(Path(name, JOB_PIPELINE_FILE))
            except CryosnakeError:
                continue
            edges += [edge for edge in own.input_edges if edge[1] == name and edge[0] in pipeline.nodes]
    return replace(pipeline, input_edges=_merged(pipeline.input_edges, edges)) if edges else pipeline
