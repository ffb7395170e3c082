"""Differences between two jobs: parameters, inputs, key results."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryosnake.errors import CryosnakeError
from cryosnake.pipeline.job_star import JOB_FILE, read_job_star
from cryosnake.pipeline.model import Pipeline, Process
from cryosnake.project.actions.job_details import job_parameters
from cryosnake.project.actions.key_results import key_results
from cryosnake.project.records.record import read_record

ABSENT = "-"


@dataclass(frozen=True)
class Difference:
    """One difference between two jobs. `kind` is parameter, input or result."""

    kind: str
    name: str
    first: str
    second: str


def job_difference(pipeline: Pipeline, first: Process, second: Process) -> list[Difference]:
    """Return what differs between two jobs of the project in the working directory.

    Two jobs of ours are compared by our parameters, defaults included; if RELION made one of them, by its options.

    Raises
    ------
    CryosnakeError
        when both are the same job
    """
    if first.name == second.name:
        raise CryosnakeError(f"{first.name.rstrip('/')}: this is the same job twice; name another to compare it with")
    paths = [process.name.rstrip("/") for process in (first, second)]
    found = [Difference("type", "type", first.folder, second.folder)] if first.folder != second.folder else []
    parameters = _parameters(paths)
    if found:  # two types: only what both have can differ
        both = parameters[0].keys() & parameters[1].keys()
        parameters = [{name: value for name, value in one.items() if name in both} for one in parameters]
    found += _differences("parameter", *parameters)
    found += _differences("input", *(_inputs(pipeline, process) for process in (first, second)))
    results = [{result.name: str(result) for result in key_results(path)} for path in paths]
    return found + _differences("result", *results)


def _parameters(paths: list[str]) -> list[dict[str, str]]:
    records = [read_record(Path(path)) for path in paths]
    if all(records):
        return [{name: _text(value) for name, (value, _) in job_parameters(path, record).items()}
                for path, record in zip(paths, records, strict=True)]
    return [read_job_star(Path(path, JOB_FILE)).options if Path(path, JOB_FILE).exists() else {} for path in paths]


def _text(value: Any) -> str:
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return str(value).lower()
    return f"[{', '.join(map(str, value))}]" if isinstance(value, list) else str(value)


def _inputs(pipeline: Pipeline, process: Process) -> dict[str, str]:
    """Return slot -> file for a job of ours, node type -> files for one that RELION made."""
    record = read_record(Path(process.name))
    if record is not None:
        return dict(record.inputs)
    kinds: dict[str, list[str]] = {}
    for node in pipeline.inputs[process.name]:
        kinds.setdefault(pipeline.nodes[node].type_label.partition(".")[0], []).append(node)
    return {kind: ", ".join(nodes) for kind, nodes in kinds.items()}


def _differences(kind: str, first: dict[str, str], second: dict[str, str]) -> list[Difference]:
    return [Difference(kind, name, first.get(name, ABSENT), second.get(name, ABSENT))
            for name in dict.fromkeys((*first, *second)) if first.get(name) != second.get(name)]
