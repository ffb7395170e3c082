"""A default_pipeline.star that a power cut left empty or cut off: recognised, and had again from its copies.

Each job directory has a copy from the time the job was added, and its own part in job_pipeline.star. What is left of
the file counts most, then the copies, then the parts. Standard library only.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from cryosnake.errors import CryosnakeError
from cryosnake.names import PIPELINE_FILE
from cryosnake.pipeline.edit import remove_processes, tidy
from cryosnake.pipeline.files import parse_pipeline, read_pipeline
from cryosnake.pipeline.markers import BACKUP_FILE, exit_of
from cryosnake.pipeline.model import Pipeline
from cryosnake.pipeline.rebuild import job_directories, rebuild
from cryosnake.pipeline.star_text import parse_blocks
from cryosnake.star_tokens import read_text


def is_cut(project: str | os.PathLike[str]) -> bool:
    """Whether the pipeline file of a project with jobs is empty or ends within a table; False where there is none.

    RELION and this package end each table with a blank line.
    """
    try:
        text = _text(project)
    except OSError:
        return False
    last = text.rstrip().rpartition("\n")[2]
    whole = last and text.endswith(("\n \n", "\n\n")) and not last.startswith(("#", "data_", "loop_"))
    return not whole and bool(job_directories(project or "."))


def recovered(project: str | os.PathLike[str]) -> Pipeline:
    """Return the pipeline of a project whose file was cut off, from all that is left of it; nothing is written."""
    project = project or "."
    found = rebuild(project, [])
    for other in (*_copies(project), _rest(project)):
        found = _merged(other, found)
    statuses = {name: exit_of(Path(project, name)) or process.status for name, process in found.processes.items()}
    return replace(found, processes={name: replace(process, status=statuses[name])
                                     for name, process in found.processes.items()})


def _text(project: str | os.PathLike[str]) -> str:
    return read_text(Path(project, PIPELINE_FILE), "surrogateescape")


def _rest(project: str | os.PathLike[str]) -> Pipeline:
    """Return what can be read of the file, without a last line that is not complete."""
    lines = _text(project).split("\n")[:-1]
    for end in (len(lines), len(lines) - 1):
        try:
            return parse_pipeline(parse_blocks("\n".join(lines[:max(0, end)])), PIPELINE_FILE)
        except CryosnakeError:
            continue
    return Pipeline()


def _copies(project: str | os.PathLike[str]) -> Iterator[Pipeline]:
    """Yield the copies that can be read, of jobs that exist, those with the highest counter last."""
    names, found = job_directories(project), []
    for name in names:
        try:
            copy = read_pipeline(Path(project, name, BACKUP_FILE))
        except CryosnakeError:
            continue
        found.append(remove_processes(copy, [other for other in copy.processes if other not in names]))
    yield from sorted(found, key=lambda copy: copy.counter)


def _merged(first: Pipeline, second: Pipeline) -> Pipeline:
    """Return a pipeline with all of both; where they differ the first counts."""
    processes = {**second.processes, **first.processes}
    taken = {process.alias for process in first.processes.values() if process.alias}
    for name in second.processes.keys() - first.processes.keys():
        if processes[name].alias in taken:
            processes[name] = replace(processes[name], alias="")
    ordered = dict(sorted(processes.items(), key=lambda item: item[1].number))
    pipeline, _ = tidy(Pipeline(max(first.counter, second.counter), ordered, {**second.nodes, **first.nodes},
                                tuple(dict.fromkeys((*second.input_edges, *first.input_edges))),
                                output_edges=tuple(dict.fromkeys((*second.output_edges, *first.output_edges)))))
    return pipeline
