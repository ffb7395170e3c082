"""Outputs of a job that the user marks as finished although it did not finish: the files in its directory.

As in RELION, the files of the last iteration and RELION_OUTPUT_NODES.star are added, outputs without a file removed.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from cryosnake.errors import CryosnakeError
from cryosnake.jobs.model import HALF_MAP, MAP, OPTIMISER, PARTICLES, NodeType
from cryosnake.pipeline.edit import add_nodes, connect, remove_nodes
from cryosnake.pipeline.job_star import OUTPUT_NODES_FILE, read_output_nodes
from cryosnake.pipeline.model import Node, Pipeline

_ITERATION = re.compile(r"(run(?:_ct\d+)?_it\d{3})_optimiser\.star$")
_OF_ITERATION: tuple[tuple[str, NodeType], ...] = (
    (r"_data\.star", PARTICLES), (r"_optimiser\.star", OPTIMISER), (r"_class\d{3}\.mrc", MAP),
    (r"_half1_class001(?:_unfil)?\.mrc", HALF_MAP))


def with_files_found(project: str | os.PathLike[str], pipeline: Pipeline, name: str) -> Pipeline:
    """Return the pipeline with the outputs found in a job's directory, and without those that do not exist.

    An output that another job uses always stays, so that no job loses its input.
    """
    directory = Path(project, name)
    found = {node.name: node for node in _of_last_iteration(directory, name)}
    try:
        found |= {node.name: node for node in read_output_nodes(directory / OUTPUT_NODES_FILE, name)}
    except CryosnakeError:  # damaged: only the files themselves count
        pass
    new = [node for node in found.values() if node.name not in pipeline.nodes and Path(project, node.name).exists()]
    pipeline = connect(add_nodes(pipeline, new), outputs=[(name, node.name) for node in new])
    gone = [node for node in pipeline.outputs[name]
            if not Path(project, node).exists() and not pipeline.consumers.get(node)]
    return remove_nodes(pipeline, gone)


def _of_last_iteration(directory: Path, name: str) -> list[Node]:
    files = sorted(os.listdir(directory)) if directory.is_dir() else []
    roots = [match[1] for file in files for match in [_ITERATION.match(file)] if match]
    if not roots:
        return []
    newest = max(roots, key=lambda root: (directory / f"{root}_optimiser.star").stat().st_mtime_ns)
    return [Node(name + file, kind.label, kind.relion3) for file in files for pattern, kind in _OF_ITERATION
            if re.fullmatch(re.escape(newest) + pattern, file)]
