"""Choices of classes that were made in RELION's display: shown, taken when asked for, never written over."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from cryosnake.cli import main
from cryosnake.pipeline.edit import add_process
from cryosnake.pipeline.files import PIPELINE_FILE, read_pipeline, write_pipeline
from cryosnake.pipeline.job_star import write_job_star
from cryosnake.pipeline.model import Pipeline, Process, Status
from cryosnake.project.actions.choosing import choose, numbers_of, offer_for
from cryosnake.project.cleaning.clean_sets import clean_set
from cryosnake.project.cleaning.guards import CLEAR
from cryosnake.project.config.decisions import read_decisions
from cryosnake.project.records.record import JobRecord, write_record

MAKERS = [("Class2D", 8, "classes.mrcs"), ("Class3D", 9, "class001.mrc")]
THERE = "Select/job012"


@pytest.fixture(params=MAKERS, ids=[folder for folder, *_ in MAKERS])
def classes(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A classification of RELION with four classes, 2D and 3D, from which a job of the config chooses."""
    monkeypatch.chdir(tmp_path)
    folder, number, seen = request.param
    job = Path(folder, "job008")
    process(f"{job}/", number)
    (job / "run_it025_model.star").write_text(
        "data_model_classes\n\nloop_\n_rlnReferenceImage #1\n_rlnClassDistribution #2\n_rlnEstimatedResolution #3\n"
        + "".join(f"{n}@{job}/run_it025_{seen} 0.25 {n + 8}.5\n" for n in range(1, 5)) + "\n")
    (job / "run_it025_data.star").write_text("data_particles\n\nloop_\n_rlnClassNumber #1\n_rlnOpticsGroup #2\n"
                                             + "".join(f"{n} 1\n" for n in (1, 1, 2, 3, 4)) + "\n")
    (job / f"run_it025_{seen}").write_bytes(b"averages")
    Path("config.yaml").write_text(f"jobs:\n  good: {{type: select, particles: {job}/run_it025_data.star, "
                                   f"model: {job}/run_it025_model.star, classes: choose}}\n")
    return str(job)


def process(name: str, number: int, **options: str) -> Path:
    """Add a finished job of RELION to the project."""
    job = Path(name)
    job.mkdir(parents=True)
    write_job_star(job / "job.star", number, f"relion.{job.parts[0].lower()}", False, options)
    (job / "RELION_JOB_EXIT_SUCCESS").touch()
    pipeline = read_pipeline(PIPELINE_FILE) if Path(PIPELINE_FILE).exists() else Pipeline(1)
    write_pipeline(PIPELINE_FILE, add_process(pipeline, Process(name, "", f"relion.{job.parts[0].lower()}", number,
                                                                status=Status.SUCCEEDED)))
    return job


def chosen_in_relion(classes: str, rows: str, *, job: str = THERE, file: str = "model") -> Path:
    """Make a Select job of RELION with a choice, as its display writes it."""
    made = process(f"{job}/", 7, fn_model=f"{classes}/run_it025_{file}.star")
    backup = made / "backup_selection.star"
    backup.write_text("\n# version 30001\n\ndata_\n\nloop_ \n_rlnSelected #1 \n"
                      + "".join(f"{row:>12} \n" for row in rows) + " \n")
    return backup


def config() -> dict[str, Any]:
    return dict(yaml.safe_load(Path("config.yaml").read_text())["jobs"]["good"])


@pytest.mark.parametrize("file", ["model", "optimiser"])
def test_a_choice_in_relion_is_shown_and_taken_when_asked_for(classes: str, file: str,
                                                              capsys: pytest.CaptureFixture[str]) -> None:
    backup = chosen_in_relion(classes, "1010", file=file)
    before = backup.read_bytes()
    assert main(["choose", "good"]) == 0
    assert f"chosen in RELION, {THERE}: 1,3: cryosnake choose good --from {THERE}" in capsys.readouterr().out
    assert read_decisions("good") == (), "only shown"
    assert main(["choose", "good", "--from", f"{THERE}/"]) == 0
    assert read_decisions("good")[0].classes == (1, 3) and backup.read_bytes() == before


@pytest.mark.parametrize(("rows", "why"), [
    ("0000", "no class was chosen there"),
    ("10100", "about 5 classes, and here are 4; RELION ignores it, too"),
    ("101", "about 3 classes, and here are 4"),
    (["1", "x", "0", "0"], "is damaged: it should have a column rlnSelected"),
])
def test_what_cannot_be_taken_is_said(classes: str, rows: str, why: str, capsys: pytest.CaptureFixture[str]) -> None:
    chosen_in_relion(classes, rows)
    assert main(["choose", "good"]) == 0
    assert why in capsys.readouterr().out
    assert main(["choose", "good", "--from", THERE]) == 1
    assert why in capsys.readouterr().err and not Path("decisions").exists()


def test_a_file_that_is_no_table_is_said(classes: str, capsys: pytest.CaptureFixture[str]) -> None:
    chosen_in_relion(classes, "1010").write_bytes(b"\0\xff not a table")
    assert main(["choose", "good"]) == 0
    assert "this is not a STAR file" in capsys.readouterr().out


def test_choices_from_other_classifications_are_not_meant(classes: str, capsys: pytest.CaptureFixture[str]) -> None:
    chosen_in_relion("Class2D/job002", "1010")
    process("Select/job013/", 7, fn_model=f"{classes}/run_it025_model.star")  # without a choice
    assert offer_for("good").relion == ()
    assert main(["choose", "good", "--from", "Select/job013"]) == 1
    assert "there is no choice of RELION" in capsys.readouterr().err


def test_a_job_of_ours_counts_when_relion_has_changed_its_choice(classes: str) -> None:
    backup = chosen_in_relion(classes, "1010")
    record = JobRecord(type="select", name="good", stated={"classes": [3, 1]}, parameters={}, inputs={}, version="1",
                       created=0.0)
    write_record(backup.parent, record)
    assert offer_for("good").relion == (), "it is what our program left for RELION"
    backup.write_text(backup.read_text().replace("1 \n           0", "1 \n           1", 1))
    assert [(one.job, one.classes) for one in offer_for("good").relion] == [(THERE, (1, 2, 3))]


def test_a_choice_by_scores_is_ours_as_its_table_says(classes: str) -> None:
    job = chosen_in_relion(classes, "1010").parent
    write_record(job, JobRecord(type="select", name="good", stated={"minimum_score": 0.5}, parameters={}, inputs={},
                                version="1", created=0.0))
    assert offer_for("good").relion == (), "its results were cleared"
    for kept, shown in (("1010", 0), ("1000", 1)):
        Path(job, "class_selection.star").write_text(
            "data_class_selection\n\nloop_\n_rlnClassNumber #1\n_rlnSelected #2\n"
            + "".join(f"{number} {one}\n" for number, one in enumerate(kept, 1)) + "\n")
        assert len(offer_for("good").relion) == shown


def test_clearing_a_job_leaves_its_choice() -> None:
    files = ["backup_selection.star", "particles.star", "job.star"]
    assert clean_set(Pipeline(1), f"{THERE}/", CLEAR, files) == ["particles.star"]


def test_settings_are_written_to_the_config(classes: str, capsys: pytest.CaptureFixture[str]) -> None:
    planar = classes.startswith("Class2D")
    assert dict(offer_for("good").settings) == ({"recenter": False, "regroup": None} if planar else {"regroup": None})
    assert main(["choose", "good", "--classes", "1-2,4", "--regroup", "30"]) == 0
    assert "config.yaml: good has regroup: 30" in capsys.readouterr().out
    assert read_decisions("good")[0].classes == (1, 2, 4) and config()["regroup"] == 30
    assert main(["choose", "good", "--recenter"]) == (0 if planar else 1)  # the classes stay
    assert config().get("recenter", False) is planar
    assert main(["choose", "good", "--regroup", "0"]) == 0
    assert config()["regroup"] is None and read_decisions("good")[0].classes == (1, 2, 4)


def test_nothing_is_set_when_the_choice_is_refused(classes: str) -> None:
    before = Path("config.yaml").read_bytes()
    assert main(["choose", "good", "--classes", "9", "--regroup", "30"]) == 1
    assert main(["choose", "good", "--classes", "1", "--regroup", "1000"]) == 1
    assert Path("config.yaml").read_bytes() == before and not Path("decisions").exists()


def test_ranges_of_numbers() -> None:
    assert numbers_of("1-3, 8 5") == [1, 2, 3, 8, 5]


def test_other_limits_are_said(classes: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = Path("config.yaml").read_text().replace("classes: choose", "classes: choose, minimal_class_size: 2")
    Path("config.yaml").write_text(text)
    assert main(["choose", "good"]) == 0
    assert "good also has minimal_class_size: 2 in config.yaml" in capsys.readouterr().out
    assert main(["set", "good", "minimal_class_size="]) == 0
    assert offer_for("good").also == ()


def test_particles_are_counted(classes: str) -> None:
    offer = offer_for("good")
    assert [one.particles for one in offer.classes] == [2, 1, 1, 1]
    assert offer.files[-1].endswith(("classes.mrcs", "class001.mrc"))
    choose(offer, [2])
    assert offer_for("good").chosen == (2,)


@pytest.mark.data
def test_a_real_choice(tmp_path: Path, real_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of RELION 2, whose jobs have no job.star and whose pipeline begins some names with a dot."""
    shutil.copytree(real_data / "relion20_bgal_falcon", tmp_path, dirs_exist_ok=True, copy_function=os.symlink)
    monkeypatch.chdir(tmp_path)
    of = "Class2D/job006/run_it025"
    Path("config.yaml").write_text(f"jobs:\n  good: {{type: select, particles: {of}_data.star, model: {of}_model.star, "
                                   "classes: choose}\n")
    assert [(one.job, one.classes, one.problem) for one in offer_for("good").relion] == [
        ("Select/job007", (1, 2, 3, 5, 8, 10), "")]
