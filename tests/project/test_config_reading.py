"""config.yaml as a file: plain data, nothing twice, and each mistake with its line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cryosnake.cli import main
from cryosnake.errors import CryosnakeError
from cryosnake.installation import snakefile
from cryosnake.jobs.model import declared_outputs
from cryosnake.pipeline.edit import LONGEST_ALIAS, alias_problem
from cryosnake.project.config.config import BY_WATCHER, INTERNAL_KEYS, VALUES, parse_config
from cryosnake.project.config.reading import read_config_file

MICROSCOPE = {"voltage": 300, "spherical_aberration": 2.7, "amplitude_contrast": 0.1, "pixel_size": 1.0,
              "dose_per_frame": 1.0}
CONFIG = """\
microscope: {voltage: 300, spherical_aberration: 2.7, amplitude_contrast: 0.1, pixel_size: 1.0, dose_per_frame: 1.0%s}
jobs:
  movies: {type: import, movies: "Movies/*.tiff", settling_time: 0}
  motion: {type: motioncorr, movies: movies%s}
"""


def read(text: str) -> dict:
    Path("config.yaml").write_text(text)
    return read_config_file("config.yaml")


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("text", "words"), [
    ("jobs:\n  a: {type: x}\n  b: 1\n  a: {type: y}\n", ["line 4: jobs.a", "the first is in line 2"]),
    ("jobs: {}\ntitle: x\njobs: {}\n", ["line 3: jobs", "the first is in line 1"]),
    ("jobs:\n  a: {type: x, patches: 1, patches: 2}\n", ["line 2: jobs.a.patches", "the first is in line 2"]),
    ("microscope:\n  gain: a\n  'gain': b\n", ["line 3: microscope.gain", "line 2"]),
    ("workspaces:\n  - {a: 1,\n     a: 2}\n", ["line 3: workspaces.a", "line 2"]),
])
def test_what_is_there_twice_is_refused_with_both_lines(text: str, words: list[str]) -> None:
    with pytest.raises(CryosnakeError, match="there a second time") as refused:
        read(text)
    assert all(word in str(refused.value) for word in words), refused.value
    assert main(["alias", "1", "x"]) == 1  # cryosnake's own commands read the same file in the same way


def test_the_same_key_in_two_places_and_merged_mappings_are_not_twice() -> None:
    text = "base: &base {a: 1, b: 2}\njobs:\n  x: {<<: *base, a: 3}\n  y: {<<: *base}\n  '1': 0\n  1: 0\n"
    assert read(text)["jobs"]["x"] == {"a": 3, "b": 2}


@pytest.mark.parametrize(("text", "words"), [
    ("title: x\njobs:\n  a: {type: x\n", "config.yaml, line 4: is not YAML"),
    ("title: x\n\tjobs: 1\n", "config.yaml, line 2: is not YAML"),
    ("title: a: b\n", "config.yaml, line 1: is not YAML: mapping values are not allowed here"),
    ("a: &a [*b]\n", "config.yaml, line 1: is not YAML"),
    ("title: !!python/object/apply:os.system [touch x]\n", "config.yaml, line 1: is not YAML"),
    ("- a\n- b\n", "must be a mapping"),
    ("just text\n", "must be a mapping"),
    ("a: " + "[" * 3000 + "\n", "config.yaml"),
    ("a: \0\n", "config.yaml: can't be read"),
])
def test_errors_of_yaml_have_their_line(text: str, words: str) -> None:
    with pytest.raises(CryosnakeError) as refused:
        read(text)
    assert words in str(refused.value)
    assert not os.path.exists("x")


@pytest.mark.parametrize(("text", "line"), [
    ("__use_yte__: true\nx: ?open('pwned', 'w')\n", 1), ("title: x\n__use_yte__: false\n", 2),
    ('{"jobs": {},\n"__use_yte__": true}\n', 2)])
def test_a_config_is_not_a_program(text: str, line: int) -> None:
    with pytest.raises(CryosnakeError, match=f"config.yaml, line {line}: __use_yte__ would make the config a program"):
        read(text)


@pytest.mark.parametrize("key", INTERNAL_KEYS)
def test_internal_switches_are_no_keys_of_a_file(key: str) -> None:
    with pytest.raises(CryosnakeError, match=f"line 2: {key} is set by `cryosnake watch`"):
        read(f"title: x\n{key}: 1\n")
    assert key not in {parameter.name for parameter in VALUES}


@pytest.mark.workflow
def test_snakemake_reads_it_as_data(project) -> None:
    def snakemake(text: str, *words: str, **environment: str) -> str:
        Path("config.yaml").write_text(text)
        done = subprocess.run([sys.executable, "-m", "snakemake", "-s", snakefile(), "-n", "--cores", "1", *words],
                              capture_output=True, text=True, env={**os.environ, **environment})
        return f"{done.returncode} {done.stdout}{done.stderr}"

    good = CONFIG % (", gain: 'g{x}{{y}}.mrc'", "")
    Path("Movies").mkdir()
    said = snakemake("__use_yte__: true\nx: ?open('pwned', 'w')\n" + good)
    assert said.startswith("1 ") and "line 1: __use_yte__" in said and not Path("pwned").exists()
    said = snakemake(good + "  motion: {type: ctffind, micrographs: motion}\n")
    assert said.startswith("1 ") and "line 5: jobs.motion is there a second time, the first is in line 4" in said
    assert "line 1: full_batches is set by" in snakemake("full_batches: true\n" + good)
    for word in ("lane=micrographs", "only=motion", "full_batches=True"):
        assert f"{word.partition('=')[0]}: only `cryosnake watch` sets this" in snakemake(good, "--config", word)
    assert "only `cryosnake watch`" not in snakemake(good, "--config", "full_batches=True", **{BY_WATCHER: "1"})
    Path("more.json").write_text(json.dumps({"batch_size": 7}))
    Path("more.yaml").write_text("batch_size: 7\nbatch_size: 8\n")
    assert "line 2: batch_size is there a second time" in snakemake(good, "--configfile", "more.yaml")
    said = snakemake(good, "--configfile", "more.json")  # no movie has come
    assert "no complete file matches" in said and "Traceback" not in said and "Wildcard" not in said


@pytest.mark.parametrize(("job", "words"), [
    ({"gain": "a\nb.mrc"}, "must be one line of text"), ({"gain": "a\tb.mrc"}, "must be one line of text"),
    ({"movies": "files/{x}.star"}, "braces"), ({"movies": "a{}.star"}, "braces"), ({"movies": "}.mrc"}, "braces"),
])
def test_texts_that_can_not_be_used_are_refused(job: dict, words: str) -> None:
    raw = {"microscope": MICROSCOPE, "jobs": {"motion": {"type": "motioncorr", "movies": "m.star", **job}}}
    with pytest.raises(CryosnakeError, match=words):
        parse_config(raw)


@pytest.mark.parametrize("file", ["../x.star", "/x.star", "a/../../x.star", "{x}.star", ""])
def test_outputs_of_external_jobs_are_in_their_directory(file: str) -> None:
    with pytest.raises(ValueError, match="must be a file in the job's directory"):
        declared_outputs({"particles": file})


@pytest.mark.parametrize("name", ["n" * 300, "n" * (LONGEST_ALIAS + 1), "é" * 60])
def test_names_that_are_too_long_for_a_file_system_are_refused(name: str) -> None:
    assert "is too long" in str(alias_problem(name, ()))
    assert alias_problem(name.replace("é", "e")[:LONGEST_ALIAS], ()) is None
    raw = {"microscope": MICROSCOPE, "jobs": {name: {"type": "import", "movies": "a"}}}
    with pytest.raises(CryosnakeError, match="is too long"):
        parse_config(raw)
