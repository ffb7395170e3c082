"""A small session: movies come out of order, in parts, corrupt, and are replaced; the watcher is stopped and killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cryosnake.pipeline.files import read_pipeline
from cryosnake.pipeline.model import Status
from small_project import CONFIG, simulate, snakemake

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

TWO_JOBS = CONFIG.partition("  ctf:")[0]
STARTED: list[subprocess.Popen[bytes]] = []
STARS = ("Import/job001/movies.star", "MotionCorr/job002/corrected_micrographs.star")


def start(project: Path, *extra: str) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-m", "cryosnake.cli", "watch", "--every", "0.3", "--seal-after", "60", "--keep-free",
             "0.01", *extra, "--cores", "1"]
    with open(project / "watch.out", "a") as log:
        watcher = subprocess.Popen(words, cwd=project, stdout=log, stderr=log)
    STARTED.append(watcher)
    return watcher


def status(project: Path) -> dict[str, Any]:
    return json.loads((project / "watch_status.json").read_text())


def wait_until(project: Path, condition: Callable[[dict[str, Any]], bool], watcher: subprocess.Popen[bytes]) -> None:
    for _ in range(6000):
        if (project / "watch_status.json").exists() and condition(status(project)):
            return
        if watcher.poll() is not None:
            break
        time.sleep(0.1)
    raise AssertionError((project / "watch.out").read_text() + (project / "watch_status.txt").read_text())


@pytest.fixture(scope="module", autouse=True)
def no_watcher_is_left() -> Iterator[None]:
    yield
    for watcher in STARTED:
        watcher.kill()
        watcher.wait()


def done(project: Path, count: int) -> Callable[[dict[str, Any]], bool]:
    return lambda now: now["state"] == "waiting" and any(job["done"] + job["failed"] >= count
                                                         for job in now["jobs"][1:])


@pytest.fixture(scope="module")
def session(tmp_path_factory) -> Path:
    """A project after the whole session."""
    source, project = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("session")
    simulate(source, 3)
    takes = sorted((source / "Movies").iterdir())
    movies = [source / "Movies" / f"movie_{number:04d}.tiff" for number in range(1, 14)]
    for number, movie in enumerate(movies[3:]):
        shutil.copy(takes[number % 3], movie)
    shutil.copy(source / "gain.mrc", project)
    (project / "config.yaml").write_text(TWO_JOBS)

    def arrive(*numbers: int) -> None:
        for number in numbers:
            target = project / "Movies" / movies[number].name
            shutil.copy(movies[number], target.with_suffix(".tmp"))
            os.replace(target.with_suffix(".tmp"), target)

    first = start(project)
    wait_until(project, lambda now: now["state"] == "waiting", first)
    (project / "Movies").mkdir()
    arrive(5, 1)
    half = movies[2].read_bytes()[:4000]
    (project / "Movies" / movies[2].name).write_bytes(half)
    wait_until(project, lambda now: now["movies"]["ready"] == 2 and bool(now["movies"]["incomplete"]), first)
    assert not (project / "Import").exists(), "a batch was begun before it was full or old"
    arrive(7, 3)
    record = project / "MotionCorr/job002/batches/0001.done"
    wait_until(project, lambda now: record.exists() and bool(record.read_text()), first)
    first.send_signal(signal.SIGTERM)
    assert first.wait(timeout=900) == 0
    assert status(project)["reason"] == "asked to stop"
    assert record.with_suffix(".star").exists(), "what ran was not finished"
    assert not list((project / ".snakemake/locks").glob("*.lock"))

    second = start(project)
    wait_until(project, done(project, 4), second)
    assert status(project)["movies"]["incomplete"][0][0].endswith(movies[2].name)
    with open(project / "Movies" / movies[2].name, "ab") as file:
        file.write(movies[2].read_bytes()[4000:])
    shutil.copy(takes[0], project / "Movies" / movies[1].name)  # replaced by another take
    corrupt = bytearray(movies[9].read_bytes())
    corrupt[len(corrupt) // 3 : len(corrupt) // 3 + 2000] = b"\xff" * 2000
    (project / "Movies" / movies[9].name).write_bytes(corrupt)
    arrive(4, 6)
    wait_until(project, lambda now: now["state"] == "running", second)
    refused = subprocess.run([sys.executable, "-m", "cryosnake.cli", "watch"], cwd=project, capture_output=True,
                             text=True)
    assert refused.returncode == 1
    assert f"already watched, by process {second.pid} of " in refused.stderr
    second.send_signal(signal.SIGKILL)  # Snakemake goes on without it, and the next watcher waits for its end
    second.wait()

    third = start(project)
    wait_until(project, done(project, 8), third)
    arrive(0, 11)
    wait_until(project, lambda now: now["movies"]["ready"] == 2, third)
    (project / "STOP_WATCH").touch()
    assert third.wait(timeout=900) == 0, (project / "watch.out").read_text()
    return project


def test_its_tables_are_those_of_one_run_over_the_same_movies(session, tmp_path) -> None:
    shutil.copytree(session / "Movies", tmp_path / "Movies")
    shutil.copy(session / "gain.mrc", tmp_path)
    (tmp_path / "config.yaml").write_text(TWO_JOBS.replace("batch_size: 4", "batch_size: 50"))
    snakemake(tmp_path)
    for name in STARS:
        ours, theirs = (sorted((folder / name).read_text().splitlines()) for folder in (session, tmp_path))
        assert ours == theirs
    assert sum("movie_" in line for line in (session / STARS[1]).read_text().splitlines()) == 9


def test_no_movie_was_processed_twice_but_the_one_that_was_replaced(session) -> None:
    lines = [line for file in (session / "MotionCorr/job002/batches").glob("*.done")
             for line in file.read_text().splitlines()]
    times = Counter(line.split("\t")[0] for line in lines)
    assert {name for name, count in times.items() if count > 1} == {"Movies/movie_0002.tiff"}
    assert len(times) == 10
    assert next(line for line in lines if "\tfailed\t" in line).startswith("Movies/movie_0010.tiff")


def test_its_end_is_told(session) -> None:
    end = status(session)
    assert (end["state"], end["reason"]) == ("stopped", "STOP_WATCH was found")
    assert end["movies"]["imported"] + end["movies"]["ready"] == 10
    assert [item["micrograph"] for item in end["bad"]] == ["Movies/movie_0010.tiff"]
    assert "cryosnake retry JOB" in (session / "watch_status.txt").read_text()
    assert not (session / "STOP_WATCH").exists()
    processes = read_pipeline(session / "default_pipeline.star").processes.values()
    assert [process.status for process in processes] == [Status.SUCCEEDED] * 2
