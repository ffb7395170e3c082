"""A project whose disk does not answer: others are shown, and who waits is told why."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from web_client import TestClient, client

from cryosnake.pages.web.reading import remembered
from cryosnake.pages.web.reading.changes import Watch
from cryosnake.pages.web.reading.working_directory import working_directory
from cryosnake.pages.web.serving import patience


@pytest.fixture
def hanging(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Two projects, of which the reader of one waits until the event is set."""
    for name in ("quick", "slow"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").write_text("jobs: {}\n")
    answered, read = threading.Event(), remembered.project_facts

    def facts(*arguments: object) -> object:
        if Path.cwd().name == "slow":
            answered.wait(60)
        return read(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(remembered, "project_facts", facts)
    monkeypatch.setattr(patience, "PAGE", 0.5)
    yield answered
    answered.set()


@pytest.fixture
def opened(tmp_path: Path) -> TestClient:
    return client(tmp_path)


def addresses(opened: TestClient) -> dict[str, str]:
    links = [part.partition('"')[0] for part in opened.get("/").text.split('href="')]
    return {name: link for link in links for name in ("quick", "slow") if f"/p/{name}-" in link}


def test_a_project_on_a_slow_disk_says_so_and_others_are_shown(hanging: threading.Event, opened: TestClient) -> None:
    at = addresses(opened)
    began = time.monotonic()
    answer = opened.get(at["slow"])
    assert answer.status_code == 503 and "disk is slow" in answer.text and answer.headers["refresh"]
    assert time.monotonic() - began < 10
    assert opened.get(at["quick"]).status_code == 200  # while the other one still hangs
    assert opened.get("/").status_code == 200 and opened.get("/static/web.js").status_code == 200
    hanging.set()
    assert opened.get(at["slow"]).status_code == 200


def test_threads_work_in_their_own_folders(tmp_path: Path) -> None:
    """Both are inside at once; where the system forbids it (containers), one waits for the other."""
    folders = [tmp_path / "a", tmp_path / "b"]
    before = Path.cwd()

    def work(folder: Path) -> Path:
        folder.mkdir()
        with working_directory(folder):
            time.sleep(0.1)
            return Path.cwd()

    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(work, folders)) == folders
    assert Path.cwd() == before


def test_jobs_that_ended_are_looked_at_by_their_folder(tmp_path: Path) -> None:
    job = tmp_path / "Class2D" / "job001"
    job.mkdir(parents=True)
    (job / "run.out").write_text("1\n")
    (job / "RELION_JOB_EXIT_SUCCESS").touch()
    watch = Watch(tmp_path)
    with open(job / "run.out", "a") as log:
        log.write("2\n")
    assert [watch.look() for _ in range(10)].count(["Class2D/job001/"]) == 1  # in its turn
    (job / "more").touch()
    assert watch.look() == ["Class2D/job001/"]  # at once
    (job / "RELION_JOB_EXIT_SUCCESS").unlink()  # it is continued
    assert watch.look() == ["Class2D/job001/"]
    for line in ("3\n", "4\n"):
        with open(job / "run.out", "a") as log:
            log.write(line)
        assert watch.look() == ["Class2D/job001/"]
