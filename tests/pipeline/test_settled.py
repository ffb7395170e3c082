"""Reading the pipeline file while RELION writes it in place."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from cryosnake.errors import CryosnakeError
from cryosnake.pipeline import unlocked as settled
from cryosnake.pipeline.edit import add_process
from cryosnake.pipeline.files import PIPELINE_FILE, write_pipeline
from cryosnake.pipeline.lock import LOCK_DIRECTORY, LOCK_FILE, pipeline_lock
from cryosnake.pipeline.model import Pipeline, Process
from cryosnake.pipeline.unlocked import read_pipeline_unlocked


@pytest.fixture
def project(tmp_path: Path) -> Path:
    write_pipeline(tmp_path / PIPELINE_FILE, add_process(Pipeline(), Process("Import/job001/")))
    return tmp_path


def lock_as_relion(project: Path) -> None:
    (project / LOCK_DIRECTORY).mkdir()
    (project / LOCK_DIRECTORY / LOCK_FILE).write_text("lock mode: write\n")


def unlock(project: Path) -> None:
    (project / LOCK_DIRECTORY / LOCK_FILE).unlink()
    (project / LOCK_DIRECTORY).rmdir()


def test_half_a_file_is_waited_for(project: Path) -> None:
    """RELION truncates the file, writes it, and frees its lock."""
    whole = (project / PIPELINE_FILE).read_text()

    def write_slowly() -> None:
        time.sleep(0.2)
        (project / PIPELINE_FILE).write_text(whole)
        unlock(project)

    lock_as_relion(project)
    (project / PIPELINE_FILE).write_text(whole[:60])
    writer = threading.Thread(target=write_slowly)
    writer.start()
    assert list(read_pipeline_unlocked(project).processes) == ["Import/job001/"]
    writer.join()


def test_a_stale_lock_does_not_keep_one_from_looking(project: Path, monkeypatch) -> None:
    monkeypatch.setattr(settled, "PATIENCE", 0.1)
    lock_as_relion(project)
    assert list(read_pipeline_unlocked(project).processes) == ["Import/job001/"]
    (project / PIPELINE_FILE).write_text("torn")
    with pytest.raises(CryosnakeError, match="text before the first data_ block"):
        read_pipeline_unlocked(project)


def test_our_own_writers_are_not_waited_for(project: Path, monkeypatch) -> None:
    """They replace the file at once, so that it is whole at any moment."""
    def refuse(_: float) -> None:
        raise AssertionError("waited")

    monkeypatch.setattr(settled.time, "sleep", refuse)
    with pipeline_lock(project):
        assert list(read_pipeline_unlocked(project).processes) == ["Import/job001/"]
