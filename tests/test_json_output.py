"""`--json`: the keys of docs/running.md with their types, and nothing else on stdout."""

from __future__ import annotations

import json
import re
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from test_cli import RAW, project  # noqa: F401

from cryosnake.cli import main
from cryosnake.cli.commands import print_json
from cryosnake.pipeline.job_star import write_job_star

JOB = {"job": str, "alias": str, "state": str, "killed": bool, "replaced": bool, "final": bool, "outdated": str,
       "micrographs": {"done": int, "failed": int, "rejected": int, "batches": int}, "changed": str | None, "size": int,
       "version": str}
LIST = {"jobs": [JOB], "waiting": [str]}
FILE = {"file": str, "kind": str, "rows": int | None, "jobs": [str], "exists": bool}
SCHEMAS: dict[str, Any] = {
    "list": LIST,
    "status": LIST | {"running": str | None, "not_imported": [{"job": str, "movie": str, "reason": str}]},
    "chain": {"jobs": [str]},
    "outputs": {"outputs": [{"job": str, "file": str, "type": str, "relion3": int, "exists": bool, "size": int,
                             "rows": int | None}]},
    "show": JOB | {"title": str, "type": str | None, "parameters": {...: {"value": object, "stated": bool}},
                   "inputs": [FILE], "outputs": [FILE], "users": [str],
                   "results": [{"name": str, "value": float | int, "unit": str}],
                   "runs": [{"started": str, "batch": str, "outcome": str, "seconds": float, "cpu_seconds": float,
                             "memory_mb": float, "threads": int, "host": str}],
                   "files": int, "note": str, "not_imported": [{"movie": str, "reason": str}], "log": [str],
                   "errors": [str]}}


def fits(data: Any, schema: Any, place: str = "") -> None:
    """Check that data has just the keys of a schema, and values of its types; `...` stands for any key."""
    if isinstance(schema, dict) and ... not in schema:
        assert list(data) == list(schema), place
        for key, part in schema.items():
            fits(data[key], part, f"{place}.{key}")
    elif isinstance(schema, dict):
        for key, value in data.items():
            fits(value, schema[...], f"{place}.{key}")
    elif isinstance(schema, list):
        assert isinstance(data, list), place
        for number, item in enumerate(data):
            fits(item, schema[0], f"{place}[{number}]")
    else:
        assert isinstance(data, schema), f"{place}: {data!r}"


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    assert main([*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("words", [["list"], ["status"], ["chain", "motion", "--ancestors", "--self"], ["outputs"],
                                   ["outputs", "movies"], ["show", "motion"], ["show", "movies"]], ids=" ".join)
def test_keys_and_types(project: Path, capsys: pytest.CaptureFixture[str], words: list[str]) -> None:  # noqa: F811
    Path("config.yaml").write_text(yaml.safe_dump(RAW))
    Path("MotionCorr/job002/run_times.tsv").write_text("2026-11-30T12:00:00\t0001\tok\t9.5\t9.0\t512\t2\tscope\n")
    fits(printed(capsys, *words), SCHEMAS[words[0]])


def test_what_it_says(project: Path, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: F811
    first, second = printed(capsys, "list")["jobs"]
    assert (first["job"], first["state"], second["micrographs"]["failed"]) == ("Import/job001", "succeeded", 1)
    assert datetime.fromisoformat(second["changed"]).tzinfo is not None
    assert [job["job"] for job in printed(capsys, "list", "--state", "succeeded")["jobs"]] == ["Import/job001"]
    files = printed(capsys, "outputs", "motion")["outputs"]
    assert [(file["file"], file["relion3"], file["exists"], file["size"]) for file in files] == [
        ("MotionCorr/job002/corrected_micrographs.star", 1, False, 0)]
    shown = printed(capsys, "show", "motion")
    assert shown["parameters"]["patches"]["stated"] is False and shown["inputs"][0]["jobs"] == ["Import/job001"]
    assert main(["outputs"]) == 0
    assert capsys.readouterr().out.splitlines()[1] == (
        "MotionCorr/job002/corrected_micrographs.star  MicrographGroupMetadata.star.relion.motioncorr  missing")


def test_a_job_of_relion_and_an_error(project: Path, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: F811
    Path("Import/job001/cryosnake.json").unlink()
    write_job_star("Import/job001/job.star", 0, "relion.import.movies", False, {"fn_in_raw": "Movies/*.mrcs"})
    shown = printed(capsys, "show", "movies")
    fits(shown, SCHEMAS["show"])
    assert shown["type"] is None and shown["parameters"]["fn_in_raw"]["value"] == "Movies/*.mrcs"
    assert main(["show", "nothing", "--json"]) == 1
    assert capsys.readouterr().out == ""


def test_nothing_but_json_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    def chatty() -> dict[str, float]:
        print("by the way")
        return {"none": float("nan"), "å": 1.5}

    print_json(chatty)
    said = capsys.readouterr()
    assert json.loads(said.out) == {"none": None, "å": 1.5} and said.err == "by the way\n"


def test_every_key_is_documented() -> None:
    def keys(schema: Any) -> set[str]:
        parts = schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else []
        own = {key for key in schema if key is not ...} if isinstance(schema, dict) else set()
        return own.union(*map(keys, parts))

    text = Path(__file__).parents[1].joinpath("docs/running.md").read_text()
    section = text[text.index("## JSON"):]
    missing = {key for key in keys(SCHEMAS) if not re.search(rf"`{key}`", section)}
    assert not missing
