"""Micrographs flow while a long job runs: two calls of Snakemake side by side, one killed, and the watcher, too."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cryosnake.io.mrc import write_mrc
from cryosnake.io.star import read_star
from cryosnake.pipeline.files import read_pipeline
from cryosnake.pipeline.model import Status
from small_project import command, snakemake

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

CONFIG = """
microscope: {voltage: 300, spherical_aberration: 2.7, amplitude_contrast: 0.1, pixel_size: 2.0}
batch_size: 2
jobs:
  mics:  {type: import, micrographs: "Micrographs/*.mrc", settling_time: 0}
  picks: {type: autopick, micrographs: mics, method: log, diameter: [40, 50], lowpass: 12}
  cut:   {type: extract, micrographs: mics, coordinates: picks, box_size: 24}
  slow:  {type: external, particles: cut, executable: sh slow.sh, outputs: {particles: same.star}}
"""
# reads its particles when it begins and again when it ends, and takes as long as the file `go` is not there
SLOW = """
cp "$4" "$2begin.star"; date +%s%N >> "$2began"
until [ -e go ]; do sleep 0.2; done
cmp "$4" "$2begin.star" && cp "$4" "$2same.star"
"""
CUT, SLOW_JOB, LAST_JOB = "Extract/job003", "External/job004", "External/job005"
TABLES = ("Import/job001/micrographs.star", "AutoPick/job002/autopick.star", f"{CUT}/particles.star")
STARTED: list[subprocess.Popen[bytes]] = []


@pytest.fixture(scope="module", autouse=True)
def nothing_is_left() -> Iterator[None]:
    yield
    for watcher in STARTED:
        watcher.kill()
        watcher.wait()


def micrograph(path: Path, seed: int) -> None:
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:128, :128]
    image = random.normal(0, 1, (128, 128))
    for a, b in ((30, 40), (90, 36), (60, 100)):
        image -= 4 * np.exp(-((x - a) ** 2 + (y - b) ** 2) / 50)
    write_mrc(path, image.astype(np.float32), 2.0)


def start(project: Path) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-m", "cryosnake.cli", "watch", "--every", "0.5", "--seal-after", "60", "--keep-free",
             "0.01", "--cores", "2"]
    with open(project / "watch.out", "a") as log:
        watcher = subprocess.Popen(words, cwd=project, stdout=log, stderr=log)
    STARTED.append(watcher)
    return watcher


def wait_for(project: Path, condition: Callable[[], bool]) -> None:
    for _ in range(6000):
        if condition():
            return
        assert STARTED[-1].poll() is None, (project / "watch.out").read_text()
        time.sleep(0.1)
    raise AssertionError((project / "watch.out").read_text() + (project / "watch_status.txt").read_text())


def process_of(project: Path, lane: str) -> int:
    return int(json.loads((project / f".cryosnake/round_{lane}.json").read_text())["pid"])


def lines(path: Path) -> list[str]:
    return sorted(path.read_text().splitlines())


def micrographs_in(path: Path) -> int:
    return read_star(path)["particles"]["rlnMicrographName"].nunique()


@pytest.fixture(scope="module")
def seen(tmp_path_factory) -> dict[str, Any]:
    """What was seen in a session whose long job runs from the first batch to the last."""
    project, found = tmp_path_factory.mktemp("lanes"), {}
    folder = project / "Micrographs"
    folder.mkdir()
    (project / "config.yaml").write_text(CONFIG)
    (project / "slow.sh").write_text(SLOW)
    began, table = project / SLOW_JOB / "began", project / CUT / "particles.star"

    def arrive(*numbers: int) -> None:
        for number in numbers:
            micrograph(folder / f".{number}.tmp", number)
            os.replace(folder / f".{number}.tmp", folder / f"mic{number}.mrc")

    arrive(0, 1)
    first = start(project)
    wait_for(project, began.exists)
    arrive(2, 3)
    batch = project / "AutoPick/job002/batches/0002.done"
    wait_for(project, batch.exists)
    os.killpg(process_of(project, "micrographs"), signal.SIGKILL)
    first.kill()
    first.wait()

    second = start(project)
    wait_for(project, (project / CUT / "batches/0002.star").exists)
    found["long job"] = process_of(project, "particles")
    found["table"] = micrographs_in(table)
    found["status"] = json.loads((project / "watch_status.json").read_text())
    found["pipeline"] = read_pipeline(project / "default_pipeline.star").processes[f"{SLOW_JOB}/"].status
    found["refused"] = subprocess.run(command(project, "--forcerun", "slow"), capture_output=True, text=True)
    os.kill(found["long job"], 0)  # it lives
    found["runs"] = len(began.read_text().split())
    (project / "STOP_WATCH").touch()
    (project / "go").touch()
    assert second.wait(timeout=900) == 0, (project / "watch.out").read_text()
    return {**found, "project": project}


def test_micrographs_are_extracted_while_the_long_job_runs(seen) -> None:
    assert seen["runs"] == 1
    assert seen["table"] == 2, "the table was replaced while the long job read it"
    assert seen["status"]["state"] == "running"
    assert "particles" in seen["status"]["reason"]
    assert seen["pipeline"] == Status.RUNNING


def test_a_run_of_the_user_is_refused_meanwhile(seen) -> None:
    assert seen["refused"].returncode != 0
    said = seen["refused"].stdout + seen["refused"].stderr
    assert "`cryosnake watch` works in this project" in said
    assert f"on particles (process {seen['long job']} on" in said


def test_no_micrograph_was_processed_twice_and_the_long_job_ran_once_more_at_the_end(seen) -> None:
    project = seen["project"]
    records = [line.split("\t")[0] for path in (project / CUT / "batches").glob("*.done")
               for line in path.read_text().splitlines()]
    assert len(records) == len(set(records)) == 4
    assert len((project / SLOW_JOB / "began").read_text().split()) == 1  # the first batch
    assert len((project / LAST_JOB / "began").read_text().split()) == 1  # the end of the session
    assert micrographs_in(project / SLOW_JOB / "same.star") == 2
    assert micrographs_in(project / LAST_JOB / "same.star") == 4
    taken = json.loads((project / LAST_JOB / "cryosnake.json").read_text())["made_from"]["particles"]
    assert taken["rows"] == len(read_star(project / CUT / "particles.star")["particles"])
    assert taken["batches"] == ["0001", "0002"]


def test_its_tables_are_those_of_one_run_and_snakemake_has_nothing_left_to_do(seen, tmp_path) -> None:
    project = seen["project"]
    assert "Nothing to be done" in snakemake(project, "-n")
    shutil.copytree(project / "Micrographs", tmp_path / "Micrographs")
    for name in ("config.yaml", "slow.sh", "go"):
        shutil.copy(project / name, tmp_path)
    snakemake(tmp_path)
    for name in TABLES:
        assert lines(project / name) == lines(tmp_path / name)
    assert lines(project / LAST_JOB / "same.star") == lines(tmp_path / SLOW_JOB / "same.star")
    processes = read_pipeline(project / "default_pipeline.star").processes.values()
    assert [process.status for process in processes] == [Status.SUCCEEDED] * 5
