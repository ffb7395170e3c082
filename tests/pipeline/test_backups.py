"""Copies of the pipeline file, listed and put back."""

from __future__ import annotations

from pathlib import Path

import pytest

from cryosnake.errors import CryosnakeError
from cryosnake.pipeline.backups import backups, restore
from cryosnake.pipeline.edit import add_node, add_process
from cryosnake.pipeline.files import PIPELINE_FILE, read_pipeline, write_pipeline
from cryosnake.pipeline.markers import back_up, set_exit
from cryosnake.pipeline.model import Node, Pipeline, Process, Status, job_name


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Three jobs, each with the copy that was taken when it was added."""
    pipeline = Pipeline()
    for number, folder in enumerate(("Import", "MotionCorr", "CtfFind"), start=1):
        name = job_name(folder, number)
        (tmp_path / name).mkdir(parents=True)
        pipeline = add_node(add_process(pipeline, Process(name)), Node(f"{name}out.star", "", 1), name)
        write_pipeline(tmp_path / PIPELINE_FILE, pipeline)
        back_up(tmp_path, name)
    return tmp_path


def test_the_copy_that_knows_most_jobs_stands_first(project: Path) -> None:
    (project / "Import/job001" / PIPELINE_FILE).write_text("torn")
    found = backups(project)
    assert [item.path for item in found] == [f"{name}/{PIPELINE_FILE}" for name in
                                            ("CtfFind/job003", "MotionCorr/job002", "Import/job001")]
    assert "3 jobs" in str(found[0])
    assert "does not list CtfFind/job003" in str(found[1])
    assert "can't be used" in str(found[2])


def test_a_copy_is_put_back_and_can_be_taken_back(project: Path) -> None:
    (project / PIPELINE_FILE).write_text("data_pipeline_general\n_rlnPipeLineJobCounter 9\n")
    set_exit(project / "Import/job001", Status.SUCCEEDED)
    pipeline, notes = restore(project, f"CtfFind/job003/{PIPELINE_FILE}")
    assert notes == []
    assert read_pipeline(project / PIPELINE_FILE) == pipeline
    assert pipeline.processes["Import/job001/"].status == Status.SUCCEEDED
    assert pipeline.counter == 4
    assert backups(project)[-1].path == f"{PIPELINE_FILE}.replaced"
    restore(project, f"{PIPELINE_FILE}.replaced")
    assert read_pipeline(project / PIPELINE_FILE).counter == 9


def test_numbers_are_never_used_twice_and_vanished_jobs_left_out(project: Path) -> None:
    (project / "Trash/Class2D/job011").mkdir(parents=True)
    (project / "Import/job001" / PIPELINE_FILE).unlink()
    (project / "Import/job001").rmdir()
    pipeline, notes = restore(project, f"MotionCorr/job002/{PIPELINE_FILE}")
    assert list(pipeline.processes) == ["MotionCorr/job002/"]
    assert pipeline.counter == 12
    assert "left out, because their directories no longer exist: Import/job001" in notes
    assert any("not in this copy: CtfFind/job003" in note for note in notes)


def test_what_is_no_copy_changes_nothing(project: Path) -> None:
    text = (project / PIPELINE_FILE).read_text()
    with pytest.raises(CryosnakeError, match="there is no such file"):
        restore(project, "CtfFind/job009/default_pipeline.star")
    assert (project / PIPELINE_FILE).read_text() == text
