"""Changes to a pipeline. Each function returns a new Pipeline and leaves the given one unchanged."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

from cryosnake.errors import CryosnakeError
from cryosnake.pipeline.model import Edge, Node, Pipeline, Process, Status

LONGEST_ALIAS = 100  # bytes: file systems take 143 to 255 in a name, and names are made from it
_FORBIDDEN_IN_ALIAS = "*?()/\"\\|#<>&%{}$"


def add_process(pipeline: Pipeline, process: Process) -> Pipeline:
    """Add a job, or replace the one of the same name; the counter moves past its number."""
    return replace(pipeline, counter=max(pipeline.counter, process.number + 1),
                   processes={**pipeline.processes, process.name: process})


def remove_processes(pipeline: Pipeline, names: Collection[str]) -> Pipeline:
    """Remove jobs, the nodes that they made and all their edges; the counter stays, so that no number is used twice."""
    gone = set(names)
    lost_nodes = {node for process, node in pipeline.output_edges if process in gone}
    return replace(
        pipeline,
        processes={name: process for name, process in pipeline.processes.items() if name not in gone},
        nodes={name: node for name, node in pipeline.nodes.items() if name not in lost_nodes},
        input_edges=tuple(e for e in pipeline.input_edges if e[0] not in lost_nodes and e[1] not in gone),
        output_edges=tuple(e for e in pipeline.output_edges if e[0] not in gone),
    )


def set_status(pipeline: Pipeline, name: str, status: Status) -> Pipeline:
    """Set the status of a job.

    Raises
    ------
    CryosnakeError
        If the pipeline has no such job.
    """
    return add_process(pipeline, replace(process_of(pipeline, name), status=status))


def set_alias(pipeline: Pipeline, name: str, alias: str) -> Pipeline:
    """Give a job an alias (without folder; an empty one removes it), taking it from any other job of the folder.

    Raises
    ------
    CryosnakeError
        If RELION would not accept the alias.
    """
    process = process_of(pipeline, name)
    if not alias:
        return add_process(pipeline, replace(process, alias=""))
    problem = alias_problem(alias, ())
    if problem:
        raise CryosnakeError(f"{name}: {problem}")
    full = f"{process.folder}/{clean_alias(alias)}/"
    former = pipeline.by_alias.get(full)
    if former is not None and former.name != name:
        pipeline = add_process(pipeline, replace(former, alias=""))
    return add_process(pipeline, replace(process, alias=full))


def add_nodes(pipeline: Pipeline, nodes: Iterable[Node]) -> Pipeline:
    """Add nodes, or replace those of the same name."""
    return replace(pipeline, nodes={**pipeline.nodes, **{node.name: node for node in nodes}})


def add_node(pipeline: Pipeline, node: Node, producer: str = "") -> Pipeline:
    """Add one node, and the edge from the job that produces it."""
    pipeline = add_nodes(pipeline, [node])
    return connect(pipeline, outputs=[(producer, node.name)]) if producer else pipeline


def remove_nodes(pipeline: Pipeline, names: Collection[str]) -> Pipeline:
    """Remove nodes and their edges."""
    gone = set(names)
    return replace(
        pipeline,
        nodes={name: node for name, node in pipeline.nodes.items() if name not in gone},
        input_edges=tuple(edge for edge in pipeline.input_edges if edge[0] not in gone),
        output_edges=tuple(edge for edge in pipeline.output_edges if edge[1] not in gone),
    )


def connect(pipeline: Pipeline, inputs: Iterable[Edge] = (), outputs: Iterable[Edge] = ()) -> Pipeline:
    """Add edges that are not there yet.

    Parameters
    ----------
    inputs
        (node, process that reads it).
    outputs
        (process that produces it, node).

    Raises
    ------
    CryosnakeError
        If a node or process is unknown, or a node would get a second producer.
    """
    new_inputs = tuple(dict.fromkeys((*pipeline.input_edges, *inputs)))
    new_outputs = tuple(dict.fromkeys((*pipeline.output_edges, *outputs)))
    result, problems = tidy(replace(pipeline, input_edges=new_inputs, output_edges=new_outputs))
    if problems:
        raise CryosnakeError("; ".join(problems))
    return result


def tidy(pipeline: Pipeline) -> tuple[Pipeline, list[str]]:
    """Drop edges with an unknown end and second producers of a node, as RELION does on reading.

    Returns
    -------
    pipeline
        The same, with only the valid edges.
    warnings
        One line for each edge that was dropped.
    """
    warnings: list[str] = []
    producers: dict[str, str] = {}
    inputs, outputs = [], []
    for node, process in pipeline.input_edges:
        if _known(pipeline, node, process, warnings):
            inputs.append((node, process))
    for process, node in pipeline.output_edges:
        if not _known(pipeline, node, process, warnings):
            continue
        if producers.setdefault(node, process) != process:
            warnings.append(f"{node}: produced by {producers[node]} and by {process}; the first one counts")
            continue
        outputs.append((process, node))
    if not warnings:
        return pipeline, warnings
    return replace(pipeline, input_edges=tuple(inputs), output_edges=tuple(outputs)), warnings


def process_of(pipeline: Pipeline, name: str) -> Process:
    """Return the job with this name; CryosnakeError if there is none."""
    try:
        return pipeline.processes[name]
    except KeyError:
        raise CryosnakeError(f"{name}: no such job in default_pipeline.star; `cryosnake rebuild-pipeline` derives the "
                             "file again from the job directories") from None


def clean_alias(alias: str) -> str:
    """Return the alias as RELION stores it: without folder and trailing slash, blanks as underscores."""
    return alias.rstrip("/").strip().replace(" ", "_")


def alias_problem(alias: str, taken: Collection[str]) -> str | None:
    """Return why RELION would refuse an alias, None if it would accept it.

    Parameters
    ----------
    alias
        The alias without its folder.
    taken
        Aliases of other jobs in the same folder.
    """
    stored = clean_alias(alias)
    bad = sorted({sign for sign in stored if sign in _FORBIDDEN_IN_ALIAS or not sign.isprintable()})
    if len(stored) < 2:
        return f"the alias {alias!r} is too short; RELION requires at least two characters"
    if stored.startswith("job"):
        return f"the alias {alias!r} starts with `job`, which RELION reserves for job numbers"
    if len(stored.encode()) > LONGEST_ALIAS:
        return f"the alias {stored[:20]!r}… is too long; the link of this name may have {LONGEST_ALIAS} bytes"
    if bad:
        return f"the alias {alias!r} contains {' '.join(map(repr, bad))}, which RELION refuses"
    if stored.startswith(".") or "None" in stored:
        return f"the alias {alias!r} would hide its link, or RELION would take it for no alias; choose another"
    if stored in {clean_alias(other) for other in taken}:
        return f"the alias {alias!r} belongs to another job of the same type"
    return None


def _known(pipeline: Pipeline, node: str, process: str, warnings: list[str]) -> bool:
    if node in pipeline.nodes and process in pipeline.processes:
        return True
    what = f"node {node}" if node not in pipeline.nodes else f"process {process}"
    warnings.append(f"edge between {node} and {process} dropped: {what} is not in the pipeline")
    return False
