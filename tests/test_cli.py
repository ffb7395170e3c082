"""The commands of `cryosnake` on a project that was planned and half run."""

from __future__ import annotations

import argparse
import os
import time
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from cryosnake.cli import TOPICS, main
from cryosnake.io.mrc import write_mrc
from cryosnake.pipeline.files import read_pipeline
from cryosnake.pipeline.markers import set_exit
from cryosnake.pipeline.model import Status
from cryosnake.project.config.config import parse_config
from cryosnake.project.locks.job_status import set_job_status
from cryosnake.project.planning.plan import make_plan
from cryosnake.project.run.commit import commit
from cryosnake.project.run.run_status import close_run

RAW = {
    "microscope": {"voltage": 300, "spherical_aberration": 2.7, "pixel_size": 1.0, "dose_per_frame": 1.2},
    "jobs": {"movies": {"type": "import", "movies": "Movies/*.mrcs"},
             "motion": {"type": "motioncorr", "movies": "movies"}},
}


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    Path("Movies").mkdir()
    for number in range(3):
        path = Path(f"Movies/m{number}.mrcs")
        write_mrc(path, np.zeros((2, 8, 8), np.float32), 1.0, stack=True)
        os.utime(path, (time.time() - 60,) * 2)
    commit(make_plan(parse_config(RAW)))
    set_job_status("Import/job001", Status.SUCCEEDED)
    set_exit("Import/job001", Status.SUCCEEDED)
    Path("MotionCorr/job002/batches/0001.done").write_text(
        "Movies/m0.mrcs\t1:1\tok\t\nMovies/m1.mrcs\t1:1\tfailed\tis corrupt\n")
    return tmp_path


def test_status_lists_every_job(project, capsys) -> None:
    assert main(["status"]) == 0
    text = capsys.readouterr().out
    assert "Import/job001" in text
    motion = next(line for line in text.splitlines() if "MotionCorr/job002" in line)
    assert motion.split()[:5] == ["MotionCorr/job002", "motion", "Scheduled", "1", "1"]
    assert "no run is in progress" in text


def test_retry_forgets_failures(project, capsys) -> None:
    assert main(["retry", "MotionCorr/motion"]) == 0
    assert "Movies/m1.mrcs" in capsys.readouterr().out
    assert "failed" not in Path("MotionCorr/job002/batches/0001.done").read_text()
    assert main(["retry", "MotionCorr/job002"]) == 0
    assert "nothing to retry" in capsys.readouterr().out
    assert main(["retry", "MotionCorr/job077"]) == 1


def test_the_pipeline_is_rebuilt_from_the_directories(project, capsys) -> None:
    before = read_pipeline("default_pipeline.star")
    Path("default_pipeline.star").unlink()
    assert main(["rebuild-pipeline"]) == 0
    assert read_pipeline("default_pipeline.star") == before
    assert "2 jobs" in capsys.readouterr().out


@pytest.mark.parametrize(("name", "content"), [("chart.svg", b"motion"), ("chart.png", b"PNG"),
                                               ("chart.dot", b"motion"), ("chart.tex", b"motion")])
def test_flowcharts_are_drawn(project, name, content, capsys) -> None:
    assert main(["flowchart", "--out", name]) == 0
    assert content in Path(name).read_bytes()


def test_the_flowchart_of_one_job_takes_any_of_its_names(project, capsys) -> None:
    for words in (["2"], ["motion"], ["--job", "MotionCorr/motion"]):
        assert main(["flowchart", *words, "--out", "chart.dot"]) == 0
    assert main(["flowchart", "nothing", "--out", "other.dot"]) == 1
    assert "no such job" in capsys.readouterr().err
    assert not Path("other.dot").exists()


def test_copies_of_the_pipeline_are_listed_and_put_back(project, capsys) -> None:
    before = read_pipeline("default_pipeline.star")
    assert main(["restore-pipeline"]) == 0
    assert "MotionCorr/job002/default_pipeline.star" in capsys.readouterr().out
    Path("default_pipeline.star").write_text("torn")
    assert main(["restore-pipeline", "MotionCorr/job002"]) == 0
    assert read_pipeline("default_pipeline.star") == before


def test_a_flowchart_of_another_kind_is_refused(project, capsys) -> None:
    assert main(["flowchart", "--out", "chart.bmp"]) == 1
    assert ".svg, .png, .dot, .tex or .pdf" in capsys.readouterr().err


def test_what_a_failed_run_left_running_is_settled(project) -> None:
    jobs = make_plan(parse_config(RAW)).jobs.values()
    set_job_status("MotionCorr/job002", Status.RUNNING)
    assert close_run(jobs) == []
    assert read_pipeline("default_pipeline.star").processes["MotionCorr/job002/"].status == Status.SCHEDULED
    set_job_status("MotionCorr/job002", Status.RUNNING)
    Path("MotionCorr/job002/batches/0001.log").touch()  # a program began here, and its STAR is not there
    assert close_run(jobs) == ["MotionCorr/job002"]
    assert read_pipeline("default_pipeline.star").processes["MotionCorr/job002/"].status == Status.FAILED
    assert Path("MotionCorr/job002/RELION_JOB_EXIT_FAILURE").exists()


def test_commands_outside_a_project_say_so(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["status"]) == 1
    assert "default_pipeline.star" in capsys.readouterr().err


def test_each_command_is_listed_with_its_module() -> None:
    for topic, names in TOPICS.items():
        commands = argparse.ArgumentParser().add_subparsers()
        import_module(f"cryosnake.cli.{topic}").register(commands)
        assert tuple(commands.choices) == names
