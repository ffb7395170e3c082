"""Convert a schedule or scheme of RELION to a config.yaml: jobs, connections, thresholds, batch size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryosnake.errors import CryosnakeError
from cryosnake.jobs.model import PARTICLES, JobType
from cryosnake.project.config.config import ConfigError, parse_config
from cryosnake.project.schemes.files import NOTHING, Scheme, read_scheme
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
        when a folder contains none, or no job could be imported
    """
    schemes = [read_scheme(folder) for folder in folders]
    names = _names(schemes)
    result = Imported()
    microscope: dict[str, Any] = {}
    jobs: dict[str, dict[str, Any]] = {}
    for scheme in schemes:
        thresholds = _thresholds(scheme)
        for job, star in scheme.jobs.items():
            kind, name = type_of(star), names[scheme.name, job]
            if kind is None:
                result.notes.append(f"{name}: there is no job type for RELION's {star.type_label}")
                continue
            options = {key: scheme.value(value) for key, value in star.options.items()}
            body, lines = parameters_of(kind, options)
            result.notes += [f"{name}: {line}" for line in [*lines, *_remarks(options)]]
            inputs = _inputs(kind, options, names)
            result.notes += [f"{name}: {path} is made by another schedule; import both folders together"
                             for path in inputs.values() if _source(path) != ("", "")]
            _to_microscope(kind, body, microscope)
            jobs[name] = {"type": kind.name, **inputs, **body}
            if job in thresholds and any(PARTICLES in slot.types for slot in kind.inputs):
                jobs[name]["at_least"] = thresholds[job]
    result.config = {"title": " + ".join(scheme.name for scheme in schemes), "microscope": microscope, "jobs": jobs}
    _timing(schemes, result)
    _drop_invalid_jobs(result)
    return result


def _names(schemes: Sequence[Scheme]) -> dict[tuple[str, str], str]:
    """Return the name of each job in the config: its own, with the scheme's before it if several have the same."""
    names: dict[tuple[str, str], str] = {}
    for scheme in schemes:
        for job in scheme.jobs:
            twice = sum(job in other.jobs for other in schemes) > 1
            names[scheme.name, job] = f"{scheme.name}_{job}" if twice else job
    return names


def _inputs(kind: JobType, options: dict[str, str], names: dict[tuple[str, str], str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for slot in kind.inputs:
        path = options.get(slot.relion, "")
        switched_off = slot.relion_switch and options.get(slot.relion_switch, "Yes") != "Yes"
        if path not in NOTHING and not switched_off:
            found[slot.name] = names.get(_source(path), path)
    if kind.name == "select" and "model" in found:
        found.setdefault("particles", found["model"])  # RELION takes them from the same job
    return found


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


def _thresholds(scheme: Scheme) -> dict[str, int]:
    """Return the particle numbers that jobs wait for: those after a fork on "count of particles ≥ number"."""
    counts = {operator.output for operator in scheme.operators if operator.type in COUNTING
              and scheme.variables.get(operator.input2, operator.input2) == "particles"}
    wanted = {operator.output: scheme.variables.get(operator.input2, operator.input2) for operator in scheme.operators
              if operator.type in ("bool=ge", "bool=gt") and operator.input1 in counts}
    waits = frozenset(operator.name for operator in scheme.operators if operator.type == "wait")
    found: dict[str, int] = {}
    for edge in scheme.edges:
        if edge.boolean in wanted:
            number = int(float(wanted[edge.boolean]))
            found.update({job: number for job in scheme.after(edge.if_true, waits) if job in scheme.jobs})
    return found


def _timing(schemes: Sequence[Scheme], result: Imported) -> None:
    """Import the interval and duration of the loop, and the number of movies that each job processes at a time."""
    waits = [float(scheme.variables.get(o.input1, "0")) / 60 for scheme in schemes for o in scheme.operators
             if o.type == "wait"]
    ends = [float(scheme.variables.get(o.input1, "0")) for scheme in schemes for o in scheme.operators
            if o.type == "exit_maxtime"]
    if waits:
        result.watch += f" --minutes {min(waits):g}"
    if ends:
        result.watch = f"timeout {max(ends):g}h {result.watch}"
    sizes = [int(float(scheme.variables["do_at_most"])) for scheme in schemes if "do_at_most" in scheme.variables]
    if sizes and sizes[0] > 0:
        result.config["batch_size"] = sizes[0]


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
                raise CryosnakeError(f"nothing of {result.config['title']} could be imported: {error}") from None
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
