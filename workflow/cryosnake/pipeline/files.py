"""default_pipeline.star: read in any dialect (RELION 2, 3.1, 4, 5, hybrid), always written hybrid.

RELION 3.1 drops the label columns when it rewrites the file, 5.x the integer columns; what is missing is derived
again from the tables of `types`, so that either program can continue the project.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from cryosnake.atomic import touch
from cryosnake.errors import CryosnakeError
from cryosnake.names import PIPELINE_FILE as PIPELINE_FILE
from cryosnake.names import is_alias, is_job_name
from cryosnake.pipeline.edit import tidy
from cryosnake.pipeline.model import STATUS_OF_LABEL, Edge, Node, Pipeline, Process, Status
from cryosnake.pipeline.star_text import Block, listing, loop, read_blocks, write_blocks
from cryosnake.pipeline.types import modern_node_label, node_id_of, node_label_of, process_id_of, process_label_of

CHANGED_FILE = ".pipeline_has_changed"
P = "rlnPipeLine"


def read_pipeline(path: str | os.PathLike[str], warnings: list[str] | None = None) -> Pipeline:
    """Read a pipeline file.

    Parameters
    ----------
    path
        A default_pipeline.star, job_pipeline.star or deleted_pipeline.star.
    warnings
        Gets one line for each edge that was dropped because one of its ends is unknown.

    Raises
    ------
    CryosnakeError
        If the file is missing, is not a pipeline, or has a status that no version of RELION writes.
    """
    if not os.path.exists(path):
        remedy = "`cryosnake rebuild-pipeline` derives it from the job directories"
        if next(Path(path).parent.glob("*/job[0-9][0-9][0-9]*"), None) is None:
            remedy = "it has no jobs yet: the first `snakemake` makes them (or this is not the folder of a project)"
        raise CryosnakeError(f"{path}: there is no such file; {remedy}")
    return parse_pipeline(read_blocks(path), path, warnings)


def parse_pipeline(blocks: dict[str, Block], path: str | os.PathLike[str],
                   warnings: list[str] | None = None) -> Pipeline:
    """Return the pipeline that the tables of a file describe; see `read_pipeline`."""
    if not any(name.startswith("pipeline_") for name in blocks):
        raise CryosnakeError(f"{path}: has no pipeline block; restore it from a copy in a job directory, or run "
                             "`cryosnake rebuild-pipeline`")
    processes = _processes(blocks.get("pipeline_processes"), path)
    nodes = parse_nodes(blocks.get("pipeline_nodes"), path)
    general = blocks.get("pipeline_general")
    counter = _integer(general.value(P + "JobCounter") if general else None, path, "rlnPipeLineJobCounter", 0)
    highest = max((process.number for process in processes), default=0)
    pipeline, dropped = tidy(Pipeline(
        max(counter, highest + 1),
        {process.name: process for process in processes},
        {node.name: node for node in nodes},
        _edges(blocks.get("pipeline_input_edges"), P + "EdgeFromNode", P + "EdgeProcess", path),
        output_edges=_edges(blocks.get("pipeline_output_edges"), P + "EdgeProcess", P + "EdgeToNode", path),
    ))
    if warnings is not None:
        warnings.extend(f"{path}: {line}" for line in dropped)
    return pipeline


def is_hybrid(blocks: dict[str, Block]) -> bool:
    """Return whether both RELION 3.1 and RELION 4/5 can read a file of these tables without loss."""
    wanted = {"pipeline_general": ["JobCounter"],
              "pipeline_processes": ["ProcessType", "ProcessStatus", "ProcessTypeLabel", "ProcessStatusLabel"],
              "pipeline_nodes": ["NodeType", "NodeTypeLabel"]}
    return "pipeline_general" in blocks and all(
        P + label in blocks[name].labels for name, labels in wanted.items() if name in blocks for label in labels)


def labels_missing(blocks: dict[str, Block]) -> bool:
    """Return whether RELION 2 or 3.1 wrote the tables: integers only."""
    pairs = (("pipeline_processes", "ProcessTypeLabel"), ("pipeline_nodes", "NodeTypeLabel"))
    return any(name in blocks and P + label not in blocks[name].labels for name, label in pairs)


def write_pipeline(path: str | os.PathLike[str], pipeline: Pipeline) -> None:
    """Write a pipeline file in both dialects at once, and touch `.pipeline_has_changed` for RELION's window.

    Complete or not at all: temporary name, fsync, rename. The caller holds the lock (`lock.update_pipeline`).
    """
    write_blocks(path, pipeline_blocks(pipeline))
    touch(Path(path).parent / CHANGED_FILE)


def pipeline_blocks(pipeline: Pipeline) -> dict[str, Block]:
    """Return the STAR tables of a pipeline, integer and label columns together."""
    return {
        "pipeline_general": listing({P + "JobCounter": str(pipeline.counter)}),
        "pipeline_processes": loop(
            [P + "ProcessName", P + "ProcessAlias", P + "ProcessType", P + "ProcessStatus", P + "ProcessTypeLabel",
             P + "ProcessStatusLabel"],
            ((p.name, p.alias or "None", str(p.type_id), str(int(p.status)), p.type_label, p.status.label)
             for p in pipeline.processes.values())),
        "pipeline_nodes": node_block(pipeline.nodes.values()),
        "pipeline_input_edges": loop([P + "EdgeFromNode", P + "EdgeProcess"], pipeline.input_edges),
        "pipeline_output_edges": loop([P + "EdgeProcess", P + "EdgeToNode"], pipeline.output_edges),
    }


def node_block(nodes: Iterable[Node]) -> Block:
    """Return the table of nodes in both dialects."""
    return loop([P + "NodeName", P + "NodeType", P + "NodeTypeLabel", P + "NodeTypeLabelDepth"],
                ((node.name, str(node.type_id), node.type_label, str(node.depth)) for node in nodes))


def parse_nodes(block: Block | None, path: str | os.PathLike[str]) -> list[Node]:
    """Return the nodes of a table in any dialect; the missing half of a type is derived from the other."""
    if block is None:
        return []
    names = _column(block, P + "NodeName", path)
    ids = block.column(P + "NodeType")
    labels = block.column(P + "NodeTypeLabel")
    depths = block.column(P + "NodeTypeLabelDepth")
    if ids is None and labels is None:
        raise CryosnakeError(f"{path}: the nodes have neither {P}NodeType nor {P}NodeTypeLabel")
    nodes = []
    for index, name in enumerate(names):
        label = labels[index] if labels else ""
        if block.version < 50001:
            label = modern_node_label(label)
        type_id = _integer(ids[index], path, P + "NodeType") if ids else node_id_of(label)
        depth = _integer(depths[index], path, P + "NodeTypeLabelDepth") if depths else 1
        nodes.append(Node(name, label or node_label_of(type_id), type_id, depth))
    return nodes


def _processes(block: Block | None, path: str | os.PathLike[str]) -> list[Process]:
    if block is None:
        return []
    names = _column(block, P + "ProcessName", path)
    aliases = block.column(P + "ProcessAlias") or [""] * len(names)
    ids = block.column(P + "ProcessType")
    labels = block.column(P + "ProcessTypeLabel")
    states = block.column(P + "ProcessStatus")
    state_labels = block.column(P + "ProcessStatusLabel")
    if (ids is None and labels is None) or (states is None and state_labels is None):
        raise CryosnakeError(f"{path}: the processes have no type or no status column (neither number nor label)")
    processes = []
    for index, name in enumerate(names):
        label = labels[index] if labels else ""
        type_id = _integer(ids[index], path, P + "ProcessType") if ids else process_id_of(label, name.partition("/")[0])
        status = _status(states[index] if states else state_labels[index] if state_labels else "", path, name)
        alias = "" if aliases[index] == "None" else aliases[index]
        if not is_job_name(name) or (alias and not is_alias(alias, name)):
            raise CryosnakeError(f"{path}: {name!r} with the alias {alias!r} is not a job of a project: a name such as "
                                 "Class2D/job007/ and an alias such as Class2D/best/ are expected; correct the file, "
                                 "or run `cryosnake rebuild-pipeline`")
        label = label or process_label_of(type_id, name.partition("/")[0])
        processes.append(Process(name, alias, label, type_id, status=status))
    return processes


def _status(text: str, path: str | os.PathLike[str], name: str) -> Status:
    try:
        return STATUS_OF_LABEL[text] if text in STATUS_OF_LABEL else Status(int(text))
    except ValueError:
        words = ", ".join(f"{int(status)} or {status.label}" for status in Status)
        raise CryosnakeError(f"{path}: {name} has the status {text!r}; RELION knows {words}") from None


def _edges(block: Block | None, first: str, second: str, path: str | os.PathLike[str]) -> tuple[Edge, ...]:
    if block is None:
        return ()
    pairs = zip(_column(block, first, path), _column(block, second, path), strict=True)
    return tuple(dict.fromkeys(pairs))


def _column(block: Block, label: str, path: str | os.PathLike[str]) -> list[str]:
    column = block.column(label)
    if column is None:
        raise CryosnakeError(f"{path}: column {label} is missing; restore the file from a copy in a job directory, or "
                             "run `cryosnake rebuild-pipeline`")
    return column


def _integer(text: str | None, path: str | os.PathLike[str], label: str, default: int | None = None) -> int:
    if text is None and default is not None:
        return default
    try:
        return int(text or "")
    except ValueError:
        raise CryosnakeError(f"{path}: {label} is {text!r}, which is not a whole number") from None
