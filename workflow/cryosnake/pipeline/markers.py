"""Small files that inform RELION about a job: exit files, node markers, alias links, note.txt, backups."""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from cryosnake.atomic import flush, own_file, replacing, touch
from cryosnake.errors import CryosnakeError
from cryosnake.names import PIPELINE_FILE, is_below, is_listed_name, job_of_link
from cryosnake.pipeline.model import Node, Pipeline, Process, Status
from cryosnake.pipeline.star_text import write_atomically

ABORT_REQUEST = "RELION_JOB_ABORT_NOW"
EXIT_FILES = {
    Status.SUCCEEDED: "RELION_JOB_EXIT_SUCCESS",
    Status.FAILED: "RELION_JOB_EXIT_FAILURE",
    Status.ABORTED: "RELION_JOB_EXIT_ABORTED",
}
NODES_DIRECTORY = ".Nodes"
BACKUP_FILE = PIPELINE_FILE
_NO_LINKS = (errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP)  # from exFAT, and some file servers


def set_exit(job_dir: str | os.PathLike[str], kind: Status, keep_request: bool = False) -> None:
    """Record how a job ended: write its exit file, flushed, remove the other two and any abort request.

    Parameters
    ----------
    job_dir
        The job directory.
    kind
        SUCCEEDED, FAILED or ABORTED.
    keep_request
        Leave an abort request that another program of the job has not seen yet.
    """
    touch(Path(job_dir, EXIT_FILES[kind]))
    flush(Path(job_dir, EXIT_FILES[kind]))
    clear_exit(job_dir, EXIT_FILES[kind], *([ABORT_REQUEST] if keep_request else []))


def clear_exit(job_dir: str | os.PathLike[str], *keep: str) -> None:
    """Remove exit files and abort request, except those in `keep`, as RELION does before it starts a job."""
    for name in (*EXIT_FILES.values(), ABORT_REQUEST):
        if name not in keep:
            Path(job_dir, name).unlink(missing_ok=True)


def exit_of(job_dir: str | os.PathLike[str]) -> Status | None:
    """Return how a job ended, None if it has not; RELION's order: success before failure before abort."""
    return next((kind for kind, name in EXIT_FILES.items() if os.path.exists(os.path.join(job_dir, name))), None)


def abort_requested(job_dir: str | os.PathLike[str]) -> bool:
    """Return whether the user asked the job to stop."""
    return os.path.exists(os.path.join(job_dir, ABORT_REQUEST))


def write_node_markers(project: str | os.PathLike[str], pipeline: Pipeline, names: Iterable[str] | None = None) -> None:
    """Make the empty files below `.Nodes` from which RELION's file browser offers inputs, in both dialects.

    Only empty files below a `.Nodes` that is a folder of the project are made and removed; a link is left alone. With
    all nodes, alias links that lead nowhere are corrected, too.

    A node is marked when its file exists, or when the job that will produce it is scheduled. 3.1 looks under the
    type's integer, 4 and 5 under the first field of its label. Markers of jobs with an alias are under the alias.

    Parameters
    ----------
    project
        The project directory.
    pipeline
        Its pipeline.
    names
        The nodes to mark; all when None, and then markers of nodes that no longer exist are removed.
    """
    base = Path(project, NODES_DIRECTORY)
    if base.is_symlink():
        return
    wanted: set[Path] = set()
    for name in pipeline.nodes if names is None else names:
        producer = pipeline.processes.get(pipeline.producers.get(name, ""))
        scheduled = producer is not None and producer.status == Status.SCHEDULED
        if scheduled or Path(project, name).exists():
            wanted.update(base / path for path in marker_paths(pipeline.nodes[name], producer))
    for marker in wanted:
        if not marker.exists() and is_below(base, os.path.relpath(marker, base)):
            marker.parent.mkdir(parents=True, exist_ok=True)
            marker.touch()
    if names is None:
        _remove_other_markers(base, wanted)
        correct_alias_links(project, pipeline)


def marker_paths(node: Node, producer: Process | None) -> list[str]:
    """Return the paths below `.Nodes` that mark a node."""
    shown = node.name
    if producer is not None and producer.alias and shown.startswith(producer.name):
        shown = producer.alias + shown.removeprefix(producer.name)
    fields = node.type_label.split(".")
    folders = [str(node.type_id), fields[0], ".".join(fields[:node.depth])]
    paths = (f"{folder}/{shown}" for folder in dict.fromkeys(folders) if folder)
    return [path for path in paths if is_listed_name(path)]


def alias_obstacle(project: str | os.PathLike[str], alias: str, name: str) -> str:
    """Return a sentence about what is in the place of a job's alias link and is not one, "" if nothing is."""
    link = Path(project, alias.rstrip("/"))
    if not os.path.lexists(link) or job_of_link(link, alias.partition("/")[0]):
        return ""
    return f"{link}: exists where the alias link of {name} belongs; rename it, or choose another alias"


def make_alias_link(project: str | os.PathLike[str], process: Process) -> None:
    """Point `<type>/<alias>` to the job directory, as RELION does; the alias link of another job is changed.

    Raises
    ------
    CryosnakeError
        If something that is not an alias link has this name.
    """
    if not process.alias:
        return
    obstacle = alias_obstacle(project, process.alias, process.name)
    if obstacle:
        raise CryosnakeError(obstacle)
    link = Path(project, process.alias.rstrip("/"))
    target = f"../{process.name}"
    if link.is_symlink() and os.readlink(link) == target:
        return
    link.parent.mkdir(parents=True, exist_ok=True)
    try:
        with replacing(link) as temporary:
            temporary.unlink()
            temporary.symlink_to(target)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        _say_no_links(os.path.realpath(project))


def correct_alias_links(project: str | os.PathLike[str], pipeline: Pipeline) -> None:
    """Point alias links that lead nowhere to their jobs: RELION refuses a project that has one."""
    for process in pipeline.processes.values():
        link = Path(project, process.alias.rstrip("/"))
        if process.alias and link.is_symlink() and not link.exists() and Path(project, process.name).exists():
            make_alias_link(project, process)


@cache
def _say_no_links(project: str) -> None:
    print(f"{project}: this file system has no symbolic links; aliases of jobs stand in {PIPELINE_FILE} alone. Move "
          "the project to another disk if you need the links", file=sys.stderr)


def remove_alias_link(project: str | os.PathLike[str], alias: str) -> None:
    """Remove the link of an alias (`MotionCorr/motion/`), if there is one."""
    link = Path(project, alias.rstrip("/"))
    if job_of_link(link, alias.partition("/")[0]):
        link.unlink()


def append_note(job_dir: str | os.PathLike[str], command: str, when: float | None = None) -> None:
    """Append an entry for a start of the job to note.txt, in RELION's form.

    Parameters
    ----------
    job_dir
        The job directory.
    command
        The command line, or several joined by line breaks.
    when
        Seconds since the epoch; now when None.
    """
    text = (f"\n ++++ Executing new job on {time.ctime(when)}\n ++++ with the following command(s): \n{command}\n"
            " ++++ \n")
    with open(Path(job_dir, "note.txt"), "a", encoding="utf-8", opener=own_file) as file:
        file.write(text)


def back_up(project: str | os.PathLike[str], job_dir: str | os.PathLike[str]) -> None:
    """Copy default_pipeline.star into a job directory, as RELION does after adding or starting the job.

    Parameters
    ----------
    project
        The project directory.
    job_dir
        The job directory, below the project (`MotionCorr/job002/`) or absolute.
    """
    text = Path(project, PIPELINE_FILE).read_text(encoding="utf-8", errors="surrogateescape")
    write_atomically(Path(project, job_dir, BACKUP_FILE), text)


def _remove_other_markers(base: Path, wanted: set[Path]) -> None:
    for folder, _, files in os.walk(base, topdown=False):
        for name in files:
            marker = Path(folder, name)
            if marker not in wanted and not marker.is_symlink() and marker.stat().st_size == 0:
                marker.unlink()
        if Path(folder) != base and not os.listdir(folder):
            os.rmdir(folder)
