"""What `list`, `show`, `retry`, `clean` and the page of a clean-up say is true, on a terminal and in a pipe."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from small_history import PATHS, make_project, plan

from cryosnake.cli import main
from cryosnake.jobs.registry import job_types
from cryosnake.project.actions.notes import recorded_command
from cryosnake.project.actions.status import project_status
from cryosnake.project.records.final_marks import set_final
from cryosnake.project.records.record import read_record
from cryosnake.project.run.commit import commit
from cryosnake.report.cleanup_page import cleanup_page
from cryosnake.running.arguments import parse_arguments

GOOD = PATHS[1]


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    make_project("classes", "good")
    return tmp_path


def batches(path: str, *states: str) -> None:
    folder = Path(path, "batches")
    folder.mkdir(exist_ok=True)
    (folder / "0001.done").write_text("".join(f"m{n}.mrc\t1:2\t{state}\tbad\n" for n, state in enumerate(states)))


@pytest.mark.parametrize("columns", ["20", "80", ""])
def test_a_list_in_a_pipe_is_complete(project, columns: str) -> None:
    name = "a_long_name_" * 8
    text = Path("default_pipeline.star").read_text().replace("Select/good/", f"Select/{name}/")
    Path("default_pipeline.star").write_text(text)
    environment = {key: value for key, value in os.environ.items() if key != "COLUMNS"}
    done = subprocess.run([sys.executable, "-m", "cryosnake.cli", "list"], capture_output=True, text=True, check=True,
                          env=environment | ({"COLUMNS": columns} if columns else {}))
    line = next(line for line in done.stdout.splitlines() if GOOD in line)
    assert name in line and "Succeeded" in line and line.rstrip().endswith("B") and "…" not in done.stdout


def test_a_job_without_a_folder_has_no_age(project, capsys) -> None:
    shutil.rmtree(GOOD)
    assert main(["list"]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if GOOD in line)
    assert "no folder" in line and " d ago" not in line


def test_before_a_first_run_nothing_is_to_be_rebuilt(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    for words in (["list"], ["status"], ["show", "1"]):
        assert main(words) == 1
        said = capsys.readouterr().err
        assert "no jobs yet" in said and "snakemake" in said and "rebuild" not in said
    Path("MotionCorr/job002").mkdir(parents=True)
    assert main(["list"]) == 1
    assert "rebuild-pipeline" in capsys.readouterr().err


def test_a_change_is_the_jobs(project) -> None:
    for path in Path(GOOD).rglob("*"):
        os.utime(path, (time.time() - 5000,) * 2)
    for name in ("default_pipeline.star", "job_pipeline.star", ".cryosnake_final"):  # written by runs of other jobs
        Path(GOOD, name).touch()
    found = {job.path: job.changed for job in project_status()}
    assert found[GOOD] == pytest.approx(time.time() - 5000, abs=60)
    Path(GOOD, "particles.star").touch()
    assert {job.path: job.changed for job in project_status()}[GOOD] == pytest.approx(time.time(), abs=60)


def test_counts_of_micrographs_are_words(project, capsys) -> None:
    batches(GOOD, "ok", "ok", "failed")
    assert main(["show", "good"]) == 0
    assert "micrographs 2 done, 1 failed" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["good", "2", "job002", "Select/good", "Select/job002", "./Select/job002/"])
def test_retry_takes_any_name_of_a_job(project, capsys, name: str) -> None:
    batches(GOOD, "ok", "failed")
    assert main(["retry", name]) == 0
    assert "m1.mrc" in capsys.readouterr().out
    assert Path(GOOD, "batches/0001.done").read_text() == "m0.mrc\t1:2\tok\tbad\n"


def test_retry_of_no_job_says_so(project, capsys) -> None:
    assert main(["retry", "goood"]) == 1
    assert "did you mean" in capsys.readouterr().err


@pytest.mark.parametrize("level", ["gentle", "harsh", "clear"])
def test_cleaning_that_is_refused_everywhere_fails(project, capsys, level: str) -> None:
    for path in PATHS[:2]:
        set_final(path, True)
    assert main(["clean", "--all", f"--{level}"]) == 1
    said = capsys.readouterr()
    assert "nothing was cleaned: every job was refused" in said.err and "now in the Trash" not in said.out
    set_final(PATHS[0], False)
    assert main(["clean", "--all", f"--{level}"]) == 0  # one protected job does not stop the others


def test_the_size_of_the_trash_is_that_of_now(project, capsys) -> None:
    assert main(["cleanup"]) == 0
    assert "Trash 0 B" in capsys.readouterr().out
    Path("Trash/Class2D/job009").mkdir(parents=True)
    Path("Trash/Class2D/job009/big.mrcs").write_bytes(bytes(39_800_000))
    assert main(["cleanup"]) == 0
    assert "Trash 39.8 MB" in capsys.readouterr().out


def test_the_page_says_what_is_made_again_and_that_the_trash_is_not_free(project, tmp_path) -> None:
    assert main(["cleanup", "--delete-non-final", "--html", "page.html"]) == 0
    page = Path("page.html").read_text()
    assert "made again by the next <code>snakemake</code>" in page and GOOD in page.partition("Estimate")[0]
    assert "empty-trash" in page
    sizes = {"other": 10, "trash": 5, "stale": ""}
    estimate = {"project_bytes": 100, "bytes_by_action": {"delete": 30}, "bytes": 30, "cleared": 0, "deleted": 1,
                "intermediate_only": 0, "modified": 1, "percent": 30.0}
    empty = {"preprocessing": {}, "other": {}, "total": {}}
    share = {name: {"jobs": 0, "bytes": 0, "percent": 0.0} for name in empty}
    page = cleanup_page({"header": {"name": "p", "workspace": "", "jobs": 1, "bytes": 85}, "sizes": sizes,
                         "estimate": estimate, "preprocessing": {**share, "kinds": {}}, "intermediates": [],
                         "non_final": {}, "killed_failed": {}, "actions": [], "skipped": [], "made_again": []})
    before, after = page.split("<div>after</div>")
    assert 'class="delete" style="width:30.00%"' in before and 'class="trash" style="width:5.00%"' in before
    assert 'class="trash" style="width:35.00%"' in after and 'class="delete" style' not in after
    assert "made again" not in page


@pytest.mark.parametrize(("program", "command"), [
    ("/x/cryosnake/running/__main__.py", "python -m cryosnake.running select --out"),
    ("scripts/run_select.py", "run_select.py --out")])
def test_the_command_of_a_plug_in_can_be_called(monkeypatch, program: str, command: str) -> None:
    monkeypatch.setattr(sys, "argv", [program])
    words = ["--out", "Select/job001", "--particles", "p.star"]
    assert parse_arguments(job_types()["select"], words).command.startswith(command)


@pytest.mark.parametrize(("kind", "command"), [
    ("select", "run_select.py --out Select/job002"), ("import", "run_import.py --out"),
    ("denoise", "python -m cryosnake.running denoise --out Select/job002")])
def test_the_command_of_a_job_that_has_not_run(project, kind: str, command: str) -> None:
    record = read_record(Path(GOOD))
    assert record is not None
    assert recorded_command(GOOD, replace(record, type=kind)).startswith(command)


def test_jobs_that_were_replaced_before_they_started_are_named(project, capsys) -> None:
    """One wrong value fails the first job of a chain; corrected, it makes all of them new, and the old ones stay."""
    assert "replaced" not in "".join(job.full_state for job in project_status())
    text = Path("config.yaml").read_text()
    Path("config.yaml").write_text(text.replace("symmetry: D2", "symmetry: C2"))  # of the third of five jobs
    commit(plan())
    assert main(["list", "--state", "replaced", "--names"]) == 0
    replaced = capsys.readouterr().out.split()
    assert replaced == list(PATHS[2:])
    states = {job.path: job.full_state for job in project_status()}
    assert states[PATHS[2]] == "Scheduled (replaced)" and states["InitialModel/job006"] == "Scheduled"
    assert main(["delete", "--yes", *replaced]) == 0
    assert not any(job.replaced for job in project_status())
    Path("config.yaml").write_text(text)  # the former value again: the deleted jobs' numbers stay free
    commit(plan())
    assert "InitialModel/job003" not in {job.path for job in project_status()}
