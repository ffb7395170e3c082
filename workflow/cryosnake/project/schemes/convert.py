"""Convert a schedule or scheme of RELION to a config.yaml: jobs, connections, thresholds, batch size."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryosnake.errors import CryosnakeError
from cryosnake.jobs.model import PARTICLES, JobType
from cryosnake.project.config.config import ConfigError, parse_config
from cryosnake.project.schemes.files import NOTHING, Scheme, is_to_fill_in, read_scheme
from cryosnake.project.schemes.options import parameters_of, type_of

COUNTING = ("float=count_images", "float=star_table_count")


@dataclass
class Imported:
    """The config as data, the command that watches the session, and remarks on what could not be imported."""

    config: dict[str, Any] = field(default_factory=dict)
    watch: str = "cryosnake watch"
    notes: list[str] = field(default_factory=list)


def import_schemes(folders: Sequence[Path]) -> Imported:
    """Return the config that is equivalent to the schedules or schemes in these folders together.

    Raises
    ------
    CryosnakeError
        when a folder contains none, or no job could be imported: with what to fill in, and all that was left out
    """
    schemes = [read_scheme(folder) for folder in folders]
    names = _names(schemes)
    result = Imported()
    microscope: dict[str, Any] = {}
    jobs: dict[str, dict[str, Any]] = {}
    for scheme in schemes:
        thresholds = _thresholds(scheme, result.notes)
        for job, star in scheme.jobs.items():
            kind, name = type_of(star), names[scheme.name, job]
            if kind is None:
                result.notes.append(f"{name}: there is no job type for RELION's {star.type_label}")
                continue
            options, lines = _filled_in(scheme, job, kind)
            result.notes += [f"{name}: {line}" for line in lines]
            body, lines = parameters_of(kind, options)
            result.notes += [f"{name}: {line}" for line in [*lines, *_remarks(options)]]
            inputs = _inputs(kind, options, names)
            result.notes += [f"{name}: {path} is made by another schedule; import both folders together"
                             for path in _flat(inputs.values()) if _source(path) != ("", "")]
            _to_microscope(kind, body, microscope)
            jobs[name] = {"type": kind.name, **inputs, **body}
            if job in thresholds and any(PARTICLES in slot.types for slot in kind.inputs):
                jobs[name]["at_least"] = thresholds[job]
    result.config = {"title": " + ".join(scheme.name for scheme in schemes), "microscope": microscope, "jobs": jobs}
    _timing(schemes, result)
    _drop_invalid_jobs(result)
    return result


def _filled_in(scheme: Scheme, job: str, kind: JobType) -> tuple[dict[str, str], list[str]]:
    """Return the options of a job that have a value, and a line for each placeholder that we would read."""
    stated = scheme.jobs[job].options
    options = {key: scheme.value(value) for key, value in stated.items()}
    blank = [key for key, value in options.items() if is_to_fill_in(value)]
    ours = {word.strip() for parameter in kind.parameters if parameter.identity or parameter.name == kind.declared
            for word in (*parameter.relion.split(","), parameter.relion_switch)} | {slot.relion for slot in kind.inputs}
    lines = [f"fill in {key}, which is {options[key]} in " + (
        f"{scheme.name}/{job}/job.star" if options[key] == stated[key] and "$$" not in stated[key] else
        f"the variable {stated[key].removeprefix('$$')} of {scheme.name}") for key in blank if key in ours]
    return {key: value for key, value in options.items() if key not in blank}, lines


def _number(scheme: Scheme, name: str, what: str, notes: list[str]) -> float | None:
    """Return a variable, or what is written in its place, as a number; None, with a note, where it is not one."""
    text = scheme.variables.get(name, name)
    try:
        found = float(text)
        if math.isfinite(found):
            return found
    except ValueError:
        pass
    where = f"the variable {name}" if name in scheme.variables else "the operators"
    notes.append(f"{what}: fill in a number in place of {text} in {where} of {scheme.name}")
    return None


def _names(schemes: Sequence[Scheme]) -> dict[tuple[str, str], str]:
    """Return the name of each job in the config: its own, with the scheme's before it if several have the same."""
    names: dict[tuple[str, str], str] = {}
    for scheme in schemes:
        for job in scheme.jobs:
            twice = sum(job in other.jobs for other in schemes) > 1
            names[scheme.name, job] = f"{scheme.name}_{job}" if twice else job
    return names


def _inputs(kind: JobType, options: dict[str, str], names: dict[tuple[str, str], str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for slot in kind.inputs:
        path = options.get(slot.relion, "")
        switch = kind.slot(f"{slot.listed}1").relion_switch if slot.listed else slot.relion_switch
        if path in NOTHING or (switch and options.get(switch, "Yes") != "Yes"):
            continue
        if slot.listed:
            found.setdefault(slot.listed, []).append(names.get(_source(path), path))
        else:
            found[slot.name] = names.get(_source(path), path)
    if kind.name == "select" and "model" in found:
        found.setdefault("particles", found["model"])  # RELION takes them from the same job
    return found


def _flat(inputs: Iterable[Any]) -> list[str]:
    """Return the connections of a job, those of lists as well."""
    return [path for one in inputs for path in (one if isinstance(one, list) else [one])]


def _source(path: str) -> tuple[str, str]:
    """Return scheme and job of "Schemes/prep/ctffind/micrographs_ctf.star"."""
    parts = path.split("/")
    return (parts[1], parts[2]) if len(parts) > 3 and parts[0] in ("Schemes", "Schedules") else ("", "")


def _remarks(options: dict[str, str]) -> list[str]:
    lines = []
    other = " ".join(word for word in options.get("other_args", "").split())
    if other and "--do_at_most" not in other:
        lines.append(f"additional arguments are left out: {other}")
    lines += [f"{name} is Yes, but cryosnake has no such option" for name in
              ("do_extract_helix", "do_helix", "do_pick_helical_segments", "do_phaseshift", "do_topaz")
              if options.get(name) == "Yes"]
    return lines


def _to_microscope(kind: JobType, body: dict[str, Any], microscope: dict[str, Any]) -> None:
    """Move values of the microscope to the block that all jobs share, unless another job has a different value."""
    for parameter in kind.parameters:
        if parameter.microscope and parameter.name in body:
            value = body[parameter.name]
            if microscope.setdefault(parameter.microscope, value) == value:
                del body[parameter.name]


def _thresholds(scheme: Scheme, notes: list[str]) -> dict[str, int]:
    """Return the particle numbers that jobs wait for: those after a fork on "count of particles ≥ number"."""
    counts = {operator.output for operator in scheme.operators if operator.type in COUNTING
              and scheme.variables.get(operator.input2, operator.input2) == "particles"}
    wanted = {operator.output: _number(scheme, operator.input2, "number of particles to wait for", notes)
              for operator in scheme.operators
              if operator.type in ("bool=ge", "bool=gt") and operator.input1 in counts}
    waits = frozenset(operator.name for operator in scheme.operators if operator.type == "wait")
    found: dict[str, int] = {}
    for edge in scheme.edges:
        number = wanted.get(edge.boolean)
        if number is not None:
            found.update({job: int(number) for job in scheme.after(edge.if_true, waits) if job in scheme.jobs})
    return found


def _timing(schemes: Sequence[Scheme], result: Imported) -> None:
    """Import the interval and duration of the loop, and the number of movies that each job processes at a time."""
    notes = result.notes
    waits = [_number(scheme, o.input1, "time between two rounds", notes) for scheme in schemes for o in scheme.operators
             if o.type == "wait"]
    ends = [_number(scheme, o.input1, "time after which to stop", notes) for scheme in schemes for o in scheme.operators
            if o.type == "exit_maxtime"]
    sizes = [_number(scheme, "do_at_most", "batch size", notes) for scheme in schemes
             if "do_at_most" in scheme.variables]
    minutes = [seconds / 60 for seconds in waits if seconds is not None]
    hours = [number for number in ends if number is not None]
    if minutes:
        result.watch += f" --minutes {min(minutes):g}"
    if hours:
        result.watch = f"timeout {max(hours):g}h {result.watch}"
    if sizes and sizes[0]:
        result.config["batch_size"] = int(sizes[0])


def _drop_invalid_jobs(result: Imported) -> None:
    """Leave out, with a remark, jobs that lack something and those that depend on them, until the config is valid."""
    jobs = result.config["jobs"]
    while True:
        try:
            order = parse_config(result.config).jobs
            result.config["jobs"] = {name: jobs[name] for name in order}
            return
        except ConfigError as error:
            name = error.key.split(".")[1] if error.key.startswith("jobs.") else ""
            if name not in jobs or len(jobs) == 1:
                reasons = "".join(f"\n- {note}" for note in [*result.notes, str(error)])
                raise CryosnakeError(f"nothing of {result.config['title']} could be imported:{reasons}") from None
            del jobs[name]
            result.notes.append(f"{name} is left out: {str(error).removeprefix(f'jobs.{name}').lstrip(':. ')}")


def config_text(imported: Imported) -> str:
    """Return the text of config.yaml, with comments at its top on what could not be imported."""
    import yaml

    def flow(value: Any) -> str:
        return yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10_000).strip()

    config = imported.config
    lines = [f"# Imported from RELION: {config['title']}. Follow the session with", f"#     {imported.watch}"]
    if imported.notes:
        lines += ["#", "# Not imported:", *(f"# - {note}" for note in imported.notes)]
    lines += [f"title: {flow(config['title']).removesuffix('...').strip()}",
              f"microscope: {flow(config['microscope'])}"]
    if "batch_size" in config:
        lines.append(f"batch_size: {config['batch_size']}")
    width = max(map(len, config["jobs"])) + 1
    lines += ["", "jobs:", *(f"  {f'{name}:':{width}} {flow(body)}" for name, body in config["jobs"].items())]
    return "\n".join(lines) + "\n"
