"""Pictures of finished jobs: one that cannot be drawn is reported, and another takes its place."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from matplotlib.image import imread

from cryosnake.jobs.maskcreate import JOB
from cryosnake.running.run import run_job


def draw(out: Path) -> int:
    return run_job(JOB, ["--draw", "--out", str(out), "--map", "map.mrc"])


def test_a_picture_that_cannot_be_drawn_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert draw(tmp_path) == 0
    said = capsys.readouterr().err
    assert "the picture mask.png could not be drawn" in said and "mask.mrc" in said and "not affected" in said
    assert imread(tmp_path / "mask.png")[..., :3].std() > 0.02  # not blank
    assert [path.name for path in tmp_path.iterdir()] == ["mask.png"]  # no log, no status: the job is not at work


def test_where_nothing_can_be_drawn_the_picture_is_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                          capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.setattr("cryosnake.report.job_pictures.read_mrc", lambda path: ([[[0.0]]], 1.0))
    assert draw(tmp_path) == 0
    assert "could not be drawn" in capsys.readouterr().err
    assert imread(tmp_path / "mask.png").shape == (1, 1)
