"""Delete jobs as RELION does: with all that depends on them, to `Trash/`; `undelete` restores them.

The part that leaves the pipeline is written to `deleted_pipeline.star` in the first deleted job, in RELION's form;
it also lists the nodes of other jobs that the deleted jobs read, without which RELION 5 loses those edges on undelete.
That job's directory moves last: while the file is outside the Trash, the deletion was interrupted, and the next command
that deletes, cleans or restores finishes it.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cryosnake.atomic import touch
from cryosnake.errors import CryosnakeError
from cryosnake.names import PIPELINE_FILE, TRASH, job_of_link, why_not_ours
from cryosnake.pipeline.edit import remove_nodes, remove_processes
from cryosnake.pipeline.files import pipeline_blocks, read_pipeline
from cryosnake.pipeline.find_process import find_job
from cryosnake.pipeline.lock import update_pipeline
from cryosnake.pipeline.markers import remove_alias_link, write_node_markers
from cryosnake.pipeline.model import Pipeline, Process, job_number
from cryosnake.pipeline.rebuild import job_directories
from cryosnake.pipeline.recover import is_cut, recovered
from cryosnake.pipeline.star_text import write_blocks
from cryosnake.project.cleaning.guards import GENTLE, refusal
from cryosnake.project.cleaning.trash import (
    free_name,
    in_trash,
    move_link,
    move_tree,
    on_another_disk,
    room_in_trash,
)

DELETED_FILE = "deleted_pipeline.star"
MOVING = ".cryosnake_moving"  # in a directory of the Trash that is not complete yet
CLEANED_FOLDER = ".cryosnake_cleaned"  # files cleaned from a job move with it to the Trash and back


@dataclass(frozen=True)
class Deletion:
    """The jobs of a deletion: those that were named, and all with those that depend on them, in order of number."""

    named: tuple[str, ...]
    all: tuple[str, ...]


def plan_deletion(pipeline: Pipeline, jobs: Iterable[str]) -> Deletion:
    """Return which jobs are deleted together with some. `jobs` are directories, numbers or aliases.

    Raises
    ------
    CryosnakeError
        If a job is unknown, is running, or is final (then its ancestors cannot be deleted either).
    """
    named = tuple(dict.fromkeys(find_job(job, pipeline).name for job in jobs))
    gone = set(named).union(*(pipeline.descendants(name) for name in named))
    deletion = Deletion(named, tuple(sorted(gone, key=lambda name: (job_number(name) or 0, name))))
    for name in deletion.all:
        reason = refusal(pipeline.processes[name], GENTLE)  # by hand, user input may be deleted too
        if reason:
            why = "" if name in named else f"; it depends on {', '.join(named)}"
            raise CryosnakeError(f"{name}: deletion refused: {reason}{why}")
    return deletion


def delete_jobs(deletion: Deletion) -> Pipeline:
    """Move jobs to the Trash and out of the pipeline of the project in the working directory.

    The caller holds `clean_up_lock.cleaning_up`.

    Raises
    ------
    CryosnakeError
        If the pipeline has changed since the deletion was planned so that other jobs depend on these, or a file
        cannot be moved; the next command then continues.
    """

    def remove(pipeline: Pipeline) -> Pipeline:
        now = plan_deletion(pipeline, deletion.named)
        if now.all != deletion.all:
            raise CryosnakeError("the project has changed meanwhile: the deletion would now take "
                                 f"{', '.join(now.all)}; check it again")
        Path(now.all[0]).mkdir(parents=True, exist_ok=True)  # it may have been removed by hand
        write_blocks(Path(now.all[0], DELETED_FILE), pipeline_blocks(deleted_part(pipeline, now.all)))
        aliases.extend(pipeline.processes[name].alias for name in now.all)
        return _without_orphans(remove_processes(pipeline, now.all), pipeline, now.all)

    aliases: list[str] = []
    pipeline = update_pipeline(Path(), remove)
    for alias in filter(None, aliases):
        remove_alias_link(Path(), alias)
    _move_to_trash(deletion.all)
    write_node_markers(Path(), pipeline)
    return pipeline


def deleted_part(pipeline: Pipeline, names: Collection[str]) -> Pipeline:
    """Return the part of a pipeline that is removed with some jobs, and the kept nodes that they read."""
    gone = set(names)
    inputs = tuple(edge for edge in pipeline.input_edges if edge[1] in gone)
    outputs = tuple(edge for edge in pipeline.output_edges if edge[0] in gone)
    wanted = {node for node, _ in inputs} | {node for _, node in outputs}
    return Pipeline(pipeline.counter, {name: pipeline.processes[name] for name in names},
                    {name: node for name, node in pipeline.nodes.items() if name in wanted}, inputs,
                    output_edges=outputs)


def _without_orphans(after: Pipeline, before: Pipeline, gone: Collection[str]) -> Pipeline:
    """Drop nodes that only deleted jobs read, of jobs that were deleted earlier; files from outside stay."""
    read = {node for name in gone for node in before.inputs.get(name, ())}
    return remove_nodes(after, {node for node in read & after.nodes.keys() if job_number(node) is not None
                                and node not in after.producers and not after.consumers[node]})


def half_deleted(pipeline: Pipeline) -> dict[str, list[str]]:
    """Return what interrupted deletions left outside the Trash: the job with the file, and all jobs it lists."""
    found = {}
    for name in cut_short(pipeline):
        found[name] = [job for job in _interrupted(name) if job not in pipeline.processes and os.path.isdir(job)
                       and not why_not_ours("", job)]
    return found


def cut_short(pipeline: Pipeline) -> list[str]:
    """Return the jobs with the file of an interrupted deletion: neither in the pipeline nor in the Trash."""
    return [name for name in job_directories(Path())  # checks one file of each
            if name not in pipeline.processes and Path(name, DELETED_FILE).exists() and _interrupted(name)]


def finish_deletions(pipeline: Pipeline) -> list[str]:
    """Finish interrupted deletions: move the remaining directories to the Trash; return the jobs concerned."""
    finished: list[str] = []
    for name, left in half_deleted(pipeline).items():
        listed = _interrupted(name)
        for job in listed:
            if job not in pipeline.processes and listed[job].alias:
                _remove_dangling(listed[job].alias, job)
        _move_to_trash([name, *(job for job in left if job != name)])
        finished += left
    return finished


def _interrupted(name: str) -> Mapping[str, Process]:
    """Return the jobs of an interrupted deletion, none if its file is damaged or another job's (a copied directory)."""
    try:
        listed = read_pipeline(Path(name, DELETED_FILE)).processes
    except CryosnakeError:
        return {}
    return listed if name in listed else {}


def _move_to_trash(names: Iterable[str]) -> None:
    """Move job directories; the first one, which contains deleted_pipeline.star, last."""
    for name in reversed(list(names)):
        job = name.rstrip("/")
        target = in_trash(job)
        if os.path.islink(target) and os.path.realpath(target) == os.path.realpath(job):
            os.unlink(target)  # a crash interrupted the move of this link
        room_in_trash(job)
        if os.path.isdir(target) and not os.path.exists(f"{target}/{MOVING}"):
            _make_room(job, target)
        if not os.path.isdir(job):
            continue
        move_job(job, target, TRASH)


def move_job(source: str, target: str, disk: str) -> None:
    """Move a job directory; if `target` is on another disk (that of `disk`), it is marked until it is complete.

    Of a job that its owner moved elsewhere, only the link moves: its files stay where they are.
    """
    if os.path.islink(source):
        move_link(source, target)
        return
    if on_another_disk(source, disk):  # then a crash can leave an incomplete copy there
        os.makedirs(target, exist_ok=True)
        touch(Path(target, MOVING))
    move_tree(source, target)
    Path(target, MOVING).unlink(missing_ok=True)


def _make_room(job: str, target: str) -> None:
    """Put files that were cleaned from a job into its directory, and an older job of its number out of the way."""
    if os.path.exists(f"{target}/job.star"):
        os.rename(target, free_name(target))  # RELION gave the number to another job when it overwrote this one
    else:
        move_tree(target, f"{job}/{CLEANED_FOLDER}")


def _remove_dangling(alias: str, job: str) -> None:
    link = Path(alias.rstrip("/"))
    if job_of_link(link, alias.partition("/")[0]) == job:
        link.unlink()


def current_pipeline() -> Pipeline:
    """Return the pipeline of the project in the working directory, what its copies have if it was cut off."""
    return recovered(".") if is_cut(".") else read_pipeline(PIPELINE_FILE)
