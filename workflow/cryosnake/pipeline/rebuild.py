"""Derive default_pipeline.star again from the job directories, and the labels that RELION 3.1 removed from it.

Every job directory describes itself: job_pipeline.star (type, nodes, edges), job.star (type), exit file (status),
RELION_OUTPUT_NODES.star (nodes found while running), and the links beside it (alias).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from cryosnake.errors import CryosnakeError
from cryosnake.names import TRASH, is_alias, is_job_name, job_of_link, why_not_ours
from cryosnake.pipeline.edit import tidy
from cryosnake.pipeline.files import read_pipeline
from cryosnake.pipeline.job_star import (
    JOB_FILE,
    JOB_PIPELINE_FILE,
    OUTPUT_NODES_FILE,
    read_job_star,
    read_output_nodes,
)
from cryosnake.pipeline.markers import exit_of
from cryosnake.pipeline.model import Edge, Node, Pipeline, Process, Status, job_number
from cryosnake.pipeline.types import process_id_of, process_label_of, type_folders


def rebuild(project: str | os.PathLike[str], warnings: list[str] | None = None) -> Pipeline:
    """Derive the pipeline of a project from its job directories, without writing it.

    Parameters
    ----------
    project
        The project directory.
    warnings
        Gets one line for each job whose own files are missing or damaged, and for each edge that had to be dropped.

    Returns
    -------
    Pipeline
        Processes in the order of their numbers. The counter is one more than the highest number of any job,
        deleted ones in `Trash` included.
    """
    notes: list[str] = [] if warnings is None else warnings
    found = {name: why_not_ours(project, name) for name in _job_names(project)}
    notes.extend(f"{name}: left out, because {why}" for name, why in found.items() if why)
    names = [name for name, why in found.items() if not why]
    aliases = _alias_links(project)
    processes: dict[str, Process] = {}
    nodes: dict[str, Node] = {}
    inputs: list[Edge] = []
    outputs: list[Edge] = []
    for name in names:
        part = _job_part(project, name, notes)
        process = part.processes[name]
        processes[name] = replace(process, alias=aliases.get(name, ""),
                                  status=exit_of(Path(project, name)) or process.status)
        made = {node for _, node in part.output_edges}
        for node in part.nodes.values():
            if node.name in made or node.name not in nodes:  # the job that produces a node has its exact type
                nodes[node.name] = node
        inputs.extend(part.input_edges)
        outputs.extend(part.output_edges)
        outputs.extend(_foreign_outputs(part, processes))
    pipeline, dropped = tidy(Pipeline(highest_number(project) + 1, processes, nodes, tuple(dict.fromkeys(inputs)),
                                      output_edges=tuple(dict.fromkeys(outputs))))
    notes.extend(dropped)
    return pipeline


def restore_labels(project: str | os.PathLike[str], pipeline: Pipeline) -> Pipeline:
    """Restore the deeper labels (`relion.motioncorr.own`) that RELION 3.1 dropped when it rewrote the pipeline.

    They are taken from each job's own job_pipeline.star, where its integer type agrees; a job that RELION 3.1 itself
    made has none, and keeps the label derived from its integer.
    """
    processes, nodes = dict(pipeline.processes), dict(pipeline.nodes)
    for name, process in pipeline.processes.items():
        try:
            part = read_pipeline(Path(project, name, JOB_PIPELINE_FILE))
        except CryosnakeError:
            continue
        own = part.processes.get(name)
        if own is not None and own.type_id == process.type_id:
            processes[name] = replace(process, type_label=own.type_label)
        for node in pipeline.outputs[name]:
            known = part.nodes.get(node)
            if known is not None and known.type_id == nodes[node].type_id:
                nodes[node] = known
    return replace(pipeline, processes=processes, nodes=nodes)


def job_directories(project: str | os.PathLike[str]) -> list[str]:
    """Return the names (`CtfFind/job007/`) of all job directories of a project, in the order of their numbers."""
    return [name for name in _job_names(project) if not why_not_ours(project, name)]


def highest_number(project: str | os.PathLike[str]) -> int:
    """Return the highest job number that a directory has, or a link or a deleted job; 0 if there is none."""
    return max((job_number(name) or 0 for name in (*_job_names(project), *_job_names(Path(project, TRASH)))), default=0)


def _job_names(project: str | os.PathLike[str]) -> list[str]:
    """Return the names of all directories and links that look like jobs: in a type folder, or naming themselves."""
    known = type_folders()
    names = []
    for folder in filter(_is_type_folder, _entries(project)):
        for entry in _entries(folder.path):
            name = f"{folder.name}/{entry.name}/"
            if (is_job_name(name) and job_number(name) and (entry.is_dir() or entry.is_symlink())
                    and (folder.name in known or _names_itself(entry.path, name))):
                names.append(name)
    return sorted(names, key=lambda name: (job_number(name) or 0, name))


def _names_itself(directory: str, name: str) -> bool:
    """Whether a directory outside the known type folders is a job: not movies in a folder called job123."""
    try:
        return name in read_pipeline(Path(directory, JOB_PIPELINE_FILE)).processes
    except CryosnakeError:
        return False


def _alias_links(project: str | os.PathLike[str]) -> dict[str, str]:
    """Return process name -> full alias, from the links in the type folders."""
    aliases: dict[str, str] = {}
    for folder in filter(_is_type_folder, _entries(project)):
        for entry in _entries(folder.path):
            alias, job = f"{folder.name}/{entry.name}/", job_of_link(entry.path, folder.name)
            if job and is_alias(alias, job):
                aliases.setdefault(job, alias)
    return aliases


def _is_type_folder(entry: os.DirEntry[str]) -> bool:
    """Whether there may be jobs in a folder: not in a link that is none of a type, for movies may be there."""
    return (entry.name[0] != "." and entry.name != TRASH
            and entry.is_dir(follow_symlinks=entry.name in type_folders()))


def _entries(folder: str | os.PathLike[str]) -> list[os.DirEntry[str]]:
    if not os.path.isdir(folder):
        return []
    with os.scandir(folder) as entries:
        return sorted(entries, key=lambda entry: entry.name)


def _job_part(project: str | os.PathLike[str], name: str, notes: list[str]) -> Pipeline:
    """Return the content of one job directory: its process, nodes and edges."""
    directory = Path(project, name)
    part = Pipeline(1, {name: _process_from_job_star(directory, name, notes)})
    try:
        own = read_pipeline(directory / JOB_PIPELINE_FILE)
        part = replace(own, processes={name: _better_label(own.processes[name], part.processes[name])})
    except (CryosnakeError, KeyError) as error:
        notes.append(f"{name}: {JOB_PIPELINE_FILE} is missing or damaged ({error}); its connections are unknown")
    if exit_of(directory) == Status.SUCCEEDED:
        extra = {node.name: node for node in _output_nodes(directory, name, notes)}
        edges = dict.fromkeys((*part.output_edges, *((name, node) for node in extra)))
        part = replace(part, nodes={**extra, **part.nodes}, output_edges=tuple(edges))
    return part


def _output_nodes(directory: Path, name: str, notes: list[str]) -> list[Node]:
    try:
        return read_output_nodes(directory / OUTPUT_NODES_FILE, name)
    except CryosnakeError as error:
        notes.append(f"{name}: {OUTPUT_NODES_FILE} is damaged ({error}); the outputs that it adds are unknown")
        return []


def _process_from_job_star(directory: Path, name: str, notes: list[str]) -> Process:
    folder = name.partition("/")[0]
    try:
        job = read_job_star(directory / JOB_FILE)
    except CryosnakeError as error:
        notes.append(f"{error}; the type of {name} is taken from its folder")
        type_id = process_id_of("", folder)
        return Process(name, "", process_label_of(type_id, folder), type_id)
    return Process(name, "", job.type_label, job.type_id)


def _better_label(process: Process, other: Process) -> Process:
    """Return the process with the deeper of two labels for the same type."""
    if other.type_label.startswith(f"{process.type_label}."):
        return replace(process, type_label=other.type_label)
    return process


def _foreign_outputs(part: Pipeline, processes: dict[str, Process]) -> Iterator[Edge]:
    """Yield edges for inputs that an earlier job made without declaring them, such as an intermediate iteration."""
    for node, reader in part.input_edges:
        head, _, _ = node.removeprefix("./").rpartition("/")
        while head:
            if f"{head}/" in processes and f"{head}/" != reader:
                yield f"{head}/", node
                break
            head = head.rpartition("/")[0]
