"""Jobs that waited for particles: which can be made after a run, and whether that starts again by itself."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from small_history import particles

from cryosnake.pipeline.markers import set_exit
from cryosnake.pipeline.model import Status
from cryosnake.project.config.config import parse_config
from cryosnake.project.planning.plan import make_plan
from cryosnake.project.run import again
from cryosnake.project.run.commit import commit
from cryosnake.project.run.run_status import failures

CONFIG = {"microscope": {"voltage": 300, "spherical_aberration": 2.7, "pixel_size": 1.0},
          "jobs": {"first": {"type": "external", "executable": "./a.sh", "outputs": {"particles": "a.star"}},
                   "second": {"type": "select", "particles": "first", "minimum_score": 0.1, "at_least": 20},
                   "third": {"type": "select", "particles": "second", "minimum_score": 0.2, "at_least": 50}}}


@pytest.fixture
def plan(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(again, "_jobs", [])
    Path("a.sh").write_text("#!/bin/sh\n")
    plan = make_plan(parse_config(CONFIG))
    commit(plan)
    return plan


@pytest.mark.parametrize("words", [["python", "/usr/bin/snakemake", "-c2"], ["python", "-m", "snakemake", "-c2"]])
def test_the_command_starts_again_when_there_are_enough_particles(plan, words, monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "orig_argv", words)
    calls = []
    monkeypatch.setattr(again.os, "execv", lambda program, words: calls.append((program, words)))
    Path("External/job001/a.star").write_text(particles(19))
    again.go_on(plan, by_itself=True)
    again._repeat()
    assert not calls
    Path("External/job001/a.star").write_text(particles(30))
    again.go_on(plan, by_itself=True)
    again._repeat()
    assert calls == [(sys.executable, words)]
    assert capsys.readouterr().err == "second: there are enough particles now; continuing\n"


@pytest.mark.parametrize(("words", "by_itself"), [(["python", "-m", "pytest"], True), (["python", "my.py"], True),
                                                  (["python"], True), (["python", "-m", "snakemake"], False)])
def test_other_programs_and_forced_runs_are_told_only(plan, words, by_itself, monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "orig_argv", words)
    Path("External/job001/a.star").write_text(particles(30))
    again.go_on(plan, by_itself=by_itself)
    assert capsys.readouterr().err == "second: there are enough particles now; the next run continues with that\n"
    assert not again._jobs


def test_a_failed_run_says_the_reasons_of_its_failures_and_of_no_earlier_ones(plan) -> None:
    Path("External/job001/run.err").write_text("2026-11-30 12:32:17  first\n2026-11-30 12:33:17  a.sh: no such file\n")
    set_exit("External/job001", Status.FAILED)
    began = Path("External/job001/RELION_JOB_EXIT_FAILURE").stat().st_mtime
    assert list(failures(plan.own, began)) == ["first (External/job001) failed: a.sh: no such file"]
    assert not list(failures(plan.own, began + 60))
