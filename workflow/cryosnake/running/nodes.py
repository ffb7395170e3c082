"""The outputs of a finished job: checked, and listed as nodes in RELION_OUTPUT_NODES.star."""

from __future__ import annotations

from pathlib import Path

from cryosnake.errors import CryosnakeError
from cryosnake.jobs.model import JobType, Output, file_of, root_name
from cryosnake.pipeline.edit import add_node
from cryosnake.pipeline.job_star import OUTPUT_NODES_FILE, read_output_nodes, write_output_nodes
from cryosnake.pipeline.lock import update_pipeline
from cryosnake.pipeline.model import Node, Pipeline
from cryosnake.project.locks.job_status import status_of
from cryosnake.running.arguments import Arguments


def made_outputs(job_type: JobType, arguments: Arguments) -> list[tuple[str, Output]]:
    """Return the path and definition of each output that a job with these arguments makes."""
    values = vars(arguments.options)
    return [(f"{arguments.out}/{file_of(output, values)}", output) for output in job_type.all_outputs(values)
            if not output.when or values.get(output.when) or output.when in arguments.inputs]


def check_outputs(job_type: JobType, arguments: Arguments) -> None:
    """Raise CryosnakeError when the program did not write a file that its definition promises."""
    missing = [path for path, _ in made_outputs(job_type, arguments) if not Path(path).exists()]
    if missing:
        raise CryosnakeError(f"the program did not write {', '.join(missing)}, which its definition "
                             f"(jobs/{job_type.name}) promises; this is a fault of the program")


def declare_outputs(job_type: JobType, arguments: Arguments) -> None:
    """Write RELION_OUTPUT_NODES.star.

    Other files that an external program declared there become nodes of the project; a job that was continued under
    another name keeps its earlier nodes.
    """
    nodes = []
    for path, output in made_outputs(job_type, arguments):
        label = output.node.label + (f".{output.label}" if output.label else "")
        nodes.append(Node(path, label, output.node.relion3, 1))
    file, own = Path(arguments.out, OUTPUT_NODES_FILE), {node.name for node in nodes}
    others = [node for node in read_output_nodes(file, f"{arguments.out}/")
              if node.name not in own and Path(node.name).exists()]
    if job_type.declared:
        _add_to_project(arguments.out, others)
    elif root_name(vars(arguments.options)) == "run":
        others = []
    write_output_nodes(file, others + nodes)


def _add_to_project(out: str, nodes: list[Node]) -> None:
    """Connect nodes with the job that made them, if the project lists it."""
    name = f"{out}/"
    if not nodes or status_of(out) is None:
        return

    def add(pipeline: Pipeline) -> Pipeline:
        for node in nodes:
            if pipeline.producers.get(node.name, name) == name:
                pipeline = add_node(pipeline, node, name)
        return pipeline

    update_pipeline(Path(), add)
