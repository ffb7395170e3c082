"""Canaries: each private part of Snakemake that we use, asked of the Snakemake that is installed."""

from __future__ import annotations

import inspect
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from cryosnake.project import snakemake_internals as internals

pytestmark = pytest.mark.workflow

LONG = "/".join("a_folder_with_a_long_name" for _ in range(8)) + "/long.txt"
# Snakemake marks a job of this computer just after it has started it.
COPY = ("for turn in $(seq 100); do find .snakemake/incomplete -type f -path '{}' | grep -q . && break; sleep 0.1; "
        "done; cp -r .snakemake/incomplete {}")
SNAKEFILE = f"""
import dataclasses, json, os
from cryosnake.project import snakemake_internals as internals

def note(**facts):
    with open("notes.jsonl", "a") as file:
        file.write(json.dumps(facts) + "\\n")

def failed(job):
    note(failed=dataclasses.asdict(job), memory=internals.resources_of(workflow, job.number).get("mem_mb"))
    if job.rule == "forbidden":
        internals.forbid_retries(workflow, job.rule)

request = internals.request()
note(main=internals.is_main(workflow), gpu=internals.limit_of(workflow, "gpu"),
     cores=[internals.cores_given(workflow), internals.jobs_at_once(workflow)], dag=request.builds_dag,
     asked=[sorted(request.again), request.everything, request.targets], module=internals.is_module(workflow),
     folder=internals.module_folder(workflow), rule=internals.name_of_rule(workflow, "short"),
     given=dict(internals.command_line_config(workflow)), tape=internals.limit_of(workflow, "tape"),
     environments=internals.has_environments(workflow),
     files=internals.config_files(workflow), word=config.get("word"))
below = {{"word": "given", "part": {{"a": 1}}}}
internals.put_below(workflow, below, {{"word": "file", "part": {{"a": 2, "b": 2}}, "more": 1}}, "below.yaml")
note(named=internals.named_config_files(workflow), below=below, given_by_user=internals.has_config_of_module(workflow),
     read=[str(file) for file in workflow.configfiles])
if config.get("word") == "refuse":
    raise internals.refusal("this is refused")

internals.before_dag(workflow, lambda: note(executes=internals.executes(workflow)))

onstart:
    note(submits=internals.submits_jobs(workflow))
    if internals.submits_jobs(workflow):
        internals.hand_on(workflow, "word", "handed on")
        internals.forget_config_files(workflow)
    internals.begin_listening(internals.listener(lambda number: note(finished=number), failed))

rule all:
    input: "short.txt", "{LONG}"
rule jobs:
    output: "short.txt"
    shell: "ls .snakemake/locks > locks.txt; {COPY.format("*", "marks_of_short")}; touch {{output}}"
rule long:
    output: "{LONG}"
    shell: "{COPY.format("*@*", "marks_of_long")}; touch {{output}}"
rule slow:
    output: "slow.txt"
    shell: "touch {{output}}; if [ ! -e begun ]; then touch begun; sleep 60; fi"
rule good:
    output: "good.txt"
    shell: "touch {{output}}"
rule forbidden:
    output: "forbidden.txt"
    resources: mem_mb=123
    shell: "false"
rule again:
    output: "again.txt"
    shell: "false"
"""
SUBMIT = """#!/bin/sh
case $(grep -o '"rule": "[a-z]*"' "$1") in
    *good*) sh "$1" > good.log 2>&1; echo 11;;
    *) echo 12;;
esac
"""
STATUS = """#!/bin/sh
if [ "$1" = 11 ]; then echo success; else echo failed; fi
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("Snakefile").write_text(SNAKEFILE)
    Path("below.yaml").write_text("word: file\n")
    return tmp_path


def words(*options: str) -> list[str]:
    return [sys.executable, "-m", "snakemake", "--cores", "1", *options]


def snakemake(*options: str, code: int = 0) -> str:
    done = subprocess.run(words(*options), capture_output=True, text=True)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def notes(key: str) -> list[Any]:
    return [found[key] for found in map(json.loads, Path("notes.jsonl").read_text().splitlines()) if key in found]


def test_a_run_of_this_computer_its_marks_and_its_locks(monkeypatch) -> None:
    Path("values.yaml").write_text("word: of the file\n")
    snakemake("--resources", "gpu=2", "--configfile", "values.yaml")
    assert notes("main") == notes("executes") == [True] and notes("submits") == notes("environments") == [False]
    assert notes("gpu") == [2] and notes("tape") == [None] and notes("word") == ["of the file"]
    assert notes("cores") == [[1, 1]]
    assert [Path(file).name for file in notes("files")[0]] == ["values.yaml"]
    assert notes("named") == notes("files") and notes("given_by_user") == [False]
    assert notes("below") == [{"word": "given", "part": {"a": 1, "b": 2}, "more": 1}]
    assert notes("read")[0][-1] == "below.yaml"
    assert len(notes("finished")) == 3  # with that of `all`
    assert {Path(name).suffix for name in Path("locks.txt").read_text().split()} == {".lock"}
    for name, folder in (("short.txt", "marks_of_short"), (LONG, "marks_of_long")):  # copied while each was made
        monkeypatch.setattr(internals, "MARKS", Path(folder))
        assert name in internals.marks()


QUERIES = ("-n", "--touch", "--summary", "--detailed-summary", "--list-input-changes", "--list-params-changes",
           "--dag", "--rulegraph", "--filegraph", "--report report.html", "--list-untracked", "--unlock",
           "--delete-all-output -n")
CALLS = """
import sys
from snakemake.cli import main
for words in sys.argv[1:]:
    try:
        main([*words.split(), "--cores", "1"])
    except SystemExit as end:
        assert end.code == 0, words
"""


def in_one_process(*calls: str) -> None:
    subprocess.run([sys.executable, "-c", CALLS, *calls], check=True, stdout=subprocess.DEVNULL)


def test_only_a_run_executes() -> None:
    snakemake()
    Path("notes.jsonl").unlink()
    in_one_process(*QUERIES, "--list-rules", "--list-target-rules")
    assert notes("executes") == [False] * len(QUERIES)
    assert notes("dag") == [True] * len(QUERIES) + [False] * 2


def test_what_is_asked_for_again_is_known_while_parsing() -> None:
    Path("short.txt").touch()
    Path(LONG).parent.mkdir(parents=True)
    Path(LONG).touch()
    in_one_process("-n", "-n -F", "-n -f short.txt", "-n -R long short.txt", "--touch -F")
    assert notes("asked") == [[[], False, []], [[], True, []], [["short.txt"], False, ["short.txt"]],
                              [["long", "short.txt"], False, []], [[], False, []]]


def test_a_module_has_our_handlers_beside_those_of_its_user() -> None:
    os.rename("Snakefile", "theirs")
    Path("Snakefile").write_text("""
from cryosnake.project import snakemake_internals as internals
def begin():
    if internals.executes(workflow):
        internals.add_handlers(workflow, start=lambda: print("ours at start"), success=lambda: print("ours at end"))
internals.before_dag(workflow, begin)
module theirs:
    snakefile: "theirs"
    config: {"word": "of the module"}
    prefix: "below"
use rule * from theirs as their_*
onstart: print("the user's at start")
onsuccess: print("the user's at end")
""")
    said = [line for line in snakemake("below/good.txt").splitlines() if " at " in line]
    assert said[:2] == ["ours at start", "the user's at start"] and said[-2:] == ["ours at end", "the user's at end"]
    assert notes("module") == [True] and notes("folder") == ["below"] and notes("rule") == ["their_short"]
    assert notes("word") == ["of the module"] and notes("executes") == [True] and notes("submits") == []
    assert "leave the option out" in snakemake("below/short.txt", "--no-hooks", code=1)


def test_a_refusal_has_no_traceback() -> None:
    said = snakemake("-n", "--config", "word=refuse", code=1)
    assert "this is refused" in said and "Traceback" not in said


def test_what_we_mark_is_incomplete_to_snakemake() -> None:
    snakemake()
    assert "Nothing to be done" in snakemake("-n", "--rerun-incomplete")
    assert internals.mark("short.txt") and not internals.mark("x" * internals.LONGEST)
    assert "rule jobs" in snakemake("-n", "--rerun-incomplete")
    internals.marks()["short.txt"].unlink()
    assert "Nothing to be done" in snakemake("-n", "--rerun-incomplete")


def test_the_lock_and_the_mark_of_a_killed_run() -> None:
    process = subprocess.Popen(words("slow.txt"), start_new_session=True, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not Path("begun").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert "slow.txt" in internals.marks()
    assert "lock" in snakemake("slow.txt", code=1).lower()
    assert internals.remove_lock() and not internals.remove_lock()
    snakemake("slow.txt", "--rerun-incomplete")


def test_jobs_that_are_submitted() -> None:
    for name, text in (("submit", SUBMIT), ("status", STATUS)):
        Path(name).write_text(text)
        Path(name).chmod(0o755)
    Path("values.yaml").write_text("word: of the file\n")
    snakemake("good.txt", "forbidden.txt", "again.txt", "--executor", "cluster-generic", "--jobs", "1",
              "--retries", "1", "--keep-going", "--cluster-generic-submit-cmd", f"{os.getcwd()}/submit",
              "--cluster-generic-status-cmd", f"{os.getcwd()}/status", "--configfile", "values.yaml",
              "--seconds-between-status-checks", "1", code=1)
    assert notes("submits")[0] is True
    assert notes("cores")[0] == [0, 1]
    assert "handed on" in notes("word") and {"word": "handed on"} in notes("given")
    assert False in notes("main")  # in the job, which parses the Snakefile again
    assert notes("files")[0] and [] in notes("files")
    failed = notes("failed")
    assert [job["rule"] for job in failed].count("forbidden") == 1, "it was tried again"
    assert [job["rule"] for job in failed].count("again") == 2
    job = next(job for job in failed if job["rule"] == "forbidden")
    assert job["outputs"] == ["forbidden.txt"] and job["external"] == "12" and 123 in notes("memory")
    assert len(notes("finished")) == 1


def test_what_the_executor_for_slurm_writes() -> None:
    import snakemake_executor_plugin_slurm as plugin

    source = inspect.getsource(plugin)
    assert 'f"rule_{job.name}_wildcards_{wildcard_str}"' in source
    assert internals.rule_of_comment("rule_motion_wildcards_0001") == "motion"
    assert internals.rule_of_comment("rule_refine") == "refine" and internals.rule_of_comment("other") == ""
    assert "sbatch failed. " in source and "The error message was '{e.output.strip()}'.\\n" in source
    assert "SLURM status is: '{status}'" in source
    assert re.search(internals.REFUSED, "SLURM sbatch failed. The error message was 'sbatch: error: no'.\n")[1] == "no"
    assert '"SLURM sbatch failed for array job submission "' in source
    assert "Part of failed array sbatch submission" in source
    assert '"(tasks {start_index}-{end_index}). "' in source and "self.logger.error(error_msg)" in source
    assert internals.CLUSTER_LOGS.name in source
