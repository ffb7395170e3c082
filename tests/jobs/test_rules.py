"""The rules say of each job type what its definition says, and each picture has its caption."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cryosnake.jobs.model import JobType
from cryosnake.jobs.registry import BUILT_IN, job_types
from cryosnake.report.job_pictures import PANELS

ROOT = Path(__file__).resolve().parent.parent.parent
BLOCK = re.compile(r'^for job in jobs_of\("(\w+)"\):\n(.*?)(?=^\S|\Z)', re.MULTILINE | re.DOTALL)
NAMED = re.compile(r'(\w+)=(slot|optional|out)\(job, "([\w{}]+)"\)')
RULES = {name: (path.stem, text) for path in (ROOT / "rules").glob("*.smk")
         for name, text in BLOCK.findall(path.read_text(encoding="utf-8"))}
TYPES = [job_type for job_type in job_types().values() if job_type.topic != "other"]
every_type = pytest.mark.parametrize("job_type", TYPES, ids=lambda t: t.name)


def test_every_built_in_type_has_its_rule_and_external_the_general_one() -> None:
    assert set(RULES) == {job_type.name for job_type in TYPES} and len(TYPES) == len(BUILT_IN) - 1


@every_type
def test_the_rule_is_in_the_file_of_its_topic_and_names_all_slots_and_outputs(job_type: JobType) -> None:
    topic, text = RULES[job_type.name]
    assert topic == job_type.topic
    slots = {slot.name: ("slot" if slot.required else "optional", slot.name) for slot in job_type.inputs}
    outputs = {output.each or output.name: ("out", output.name) for output in job_type.outputs}
    inputs, _, made = text.partition("output:")
    assert {name: (look_up, of) for name, look_up, of in NAMED.findall(inputs)} == slots
    named = {name: (look_up, of) for name, look_up, of in NAMED.findall(made)}
    assert named == ({} if job_type.per_micrograph else outputs)  # rules/join.smk takes them from the definition
    assert not {*slots, *outputs} & {*dir(list), "items", "get"}  # what Snakemake keeps for itself


@every_type
def test_the_rule_asks_for_what_the_program_can_use(job_type: JobType) -> None:
    _, text = RULES[job_type.name]
    parameters = {parameter.name for parameter in job_type.parameters}
    assert ("gpu=gpus(job)" in text) == ("device" in parameters) == job_type.resources.gpu
    assert ("**mpi_resources(job)" in text) == ("{params.threads}" in text) == ("mpi_ranks" in parameters)
    assert ("environment(job)" in text) == bool(parameters & {"device", "mpi_ranks"})
    assert ("localrule: True" in text) == job_type.resources.local
    assert ("{batch}" in text) == ("batch_arguments(job)" in text) == job_type.per_micrograph


def test_every_picture_has_a_caption() -> None:
    assert {path.stem for path in (ROOT / "report").glob("*.rst")} == {*PANELS, "workflow"}
