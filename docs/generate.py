"""Generate docs/jobs/*.md, docs/config.schema.json and jobs/options.pyi from the job definitions, envs/ from pyproject.

`python docs/generate.py` writes the files, `--check` fails when one is out of date.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tomllib
from pathlib import Path
from typing import Any, get_args, get_origin

from cryosnake.jobs.model import JobType, Parameter, Slot
from cryosnake.jobs.registry import job_types
from cryosnake.project.config.config import AT_LEAST, JOB_KEYS, MICROSCOPE_KEYS, VALUES
from cryosnake.project.config.joins import JOIN

DOCS = Path(__file__).resolve().parent
STUBS = DOCS.parent / "workflow" / "cryosnake" / "jobs" / "options.pyi"
CONDA_NAMES = {"matplotlib": "matplotlib-base", "cupy-cuda12x": "cupy"}  # on conda-forge, where they differ
NO_PROGRAM_USES = {"snakemake"}  # it runs outside of its rules' environments
# envs/<name>.yaml: the extras of pyproject.toml that it has, and what brings `mpirun`.
ENVIRONMENTS = {"cpu": ([], []), "mpi": (["mpi"], ["openmpi"]), "gpu": (["cuda12", "mpi"], ["openmpi"])}
REPOSITORY = "https://github.com/cryosnake/cryosnake"
JSON_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string"}


def main() -> int:
    """Write or check the generated files; the exit code says whether they were in date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 when a file is out of date")
    check = parser.parse_args().check
    stale = [path for path, text in generated().items() if not path.exists() or path.read_text() != text]
    known = set(generated())
    stale += [path for path in (DOCS / "jobs").glob("*.md") if path not in known]
    if check:
        for path in stale:
            print(f"{path.relative_to(DOCS.parent)} is out of date: run `make docs`", file=sys.stderr)
        return int(bool(stale))
    (DOCS / "jobs").mkdir(exist_ok=True)
    for path, text in generated().items():
        path.write_text(text)
    for path in set(stale) - known:
        path.unlink()
    return 0


def generated() -> dict[Path, str]:
    """Return the text of every generated file by its path."""
    files = {DOCS / "jobs" / f"{name}.md": job_page(job_type) for name, job_type in job_types().items()}
    files[DOCS / "jobs" / "README.md"] = index_page()
    files[STUBS] = stubs()
    files |= {DOCS.parent / "envs" / f"{name}.yaml": environment(name) for name in ENVIRONMENTS}
    files[DOCS.parent / "config" / "config.yaml"] = deployed_config()
    files[DOCS.parent / "config" / "README.md"] = config_page()
    files[DOCS / "config.schema.json"] = json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"
    return files


def deployed_config() -> str:
    """Return config/config.yaml, which `snakedeploy` copies: the config.yaml at the top, with other words before it."""
    return ("# Generated from the config.yaml at the top of the repository. Change what differs; config/README.md says "
            "more.\n\n" + (DOCS.parent / "config.yaml").read_text(encoding="utf-8").partition("\n\n")[2])


def config_page() -> str:
    """Return config/README.md, the workflow catalogue's page on how to configure it."""
    lines = ["# Configuration", "", "Generated from `workflow/cryosnake/project/config/config.py`. Do not edit.", "",
             "1. Install the package in the environment of Snakemake: the workflow's Snakefile imports it.",
             f"2. `snakedeploy deploy-workflow {REPOSITORY} my_project --branch main`",
             "3. In `my_project/config/config.yaml` change the microscope, the pattern of the movies (below "
             "`my_project`: `ln -s /data/session Movies`), and diameter, box and symmetry of the particle.",
             "4. In `my_project`: `snakemake -n`, then `snakemake --cores 8`.", "",
             "| key | default | |", "|---|---|---|",
             "| `title` | | Name of the project. |",
             f"| `microscope` | | For all jobs that do not say otherwise: `{'`, `'.join(MICROSCOPE_KEYS)}`. |",
             *(f"| `{p.name}` | `{p.default}` | {p.help}{f' [{p.unit}]' if p.unit else ''} |" for p in VALUES),
             "| `workspaces` | | Named groups of jobs, for clean-up. |",
             "| `jobs` | required | Jobs by name: type, inputs, parameters. |", "",
             f"[The job types]({REPOSITORY}/tree/main/docs/jobs/README.md) with all parameters."]
    return "\n".join(lines) + "\n"


def environment(name: str) -> str:
    """Return a conda environment for the programs of rules: what pyproject.toml asks for, by conda-forge's names."""
    project = tomllib.loads((DOCS.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras, packages = ENVIRONMENTS[name]
    required = sum((project["optional-dependencies"][extra] for extra in extras), project["dependencies"])
    lines = [*packages, f"python {project['requires-python']}"]
    for distribution, version in re.findall(r"^([\w.-]+)(.*)$", "\n".join(required), re.MULTILINE):
        if distribution not in NO_PROGRAM_USES:
            lines.append(f"{CONDA_NAMES.get(distribution, distribution)} {version}".rstrip())
    return "\n  - ".join([f"# Generated from pyproject.toml. Do not edit.\nname: cryosnake-{name}\n"
                          "channels: [conda-forge, nodefaults]\ndependencies:", *sorted(lines)]) + "\n"


def index_page() -> str:
    """Return the list of job types."""
    lines = ["# Job types", "", "Generated from `workflow/cryosnake/jobs`. Do not edit.", "",
             "| type | RELION folder | what it does |", "|---|---|---|"]
    lines += [f"| [{name}]({name}.md) | {t.folder} | {t.description} |" for name, t in job_types().items()]
    return "\n".join(lines) + "\n"


def job_page(job_type: JobType) -> str:
    """Return the page of one job type."""
    lines = [f"# {job_type.title} (`{job_type.name}`)", "", "Generated from its definition. Do not edit.", "",
             job_type.description, "",
             f"RELION: folder `{job_type.folder}`, type {job_type.relion3} (3.1), `{job_type.label}` (4 and 5). "
             + ("Works batch by batch." if job_type.per_micrograph else "Processes its whole input at once."), ""]
    if job_type.inputs:
        lines += ["## Inputs", "", "| slot | takes | |", "|---|---|---|"]
        lines += [f"| `{s.listed or s.name}`{'' if s.required else ' (optional)'} | "
                  f"{' or '.join(t.name for t in s.types)}{', a list' if s.listed else ''} | {s.help} |"
                  for s in job_type.inputs if not s.listed or s.name == f"{s.listed}1"] + [""]
    lines += ["## Outputs", "", "| output | file | node |", "|---|---|---|"]
    lines += [f"| `{o.name}` | `{o.file}` | {o.node.name}{f', when `{o.when}` is set' if o.when else ''}"
              f"{f', for each number from 1 to `{o.each}`' if o.each else ''} |" for o in job_type.outputs]
    if job_type.declared:
        lines.append(f"| as `{job_type.declared}` says | | |")
    lines += ["", "## Parameters", "", "| parameter | default | unit | |", "|---|---|---|---|"]
    lines += [_row(p) for p in sorted(job_type.parameters, key=lambda p: p.advanced)]
    if job_type.references:
        lines += ["", "## References", "", *(f"- {reference}" for reference in job_type.references)]
    return "\n".join(lines) + "\n"


def _row(parameter: Parameter) -> str:
    default = "required" if parameter.required else "" if parameter.default is None else f"`{parameter.default}`"
    choices = f" One of {', '.join(parameter.choices)}." if parameter.choices else ""
    relion = f" RELION: `{parameter.relion}`." if parameter.relion else ""
    note = "" if parameter.identity else " Changing it makes no new job."
    return f"| `{parameter.name}` | {default} | {parameter.unit} | {parameter.help}{choices}{relion}{note} |"


def stubs() -> str:
    """Return what mypy reads of `jobs/options.py`: a class for each job type."""
    lines = ["# Generated from the job definitions. Do not edit.", "from dataclasses import dataclass"]
    for job_type in job_types().values():
        lines += ["", "@dataclass(frozen=True, kw_only=True)", f"class {job_type.options.__name__}:"]
        lines += [f"    {p.name}: {_type_name(p.value_type)}{'' if p.required else ' = ...'}"
                  for p in job_type.parameters]
    return "\n".join(lines) + "\n"


def _type_name(kind: Any) -> str:
    return kind.__name__ if isinstance(kind, type) and not get_args(kind) else str(kind)


def schema() -> dict[str, Any]:
    """Return the JSON schema of config.yaml, for editors; the program checks more than it can say."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "cryosnake config.yaml",
        "type": "object",
        "required": ["jobs"],
        "additionalProperties": False,
        "properties": {
            "title": {"type": "string"},
            "version": {"type": ["string", "number"], "description": "The oldest cryosnake that it is for."},
            "microscope": {"type": "object", "additionalProperties": False,
                           "properties": {key: {} for key in MICROSCOPE_KEYS}},
            "workspaces": {"type": "object", "description": "Named groups of jobs, for clean-up.",
                           "additionalProperties": {"type": "array", "items": {"type": "string"}}},
            **{p.name: _value_schema(p) for p in VALUES},
            "jobs": {"type": "object", "additionalProperties": {
                "oneOf": [_job_schema(job_type) for job_type in job_types().values()]}},
        },
    }


def _job_schema(job_type: JobType) -> dict[str, Any]:
    properties: dict[str, Any] = {"type": {"const": job_type.name}, AT_LEAST.name: _value_schema(AT_LEAST)}
    assert set(properties) == set(JOB_KEYS)
    properties |= {slot.listed or slot.name: _slot_schema(slot) for slot in job_type.inputs}
    properties |= {p.name: _value_schema(p) for p in job_type.parameters}
    return {"type": "object", "title": job_type.title, "additionalProperties": False, "properties": properties,
            "required": ["type", *(slot.name for slot in job_type.inputs if slot.required)]}


def _slot_schema(slot: Slot) -> dict[str, Any]:
    """Return the schema of an input: a connection, or a list of them that are joined."""
    kinds = {one.listed for one in job_types()[JOIN].inputs}
    found: dict[str, Any] = {"description": slot.help}
    if slot.listed:
        return {**found, "type": "array", "items": {"type": "string"}, "minItems": 2}
    if any(node.name in kinds for node in slot.types):
        return {**found, "type": ["string", "array"], "items": {"type": "string"}}
    return {**found, "type": "string"}


def _value_schema(parameter: Parameter) -> dict[str, Any]:
    unit = f" [{parameter.unit}]" if parameter.unit else ""
    found: dict[str, Any] = {"description": parameter.help + unit}
    if get_origin(parameter.kind) is dict:
        found |= {"type": "object",
                  "additionalProperties": {"type": ["string", "number", "boolean", "null"]}}
    elif get_origin(parameter.kind) is list:
        items = JSON_TYPES[get_args(parameter.kind)[0]]
        found |= {"type": ["array", "string"] if parameter.chosen_from else "array", "items": {"type": items}}
        if parameter.length:
            found |= {"minItems": parameter.length, "maxItems": parameter.length}
    else:
        found["type"] = JSON_TYPES[parameter.kind]
    for key, value in (("minimum", parameter.minimum), ("maximum", parameter.maximum), ("default", parameter.default)):
        if (value is not None and "items" not in found) or (key == "default" and value is not None):
            found[key] = value
    if parameter.choices:
        found["enum"] = list(parameter.choices)
    return found


if __name__ == "__main__":
    sys.exit(main())
