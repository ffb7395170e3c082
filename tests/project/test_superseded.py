"""What becomes of jobs that others with more data supersede, what protects them, and where they are called outdated."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from test_growth import RAW, arrive, checksums, end, plan_of, project, raw_with, run  # noqa: F401

from cryosnake.cli import main
from cryosnake.pipeline.edit import add_process, connect
from cryosnake.pipeline.lock import update_pipeline
from cryosnake.pipeline.model import Process, Status
from cryosnake.pipeline.unlocked import read_pipeline_unlocked
from cryosnake.project.actions.notes import add_note
from cryosnake.project.config.decisions import Decision, add_decision, decision_file, now
from cryosnake.project.records.final_marks import set_final
from cryosnake.project.records.record import read_record, write_record
from cryosnake.project.run.superseded import settle_superseded, superseded_jobs, unprotected

OLD = ("Class2D/job005", "Select/job006")


@pytest.fixture
def grown(project) -> None:  # noqa: F811
    run()
    for number in (1, 2):
        for name in ("data", "model"):
            Path(f"Class2D/job005/run_it00{number}_{name}.star").touch()
    arrive(3)
    run()


def old_ones(raw: dict[str, Any] = RAW) -> list[str]:
    pipeline, plan = read_pipeline_unlocked(), plan_of(raw)
    return unprotected(plan, pipeline, superseded_jobs(plan, pipeline))


def iterations() -> list[str]:
    return sorted(path.name for path in Path("Class2D/job005").glob("run_it*_model.star"))


def test_those_of_all_earlier_numbers_are_superseded_and_what_was_made_from_them(grown) -> None:
    pipeline, plan = read_pipeline_unlocked(), plan_of()
    assert superseded_jobs(plan, pipeline) == {OLD[0]: "Class2D/job007", OLD[1]: "Select/job008"}
    arrive(4, 5)
    run()
    plan = plan_of()
    assert superseded_jobs(plan, read_pipeline_unlocked()) == {
        OLD[0]: "Class2D/job009", "Class2D/job007": "Class2D/job009", OLD[1]: "Select/job010",
        "Select/job008": "Select/job010"}


def test_a_changed_parameter_supersedes_nothing(grown) -> None:
    raw = raw_with(classes={"classes": 3})
    run(raw)
    assert superseded_jobs(plan_of(raw), read_pipeline_unlocked()) == {}


def test_nothing_goes_before_the_successor_has_succeeded(project) -> None:  # noqa: F811
    run()
    arrive(3)
    run(killed="classes")
    assert superseded_jobs(plan_of(), read_pipeline_unlocked()) == {}
    run(killed="good")
    assert list(superseded_jobs(plan_of(), read_pipeline_unlocked())) == [OLD[0]]
    assert old_ones() == [], "a selection that has no successor yet uses it"


@pytest.mark.parametrize(("policy", "left", "models"), [
    ("keep", [*OLD], ["run_it001_model.star", "run_it002_model.star"]),
    ("clear", [*OLD], ["run_it002_model.star"]),
    ("trash", [], []),
])
def test_policies(grown, policy, left, models) -> None:
    before = checksums(OLD[0])
    found = settle_superseded(plan_of({**RAW, "superseded": policy}))
    assert [path for path in OLD if Path(path).is_dir()] == left
    assert iterations() == models
    assert (found["jobs"], found["bytes"] > 0) == (len(left), bool(left))
    assert all(Path(path).exists() or Path("Trash", path).exists() for path in before)
    assert Path("Class2D/job007").is_dir() and os.readlink("Class2D/classes") == "../Class2D/job007/"
    assert settle_superseded(plan_of({**RAW, "superseded": policy})) == found


def use(path: str) -> None:
    """Let a job that the config does not know use one."""
    def add(pipeline: Any) -> Any:
        name = "Class3D/job020/"
        pipeline = add_process(pipeline, Process(name, "", "relion.class3d", 9, status=Status.SUCCEEDED))
        return connect(pipeline, inputs=[(next(iter(pipeline.outputs[f"{path}/"])), name)])

    update_pipeline(Path(), add)


def name_in_decision(path: str) -> None:
    Path("decisions").mkdir()
    Path("decisions/other.yaml").write_text(f"made_on: {path}\n")


@pytest.mark.parametrize("protect", [lambda: set_final(OLD[1]), lambda: add_note(OLD[1], "the good one"),
                                     lambda: use(OLD[1]), lambda: name_in_decision(OLD[1])])
def test_what_is_protected_and_its_inputs(grown, protect) -> None:
    assert old_ones() == [*OLD]
    protect()
    assert old_ones() == []
    settle_superseded(plan_of({**RAW, "superseded": "trash"}))
    assert all(Path(path).is_dir() for path in OLD)


def test_only_a_protected_job_and_what_it_was_made_from(grown) -> None:
    set_final(OLD[0])
    assert old_ones() == [OLD[1]]


def test_what_the_config_names_is_protected(grown) -> None:
    assert old_ones({**RAW, "workspaces": {"first": [OLD[1]]}}) == []
    pinned = raw_with(more={"type": "select", "particles": f"{OLD[0]}/run_it002_data.star", "minimum_score": 0.3})
    assert old_ones(pinned) == [OLD[1]]


def test_class_numbers_protect_the_job_that_they_were_first_applied_to(project) -> None:  # noqa: F811
    raw = raw_with(good={"classes": [1], "minimum_score": None})
    run(raw)
    for movies in ((3,), (4, 5)):
        arrive(*movies)
        run(raw)
        confirm(raw)
        run(raw)
    assert old_ones(raw) == [], "chosen, and chosen from"
    decision_file("good").unlink()
    for path in ("Select/job008", "Select/job010"):  # as an earlier version made them
        record = read_record(Path(path))
        assert record is not None and record.decision
        write_record(Path(path), replace(record, decision=""))
    assert old_ones(raw) == ["Class2D/job007", "Select/job008"]


def confirm(raw: dict[str, Any]) -> None:
    """Choose the class of the config again."""
    choice = plan_of(raw).jobs["good"].choice
    assert choice is not None and choice.waits
    add_decision("good", Decision(classes=(1,), made_on=choice.made_on, files=choice.files, digest=choice.digest,
                                  in_config=choice.in_config, date=now()))


def test_show_list_and_flowchart_say_that_a_job_is_outdated(grown, capsys, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    text = "outdated: 20 of the 30 rows that are there now"
    assert main(["show", "5"]) == 0 and f"Succeeded, {text}" in capsys.readouterr().out
    assert main(["show", "7"]) == 0 and "outdated" not in capsys.readouterr().out
    assert main(["list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines() if text in line] == [OLD[0]]
    assert main(["flowchart", "--out", "chart.dot"]) == 0
    assert Path("chart.dot").read_text().count(text) == 1
