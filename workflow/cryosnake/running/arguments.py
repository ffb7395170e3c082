"""Command-line arguments of a job type, made from its definition."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args, get_origin

from cryosnake.jobs.model import JobType, Parameter
from cryosnake.project.config.curation import decided
from cryosnake.project.config.values import check_order, check_value
from cryosnake.project.records.record import read_record

PICKS = "picks"  # beside the slots, of a job that is made by hand


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """A script's parsed arguments. `options` is an instance of the job type's dataclass, see jobs/options.py."""

    out: str
    batch: str
    join: bool
    draw: bool
    threads: int
    gpus: int
    options: Any
    inputs: dict[str, Path]
    command: str
    project: str = ""


def parse_arguments(job_type: JobType, words: Sequence[str]) -> Arguments:
    """Return the parsed and checked arguments; prints help and exits as argparse does."""
    parser = make_parser(job_type)
    parsed = vars(parser.parse_args(list(words)))

    def refuse(name: str, message: str) -> Exception:
        parser.error(f"--{name} {message}")

    options = {p.name: _value(p, parsed[p.name], refuse) for p in job_type.parameters}
    check_order(job_type.parameters, options, str, refuse)
    if job_type.declared:
        try:
            job_type.all_outputs(options)
        except ValueError as error:
            parser.error(str(error))
    inputs = {slot.name: Path(parsed[slot.name]) for slot in job_type.inputs if parsed[slot.name]}
    inputs |= {PICKS: Path(parsed[PICKS])} if job_type.by_hand else {}
    prog = f"python -m cryosnake.running {job_type.name}" if parser.prog == "__main__.py" else parser.prog
    command = " ".join([prog, *words])
    return Arguments(out=parsed["out"].rstrip("/"), batch=parsed["batch"], join=parsed["join"],
                     draw=parsed["draw"], threads=parsed["threads"], gpus=parsed["gpus"],
                     options=job_type.options(**options), inputs=inputs, command=command, project=parsed["project"])


def with_decision(arguments: Arguments) -> Arguments:
    """Return the arguments with the limits and flags that hold now, where the job is one of a config.

    Raises
    ------
    CryosnakeError
        when the file of its decisions is damaged
    """
    record, options = read_record(Path(arguments.out)), arguments.options
    if record is None:
        return arguments
    limits, flags = decided(record.name, options.limits, options.flags)
    return replace(arguments, options=replace(options, limits=limits, flags=flags))


def make_parser(job_type: JobType) -> argparse.ArgumentParser:
    """Return the argument parser of a job type, from which its docs page is also made."""
    parser = argparse.ArgumentParser(description=f"{job_type.title}. {job_type.description}",
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, metavar="DIR", help=f"job directory, such as {job_type.folder}/job002")
    parser.add_argument("--project", default="", metavar="DIR", help="project that all other paths are relative to "
                        "(default: the working directory)")
    parser.add_argument("--threads", type=int, default=1, help="threads for BLAS, FFT and kernels (default 1)")
    parser.add_argument("--gpus", type=int, default=0, help="GPUs that are reserved for the job; run.out says so when "
                        "it does not use them (default 0)")
    parser.add_argument("--draw", action="store_true", help="only draw the pictures of the finished job")
    hidden = None if job_type.per_micrograph else argparse.SUPPRESS
    parser.add_argument("--batch", default="0001" if job_type.per_micrograph else "", metavar="NNNN",
                        help=hidden or "batch to work on (default 0001)")
    parser.add_argument("--join", action="store_true", help=hidden or "join the finished batches into the output STAR")
    inputs = parser.add_argument_group("inputs")
    for slot in job_type.inputs:
        kinds = " or ".join(node.name for node in slot.types)
        inputs.add_argument(f"--{slot.name}", required=slot.required, metavar="FILE", help=f"{slot.help} ({kinds})")
    if job_type.by_hand:
        inputs.add_argument(f"--{PICKS}", required=True, metavar="DIR", help="folder of decisions with the picks")
    parameters = parser.add_argument_group("parameters")
    for parameter in job_type.parameters:
        parameters.add_argument(f"--{parameter.name}", **_form(parameter), help=_help(parameter))
    return parser


def _form(parameter: Parameter) -> dict[str, Any]:
    form: dict[str, Any] = {"default": parameter.default, "required": parameter.required}
    kind = parameter.kind
    if get_origin(kind) is list:
        form["nargs"], kind = parameter.length or "+", get_args(kind)[0]
    if get_origin(kind) is dict:
        return {**form, "nargs": "+", "metavar": "NAME=VALUE"}
    form["type"] = _truth if kind is bool else kind
    form["metavar"] = {bool: "true|false", int: "N", float: "X", str: "TEXT"}[kind]
    if parameter.choices:
        form["choices"], form["metavar"] = parameter.choices, "|".join(parameter.choices)
    return form


def _help(parameter: Parameter) -> str:
    unit = f" [{parameter.unit}]" if parameter.unit else ""
    default = "" if parameter.default is None or parameter.required else f" (default {parameter.default})"
    return re.sub("%", "%%", f"{parameter.help}{unit}{default}")


def _truth(text: str) -> bool:
    if text.lower() not in ("true", "false", "yes", "no"):
        raise argparse.ArgumentTypeError(f"true or false, not {text!r}")
    return text.lower() in ("true", "yes")


def _value(parameter: Parameter, value: Any, refuse: Callable[[str, str], Exception]) -> Any:
    if value is None or value == parameter.default:
        return value
    if get_origin(parameter.kind) is dict:
        value = {name: item for name, _, item in (word.partition("=") for word in value)}
    return check_value(parameter.name, parameter, value, refuse)
