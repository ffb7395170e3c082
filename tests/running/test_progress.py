"""The line with the time left that long jobs print in a workflow, and the counts of what was found."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from cryosnake.io.star import write_star
from cryosnake.project.records.batches import Finished
from cryosnake.running import progress as module
from cryosnake.running.batch_tables import found_in, found_in_all
from cryosnake.running.progress import JobProgress


@pytest.fixture
def clock(monkeypatch):
    """Stand in for the time; a list of one number, in seconds."""
    now = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def reports(progress: JobProgress, clock: list[float], seconds: float, *steps: tuple[int, int, str]) -> None:
    for step in steps:
        progress(*step)
        clock[0] += seconds


def test_a_long_job_says_how_much_is_done_and_left(tmp_path, clock, monkeypatch, capsys) -> None:
    monkeypatch.setenv("CRYOSNAKE_WORKFLOW", "1")
    progress = JobProgress(Path("Class2D/job006"), "2D classification")
    reports(progress, clock, 40, (0, 1000, "iteration 1"), (100, 1000, "iteration 1"), (200, 1000, "iteration 2"))
    assert capsys.readouterr().out == (
        "2D classification Class2D/job006: 20 % (iteration 2), about 5.3 min left\n")


def test_time_left_is_counted_from_where_this_process_or_this_iteration_started(clock, monkeypatch, capsys) -> None:
    monkeypatch.setenv("CRYOSNAKE_WORKFLOW", "1")
    progress = JobProgress(Path("Refine3D/job008"), "Refinement")
    reports(progress, clock, 50, (900, 1000, "of iteration 3"), (0, 1000, "of iteration 4"),
            (500, 1000, "of iteration 4"))
    assert capsys.readouterr().out == "Refinement Refine3D/job008: 50 % (of iteration 4), about 50 s left\n"


def test_a_job_of_a_day_prints_less_often_than_one_of_an_hour(clock, monkeypatch, capsys) -> None:
    monkeypatch.setenv("CRYOSNAKE_WORKFLOW", "1")
    progress = JobProgress(Path("Class2D/job006"), "2D classification")
    reports(progress, clock, 10, *((done, 8640, "") for done in range(8640)))
    assert 20 < len(capsys.readouterr().out.splitlines()) < 100


@pytest.mark.parametrize("workflow", [True, False])
def test_short_jobs_and_those_outside_a_workflow_print_nothing(workflow, clock, monkeypatch, capsys) -> None:
    monkeypatch.delenv("CRYOSNAKE_WORKFLOW", raising=False)
    if workflow:
        monkeypatch.setenv("CRYOSNAKE_WORKFLOW", "1")
    progress = JobProgress(Path("Class2D/job006"), "2D classification")
    reports(progress, clock, 1 if workflow else 100, *((done, 50, "") for done in range(51)))
    assert capsys.readouterr() == ("", "")


def test_picks_and_particles_are_counted(tmp_path) -> None:
    star = tmp_path / "a_autopick.star"
    write_star(star, {"": pd.DataFrame({"rlnCoordinateX": [1.0, 2.0, 3.0], "rlnCoordinateY": [1.0, 2.0, 3.0]})})
    assert found_in([{"rlnMicrographName": "a.mrc", "rlnMicrographCoordinates": str(star)}]) == "3 picks"
    assert found_in([{"rlnImageName": "1@a.mrcs"}, {"rlnImageName": "2@a.mrcs"}]) == "2 particles"
    assert found_in([{"rlnMicrographName": "a.mrc"}]) == ""
    items = [Finished("a", "", "ok", "700 picks"), Finished("b", "", "failed", "it is torn"),
             Finished("c", "", "ok", "650 picks")]
    assert found_in_all(items) == "1,350 picks"
    assert found_in_all([*items, Finished("d", "", "ok", "")]) == "", "a batch of an earlier version"
    assert found_in_all([]) == ""
