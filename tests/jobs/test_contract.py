"""What every registered job type must fulfil."""

from __future__ import annotations

import dataclasses
import inspect
import pickle
import string
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import get_args, get_origin

import pytest

from cryosnake.jobs.forms import FileSource, PerMicrograph, WholeJob
from cryosnake.jobs.model import NODE_TYPES, JobType
from cryosnake.jobs.registry import job_types
from cryosnake.pipeline.types import PROCESS_TYPES
from cryosnake.project.config.config import JOB_KEYS, MICROSCOPE_KEYS, ConfigError
from cryosnake.project.config.values import check_value
from cryosnake.report.job_pictures import PANELS
from cryosnake.running.arguments import make_parser

TYPES = list(job_types().values())
OPTIONAL = {"update_optics": ["optics", "options"], "optics_of_output": ["groups", "options", "inputs"],
            "table": ["options"], "finalise": ["options", "inputs", "out", "star"]}  # of programs per micrograph
every_type = pytest.mark.parametrize("job_type", TYPES, ids=lambda t: t.name)


@every_type
def test_relion_knows_it_under_the_same_number_folder_and_label(job_type: JobType) -> None:
    known = {kind.folder: kind for kind in reversed(PROCESS_TYPES)}[job_type.folder]  # the first of a folder owns it
    assert (known.id, known.folder) == (job_type.relion3, job_type.folder)
    assert job_type.label == known.label or job_type.label.startswith(known.label + ".")


@every_type
def test_names_are_unique_and_no_reserved_words(job_type: JobType) -> None:
    names = [s.name for s in job_type.inputs] + [p.name for p in job_type.parameters]
    assert len(names) == len(set(names))
    assert not set(names) & {*JOB_KEYS, "out", "threads", "gpus", "batch", "join", "draw"}
    assert all(name.isidentifier() and name.islower() for name in names)
    outputs = [o.name for o in job_type.outputs]
    assert len(outputs) == len(set(outputs))


@every_type
def test_every_default_is_a_valid_value(job_type: JobType) -> None:
    for p in job_type.parameters:
        assert p.kind in (bool, int, float, str, dict[str, str]) or (get_origin(p.kind) is list and get_args(p.kind))
        assert p.help.rstrip().endswith((".", ")")), p.name
        if p.default is not None:
            check_value(p.name, p, p.default, ConfigError)
        if p.microscope:
            assert p.microscope in MICROSCOPE_KEYS


@every_type
def test_outputs_name_known_parameters_and_nodes(job_type: JobType) -> None:
    known = {p.name for p in job_type.parameters} | {s.name for s in job_type.inputs}
    assert job_type.outputs or job_type.parameter(job_type.declared).required
    for output in job_type.outputs:
        assert output.node in NODE_TYPES
        assert not output.when or output.when in known
        if output.each:
            assert job_type.parameter(output.each).kind is int and "{number" in output.file and "{number" in output.name
            output = output.numbered(1)
        fields = {name for _, name, _, _ in string.Formatter().parse(output.file) if name}
        assert fields <= {p.name for p in job_type.parameters if p.default is not None}


@every_type
def test_the_program_has_the_functions_of_its_form(job_type: JobType) -> None:
    program, forms = import_module(job_type.program), [PerMicrograph if job_type.per_micrograph else WholeJob]
    if job_type.per_micrograph and not job_type.inputs:
        forms.append(FileSource)
    wanted = {name: list(inspect.signature(function).parameters)[1:] for form in forms
              for name, function in vars(form).items() if inspect.isfunction(function) and not name.startswith("_")}
    found = {name: list(inspect.signature(getattr(program, name)).parameters) for name in {*wanted, *OPTIONAL}
             if name in wanted or (job_type.per_micrograph and hasattr(program, name))}
    assert found == {name: (wanted | OPTIONAL)[name] for name in found}
    assert all(product.startswith("{root}") for product in job_type.products)


@every_type
def test_options_are_frozen_and_what_the_definition_says(job_type: JobType) -> None:
    given = {p.name: p.kind() for p in job_type.parameters if p.required}
    options = job_type.options(**given)
    assert vars(options) == {p.name: p.default for p in job_type.parameters} | given
    assert pickle.loads(pickle.dumps(options)) == options
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(options, job_type.parameters[0].name, None)
    with pytest.raises(TypeError, match="misspelt"):
        job_type.options(**given, misspelt=1)


def test_a_misspelt_option_and_a_program_of_another_form_are_type_errors(root: Path, tmp_path: Path) -> None:
    good = ["from cryosnake.jobs.forms import PerMicrograph, WholeJob", "from cryosnake.jobs.options import *"]
    for t in TYPES:
        good += [f"import {t.program} as {t.name}_",
                 f"{t.name}_form: {'PerMicrograph' if t.per_micrograph else 'WholeJob'} = {t.name}_"]
    bad = ["ExtractOptions(box_sise=64)", "ExtractOptions(64)", "select_form = extract_",
           "def use(options: ExtractOptions) -> int: return options.box_sise",
           "def pick(options: ExtractOptions) -> None: autopick_.prepare(options, {}, {})"]
    (tmp_path / "programs.py").write_text("\n".join([*good, *bad]))
    result = subprocess.run([sys.executable, "-m", "mypy", tmp_path / "programs.py"], capture_output=True, text=True,
                            cwd=root)
    wrong = {int(line.split(":")[1]) for line in result.stdout.splitlines() if ": error:" in line}
    assert wrong == set(range(len(good) + 1, len(good) + len(bad) + 1)), result.stdout + result.stderr


@every_type
def test_every_panel_can_be_drawn(job_type: JobType) -> None:
    assert set(job_type.panels) <= set(PANELS)


@every_type
def test_script_and_help(job_type: JobType, root: Path) -> None:
    script = root / "scripts" / f"run_{job_type.name}.py"
    assert script.exists()
    text = make_parser(job_type).format_help()
    for item in (*job_type.inputs, *job_type.parameters):
        assert f"--{item.name}" in text


def test_a_script_prints_its_help(root: Path) -> None:
    script = root / "scripts" / "run_select.py"
    result = subprocess.run([sys.executable, script, "--help"], capture_output=True, text=True, check=True)
    assert "--particles" in result.stdout


def test_generated_documents_are_in_date(root: Path) -> None:
    subprocess.run([sys.executable, root / "docs" / "generate.py", "--check"], check=True)


def test_every_microscope_key_reaches_a_job() -> None:
    used = {p.microscope for job_type in TYPES for p in job_type.parameters}
    assert used - {""} == set(MICROSCOPE_KEYS)
