"""STAR files in a job directory, written hybrid: job.star, job_pipeline.star, RELION_OUTPUT_NODES.star."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cryosnake.errors import CryosnakeError
from cryosnake.names import is_listed_name
from cryosnake.pipeline.edit import process_of
from cryosnake.pipeline.files import node_block, parse_nodes, pipeline_blocks
from cryosnake.pipeline.model import Node, Pipeline
from cryosnake.pipeline.star_text import Block, listing, loop, read_blocks, write_blocks
from cryosnake.pipeline.types import process_id_of, process_label_of

JOB_FILE = "job.star"
JOB_PIPELINE_FILE = "job_pipeline.star"
OUTPUT_NODES_FILE = "RELION_OUTPUT_NODES.star"


@dataclass(frozen=True)
class JobOptions:
    """Content of a job.star: the type in both dialects and RELION's options, all as text."""

    type_id: int
    type_label: str
    is_continue: bool = False
    options: dict[str, str] = field(default_factory=dict)


def write_job_star(path: str | os.PathLike[str], type_id: int, type_label: str, is_continue: bool,
                   options: Mapping[str, str]) -> None:
    """Write a job.star that RELION 3.1, 4 and 5 accept, with the options in alphabetical order like theirs.

    Parameters
    ----------
    path
        job.star, or another name to pass to `relion_pipeliner --addJobFromStar`.
    type_id, type_label
        RELION 3.1's integer and the label of 4/5.
    is_continue
        Whether the job continues from its present files.
    options
        RELION's variable to its value as text (`Yes` and `No` for booleans).
    """
    blocks = {
        "job": listing({"rlnJobType": str(type_id), "rlnJobTypeLabel": type_label,
                        "rlnJobIsContinue": str(int(is_continue)), "rlnJobIsTomo": "0"}),
        "joboptions_values": loop(("rlnJobOptionVariable", "rlnJobOptionValue"), sorted(options.items())),
    }
    write_blocks(path, blocks)


def read_job_star(path: str | os.PathLike[str]) -> JobOptions:
    """Read a job.star of any RELION from 3.1.

    Raises
    ------
    CryosnakeError
        If it names no job type.
    """
    blocks = read_blocks(path, ("job", "joboptions_values"))
    job = blocks.get("job")
    type_text = job.value("rlnJobType") if job else None
    label = (job.value("rlnJobTypeLabel") if job else None) or ""
    if job is None or (type_text is None and not label):
        raise CryosnakeError(f"{path}: no job type; a job.star has rlnJobType or rlnJobTypeLabel in its block data_job")
    if type_text is not None and not (type_text.isascii() and type_text.isdecimal()):
        raise CryosnakeError(f"{path}: rlnJobType is {type_text!r}, which is not a whole number")
    type_id = int(type_text) if type_text is not None else process_id_of(label)
    values = blocks.get("joboptions_values")
    options = _options(values, path) if values else {}
    return JobOptions(type_id, label or process_label_of(type_id), job.value("rlnJobIsContinue") == "1", options)


def _options(block: Block, path: str | os.PathLike[str]) -> dict[str, str]:
    variables, values = block.column("rlnJobOptionVariable"), block.column("rlnJobOptionValue")
    if variables is None or values is None:
        raise CryosnakeError(f"{path}: block data_joboptions_values needs rlnJobOptionVariable and rlnJobOptionValue")
    return dict(zip(variables, values, strict=True))


def write_job_pipeline(path: str | os.PathLike[str], pipeline: Pipeline, name: str) -> None:
    """Write job_pipeline.star: one process of the pipeline, its nodes and its edges.

    Parameters
    ----------
    path
        The file in the job directory.
    pipeline
        The whole pipeline, in which the job is already connected.
    name
        The process, such as `MotionCorr/job002/`.
    """
    write_blocks(path, pipeline_blocks(job_pipeline(pipeline, name)))


def job_pipeline(pipeline: Pipeline, name: str) -> Pipeline:
    """Return the part of a pipeline that concerns one process: itself, its input and output nodes, their edges."""
    process = process_of(pipeline, name)
    inputs, outputs = pipeline.inputs[name], pipeline.outputs[name]
    return Pipeline(
        process.number + 1,
        {name: process},
        {node: pipeline.nodes[node] for node in (*inputs, *outputs)},
        tuple((node, name) for node in inputs),
        output_edges=tuple((name, node) for node in outputs),
    )


def write_output_nodes(path: str | os.PathLike[str], nodes: Iterable[Node]) -> None:
    """Write RELION_OUTPUT_NODES.star: nodes that were not known when the job was added."""
    write_blocks(path, {"output_nodes": node_block(nodes)})


def read_output_nodes(path: str | os.PathLike[str], job: str = "") -> list[Node]:
    """Read RELION_OUTPUT_NODES.star in any dialect; a missing file means no nodes.

    Nodes that are not below the directory of `job` (`External/job005/`) are left out: this job did not make them.
    """
    if not Path(path).exists():
        return []
    return [node for node in parse_nodes(read_blocks(path).get("output_nodes"), path)
            if node.name.startswith(job) and is_listed_name(node.name)]
