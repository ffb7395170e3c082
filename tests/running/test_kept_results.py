"""Results of a job that was killed before its end come back when Snakemake removed them, unless they are outdated."""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from cryosnake.jobs.model import MAP, JobType, Output, Parameter, Slot
from cryosnake.project.planning.planned import PlannedJob
from cryosnake.project.records.disk import KEPT_RESULTS
from cryosnake.project.records.file_sizes import folder_size
from cryosnake.project.run.closing import tidy_results
from cryosnake.running.run import run_job

OUT = Path("Class3D/job002")
RESULTS = ("run_it002_optimiser.star", "run_it002_class001.mrc")
JOB = JobType(name="fake", folder="Class3D", relion3=9, label="relion.class3d", title="Fake", description="A test.",
              inputs=(Slot("map", (MAP,), "Map."),),
              outputs=tuple(Output(name[:9] + str(number), name, MAP) for number, name in enumerate(RESULTS)),
              parameters=(Parameter("continue_from", str, "", "Optimiser."), Parameter("seed", int, 1, "Seed.")),
              program="fake")


class Program(SimpleNamespace):
    """Makes two iterations, and counts them; `dies` says where it is killed: after an iteration, or its results."""

    def __init__(self) -> None:
        super().__init__(made=[], dies="")

    def run(self, options: Any, inputs: Any, out: Path, progress: Any) -> None:
        done = int(options.continue_from.partition("_it")[2][:3]) if options.continue_from else 0
        for number in range(done + 1, 3):
            for name in RESULTS:
                Path(out, name.replace("002", f"{number:03d}")).write_text(f"seed {options.seed}")
            self.made.append(number)
            progress.iteration_written(number)
            if self.dies == f"iteration {number}":
                raise RuntimeError("killed")

    def finish_regenerated_job(self, *_: Any) -> None:
        if self.dies == "results":
            raise RuntimeError("killed")


@pytest.fixture
def program(tmp_path, monkeypatch) -> Program:
    monkeypatch.chdir(tmp_path)
    found = Program()
    monkeypatch.setattr("cryosnake.running.run.import_module", lambda _: found)
    monkeypatch.setattr("cryosnake.running.run.finish_regenerated_job", found.finish_regenerated_job)
    Path("map.mrc").write_text("map")
    return found


def run(*words: str) -> int:
    return run_job(JOB, ["--out", str(OUT), "--map", "map.mrc", *words])


def remove_results() -> dict[str, tuple[int, int]]:
    """Do what Snakemake does before it begins a job again; return which files these were."""
    were = {name: (os.stat(OUT / name).st_ino, os.stat(OUT / name).st_mtime_ns) for name in RESULTS}
    for name in RESULTS:
        (OUT / name).unlink()
    return were


@pytest.mark.parametrize("moment", ["iteration 2", "results"])
def test_a_last_iteration_that_is_complete_is_not_computed_again(program, moment) -> None:
    program.dies = moment
    assert run() == 1
    were = remove_results()
    program.dies = ""
    assert run() == 0
    assert program.made == [1, 2]
    assert {name: (os.stat(OUT / name).st_ino, os.stat(OUT / name).st_mtime_ns) for name in RESULTS} == were
    assert not (OUT / KEPT_RESULTS).exists()


def test_what_is_finished_is_not_computed_again_when_snakemake_did_not_see_the_end(program, monkeypatch) -> None:
    monkeypatch.setenv("CRYOSNAKE_WORKFLOW", "1")
    assert run() == 0
    were = remove_results()
    tidy_results([planned()])
    assert run() == 0
    assert program.made == [1, 2]
    assert {name: (os.stat(OUT / name).st_ino, os.stat(OUT / name).st_mtime_ns) for name in RESULTS} == were
    assert folder_size(str(OUT / KEPT_RESULTS)) > 0
    size = folder_size(str(OUT))
    tidy_results([planned()])
    assert not (OUT / KEPT_RESULTS).exists()
    assert folder_size(str(OUT)) == size


def planned() -> PlannedJob:
    """The job as Snakemake's end knows it."""
    return cast(PlannedJob, SimpleNamespace(path=str(OUT), files=lambda: [f"{OUT}/{name}" for name in RESULTS]))


def test_an_iteration_that_is_no_result_is_not_kept(program) -> None:
    program.dies = "iteration 1"
    assert run() == 1
    assert not (OUT / KEPT_RESULTS).exists()


def test_with_other_options_it_is_computed(program) -> None:
    program.dies = "results"
    assert run() == 1
    remove_results()
    (OUT / "run_it001_optimiser.star").unlink()
    program.dies = ""
    assert run("--seed", "2") == 0
    assert program.made == [1, 2, 1, 2]
    assert (OUT / RESULTS[1]).read_text() == "seed 2"


def test_from_a_newer_input_it_is_computed(program) -> None:
    program.dies = "results"
    assert run() == 1
    remove_results()
    os.utime("map.mrc", (time.time() + 60,) * 2)
    program.dies = ""
    assert run() == 0
    assert program.made == [1, 2, 1, 2]


def test_where_there_are_no_hard_links_it_is_computed(program, monkeypatch) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    program.dies = "results"
    assert run() == 1
    remove_results()
    program.dies = ""
    assert run() == 0
    assert program.made == [1, 2, 2]
