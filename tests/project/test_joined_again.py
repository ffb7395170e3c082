"""Times of files that their job made again to the same contents, and of records that are renewed in a copy."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
import test_plan
from test_growth import TABLE, plan_of, project, run  # noqa: F401

from cryosnake.project.records.freshness import is_stale
from cryosnake.project.run.commit import commit
from cryosnake.project.run.copied_files import (
    changed_movies,
    record_files,
    renew_movies,
    restore_times,
    times_of_record,
)


@pytest.mark.parametrize("file", [TABLE, "Class2D/job005/run_it002_data.star", "Class2D/job005/run_it002_model.star"])
def test_what_a_reader_has_recorded_does_not_put_its_time_back(project, file) -> None:  # noqa: F811
    run()
    record_files(plan_of())
    Path("made_from").touch()
    now = time.time_ns()
    os.utime("made_from", ns=(now, now))
    os.utime(file, ns=(now + 1, now + 1))
    record_files(plan_of())
    assert restore_times(plan_of(), times_of_record(plan_of())) == {}
    assert os.stat(file).st_mtime_ns == now + 1 and not is_stale(file, ["made_from"])


def test_a_copy_of_a_copy_of_a_copy_is_the_same_project(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    test_plan.add_movies(1, 2, 3)
    plan = test_plan.plan_of()
    commit(plan)
    test_plan.finish_all(plan)
    record_files(test_plan.plan_of())
    for _ in range(4):
        for path in sorted(Path().rglob("*.*")):
            os.utime(path)
        plan = test_plan.plan_of()
        assert all(job.batches == {1: "0001", 2: "0002"} for job in plan.jobs.values())
        assert restore_times(plan, times_of_record(plan)) == {}
        renew_movies(changed_movies(plan))
        record_files(plan)
