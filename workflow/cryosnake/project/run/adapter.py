"""From planned jobs to RELION's processes, nodes, edges and job.star options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cryosnake.jobs.model import JobType, NodeType, Output, Parameter, Slot
from cryosnake.pipeline.edit import add_nodes, add_process, clean_alias, connect, set_alias
from cryosnake.pipeline.model import Node, Pipeline, Process, Status
from cryosnake.project.planning.planned import Plan, PlannedJob, Source


def with_job(pipeline: Pipeline, job: PlannedJob, status: Status) -> Pipeline:
    """Return the pipeline with this job, its nodes and its edges.

    Its alias is taken from another job, unless that has succeeded and this one has not yet: then its program takes it
    at its end (`job_status.set_succeeded`).
    """
    name, job_type = f"{job.path}/", job.config.type
    known = pipeline.processes.get(name)
    process = Process(name, known.alias if known else "", job.label(), job_type.relion3, status=status)
    holder = pipeline.by_alias.get(f"{job_type.folder}/{clean_alias(job.name)}/")
    pipeline = add_process(pipeline, process)
    if not (holder and holder.name != name and holder.status == Status.SUCCEEDED != status):
        pipeline = set_alias(pipeline, name, job.name)
    sources = {slot: source for slot, source in job.inputs.items() if source.path not in pipeline.nodes}
    outputs = output_nodes(job)
    pipeline = add_nodes(pipeline, [_external_node(job_type, slot, source) for slot, source in sources.items()])
    pipeline = add_nodes(pipeline, outputs)
    return connect(pipeline, inputs=[(source.path, name) for source in job.inputs.values()],
                   outputs=[(name, node.name) for node in outputs])


def output_nodes(job: PlannedJob) -> list[Node]:
    """Return the nodes that a job makes."""
    return [_node(job.file(output), output) for output in job.outputs()]


def _node(path: str, output: Output) -> Node:
    label = output.node.label + (f".{output.label}" if output.label else "")
    return Node(path, label, output.node.relion3, 1)


def _external_node(job_type: JobType, slot: str, source: Source) -> Node:
    node: NodeType = job_type.slot(slot).types[0]
    return Node(source.path, node.label, node.relion3, 1)


def relion_options(plan: Plan, job: PlannedJob) -> dict[str, str]:
    """Return the values of RELION's job.star for a job."""
    job_type, values = job.config.type, job.config.parameters()
    options = {"do_queue": "No", **job_type.relion_options}
    for slot in job_type.inputs:
        source = job.inputs.get(slot.name)
        if slot.relion and (source or slot.relion not in options):
            options[slot.relion] = _relion_file(plan, source, _wanted(slot, values)) if source else ""
        if slot.relion_switch:
            options[slot.relion_switch] = _yes(source is not None)
        if source:
            options.update(slot.relion_also)
    for slot in job_type.inputs:
        if slot.relion_unless and options[job_type.slot(slot.relion_unless).relion]:
            options[slot.relion] = ""
    if any(parameter.relion == "nr_mpi" for parameter in job_type.parameters):
        options["nr_threads"] = str(job_type.resources.threads)
    for parameter in job_type.parameters:
        options.update(_parameter_options(parameter, values[parameter.name], options))
    if job_type.relion_leads:
        options["nr_mpi"] = str(max(3, (values["mpi_ranks"] + 1) | 1))
    return options


def _wanted(slot: Slot, values: Mapping[str, Any]) -> str | None:
    """Return the output that RELION wants of the job that fills a slot: "" the one that fills it, None for no file."""
    chosen = next((wanted for name, wanted in slot.relion_outputs.items() if values[name] is not None), None)
    return slot.relion_output if chosen is None else chosen or None


def _relion_file(plan: Plan, source: Source, wanted: str | None) -> str:
    if wanted is None:
        return ""
    if not (wanted and source.job):
        return source.path
    upstream = plan.at(source.job)
    return next((upstream.file(output) for output in upstream.outputs() if output.name == wanted), source.path)


def _parameter_options(parameter: Parameter, value: Any, present: dict[str, str]) -> dict[str, str]:
    options: dict[str, str] = {}
    if value is None and parameter.kind is not str and not parameter.relion_switch:
        return options  # RELION takes its own default; "" is not a number to it
    names = [name.strip() for name in parameter.relion.split(",") if name.strip()]
    if isinstance(value, dict):
        return _mapping_options(names, value) if names else {}
    if len(names) > 1:
        if not isinstance(value, list):  # one value for all, or a text for each
            text = _text(parameter, value).split(",") if value in parameter.relion_values else [value] * len(names)
            options.update(zip(names, (_text(parameter, item) for item in text), strict=True))
        else:
            options.update({name: _text(parameter, item) for name, item in zip(names, value, strict=False)})
    elif names and not (value is None and (parameter.kind is not str or present.get(names[0]))):
        options[names[0]] = _text(parameter, value)
    if parameter.relion_switch:
        options[parameter.relion_switch] = _yes(value not in (None, False))
    return options


def _mapping_options(names: list[str], value: dict[str, str]) -> dict[str, str]:
    """Return one variable for each name and one for each value, numbered from 1."""
    label, content = names
    pairs = [pair for number, (name, text) in enumerate(value.items(), 1)
             for pair in ((label.format(number=number), name), (content.format(number=number), text))]
    return dict(pairs)


def _text(parameter: Parameter, value: Any) -> str:
    if not isinstance(value, list) and value in parameter.relion_values:
        return parameter.relion_values[value]
    if value is None:
        return ""
    if isinstance(value, bool):
        return _yes(value)
    if isinstance(value, list):
        return " ".join(str(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _yes(value: bool) -> str:
    return "Yes" if value else "No"
