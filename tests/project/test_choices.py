"""Choices of classes by number: they hold for what they were made on, and for nothing else."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import test_growth
from test_growth import RAW, arrive, checksums, end, forget_made_from, plan_of, project, raw_with  # noqa: F401

from cryosnake.cli import main
from cryosnake.errors import CryosnakeError
from cryosnake.io.star_rows import count_rows
from cryosnake.pipeline.files import read_pipeline
from cryosnake.project.building.stale_outputs import pending_files
from cryosnake.project.config.config import ConfigError
from cryosnake.project.config.decisions import decision_file, read_decisions
from cryosnake.project.planning.choices import waiting_for_you
from cryosnake.project.planning.parts import tables_taken
from cryosnake.project.planning.planned import Disposition, Plan, PlannedJob
from cryosnake.project.records.final_marks import set_final
from cryosnake.project.records.record import read_record
from cryosnake.project.records.taken_inputs import taken_inputs
from cryosnake.project.run.again import go_on
from cryosnake.project.run.bound_numbers import record_bound_numbers
from cryosnake.project.run.superseded import settle_superseded

OLD, NEW = "Class2D/job005", "Class2D/job007"
INITIAL = {"type": "initialmodel", "particles": "good", "particle_diameter": 9, "symmetry": "C1"}
CHANGED = {"tau2_fudge": 3.0}


@pytest.fixture
def here(project, monkeypatch) -> Path:  # noqa: F811
    """A project in which each classification has contents of its own."""
    monkeypatch.setattr(test_growth, "_work", work)
    return project


def work(job: PlannedJob, killed: bool) -> bool:
    taken = taken_inputs(Path(job.path), {slot: Path(source.path) for slot, source in job.inputs.items()})
    Path(job.path, "read").write_text(" ".join(map(str, taken.values())))
    Path(job.path, "numbers").write_text(str(job.config.stated.get("classes")))
    if killed:
        return False
    for file in job.files():
        classify(file) if job.config.type.name in ("class2d", "class3d") else Path(file).write_text(job.path + file)
    end(job)
    return True


def classify(file: str, what: str = "") -> None:
    """Write a file of a classification with three classes, of which the last is empty."""
    if file.endswith("_model.star"):
        rows = "".join(f"{n}@{file} {share} {9 - n}.5\n" for n, share in ((1, 0.75), (2, 0.25), (3, 0)))
        text = ("data_model_classes\n\nloop_\n_rlnReferenceImage #1\n_rlnClassDistribution #2\n"
                f"_rlnEstimatedResolution #3\n{rows}\n")
    else:
        text = "data_particles\n\nloop_\n_rlnClassNumber #1\n" + "1\n1\n1\n2\n" + "\n"
    Path(file).write_text(f"# {file} {what}\n{text}")


def raw_of(good: Any = "none", **jobs: dict[str, Any]) -> dict[str, Any]:
    """A config whose selection `good` has these numbers, and classes chosen, not scored."""
    raw = raw_with(**jobs)
    raw["jobs"]["good"] = {"type": "select", "particles": "classes", "model": "classes"}
    raw["jobs"]["good"] |= {} if good == "none" else {"classes": good}
    raw["jobs"]["initial"] = INITIAL
    return raw


def run(raw: dict[str, Any], **more: Any) -> Plan:
    Path("config.yaml").write_text(json.dumps({**raw, **more}))
    plan = test_growth.run(raw, **more)
    record_bound_numbers(plan.own)
    return plan


def choose(*words: str) -> int:
    return main(["choose", *words])


def path_of(raw: dict[str, Any], name: str = "good") -> str:
    """The directory of a job, "waits" if it waits for a choice, "held" if it waits for something else."""
    job = plan_of(raw).jobs[name]
    return "waits" if job.choice and job.choice.waits else "held" if job.why_held else job.path


def test_numbers_of_the_config_hold_for_the_first_classification_alone(here) -> None:
    raw = raw_of([1, 2])
    run(raw)
    assert path_of(raw) == "Select/job006" and pending_files(plan_of(raw)) == []
    [decision] = read_decisions("good")
    assert (decision.classes, decision.made_on, decision.in_config) == ((1, 2), OLD, (1, 2))
    before = checksums("Select/job006") | checksums("InitialModel/job007")
    arrive(3)
    plan = run(raw)
    assert plan.jobs["classes"].path == "Class2D/job008"
    assert path_of(raw) == "waits" and path_of(raw, "initial") == "held"
    assert checksums("Select/job006") | checksums("InitialModel/job007") == before
    assert os.readlink("Select/good") == "../Select/job006/" and os.listdir("Select") == ["good", "job006"]
    assert pending_files(plan_of(raw)) == []
    assert read_pipeline("default_pipeline.star").counter == 9, "what waits has no number"


@pytest.mark.parametrize("again", ["grown", "changed", "forced"])
@pytest.mark.parametrize("good", [[1, 2], "choose"])
def test_a_classification_made_again_waits_and_is_chosen_from_once_more(here, capsys, again, good) -> None:
    raw = raw_of(good)
    run(raw)
    if good == "choose":
        assert path_of(raw) == "waits"
        assert choose("good", "--classes", "2,1") == 0
        run(raw)
    first = plan_of(raw).jobs["good"].path
    assert Path(first, "numbers").read_text() == "[1, 2]"
    changes: dict[str, Any] = {}
    if again == "grown":
        arrive(3)
    elif again == "changed":
        raw = raw_of(good, classes=CHANGED)
    else:
        changes = {"forced": ["classes"]}
    plan = force(raw) if changes else run(raw)
    new = plan.jobs["classes"].path
    assert path_of(raw) == "waits" and new != OLD
    [waiting] = waiting_for_you(plan_of(raw))
    look = f"{new}/run_it002_classes.mrcs"
    assert waiting == ("good", "choose", f"waits for you: good: choose from {new} (look at {look}): cryosnake choose "
                                         "good --classes N,N,…")
    capsys.readouterr()
    assert choose("good", "--classes", "2") == 0
    assert f"goes on with 2 of {new} (25% of the particles)" in capsys.readouterr().out
    plan = run(raw)
    good_now = plan.jobs["good"]
    assert good_now.path not in (first, ".cryosnake/waiting/good")
    assert Path(good_now.path, "numbers").read_text() == "[2]"
    assert os.readlink("Select/good") == f"../{good_now.path}/"
    assert path_of(raw, "initial").startswith("InitialModel/job") and pending_files(plan_of(raw)) == []
    assert [one.made_on for one in read_decisions("good")] == [new, OLD], "the former choice stays"


def force(raw: dict[str, Any]) -> Plan:
    from cryosnake.project.config.config import parse_config
    from cryosnake.project.planning.plan import make_plan
    from cryosnake.project.run.commit import commit

    plan = make_plan(parse_config(raw), forced=["classes"])
    commit(plan)
    for job in plan.own:
        if not job.config.type.per_micrograph and job.disposition is Disposition.ALL:
            work(job, False)
    return plan


def test_a_project_of_before_holds_to_its_recorded_input(here) -> None:
    raw = raw_of([1])
    run(raw)
    decision_file("good").unlink()
    forget_made_from("Select/job006")
    assert path_of(raw) == "Select/job006"
    arrive(3)
    run(raw)
    assert path_of(raw) == "waits"


def test_numbers_hold_on_after_the_selection_was_deleted(here) -> None:
    raw = raw_of([1])
    run(raw)
    assert main(["delete", "good", "--yes"]) == 0
    assert path_of(raw).startswith("Select/job"), "for the same classification they still do"
    arrive(3)
    run(raw)
    arrive(4, 5)
    assert path_of(raw) == "waits" or plan_of(raw).jobs["good"].inputs["particles"].pinned == OLD


@pytest.mark.parametrize("change", [{"maximum_shift": 5.0}, {"minimal_class_size": 2}])
def test_another_rule_beside_the_numbers_is_no_new_choice(here, change) -> None:
    raw = raw_of([1])
    run(raw)
    other = raw_of([1])
    other["jobs"]["good"] |= change
    assert path_of(other) == "Select/job008"
    run(other)
    arrive(3)
    run(other)
    assert path_of(other) == "waits"


def test_a_selection_that_gets_another_name_keeps_its_numbers_where_they_were_chosen(here) -> None:
    raw = raw_of([1])
    run(raw)
    arrive(3)
    raw["jobs"]["best"] = raw["jobs"].pop("good")
    raw["jobs"]["initial"]["particles"] = "best"
    plan = run(raw)
    raw["jobs"]["initial"]["particles"] = "good"
    assert plan.jobs["best"].choice.waits


def test_alias_renames_the_decisions(here) -> None:
    run(raw_of([1]))
    assert main(["alias", "good", "best"]) == 0
    assert not decision_file("good").exists() and read_decisions("best")[0].classes == (1,)


def test_new_numbers_in_the_config_hold_for_what_was_there_when_they_were_written(here) -> None:
    run(raw_of([1]))
    arrive(3)
    raw = raw_of([2])
    plan = plan_of(raw)
    assert plan.jobs["classes"].path == "Class2D/job008" and plan.jobs["good"].inputs["particles"].pinned == OLD
    run(raw)
    assert Path("Select/job009/read").read_text().startswith(OLD) and path_of(raw) == "waits"


def test_a_choice_from_a_finished_classification_is_carried_out_though_the_next_is_coming(here, capsys) -> None:
    raw = raw_of("choose")
    run(raw)
    arrive(3)
    assert choose("good", "--classes", "1") == 0
    assert "makes the classification again" in capsys.readouterr().out
    plan = run(raw)
    assert plan.jobs["classes"].path == "Class2D/job006"
    assert Path(plan.jobs["good"].path, "read").read_text().startswith(OLD)
    assert path_of(raw) == "waits"


def test_contents_changed_in_place_wait_and_cleared_ones_do_not(here) -> None:
    raw = raw_of([1])
    run(raw)
    files = {str(path): path.read_bytes() for path in Path(OLD).glob("run_it002_*")}
    for file in files:
        Path(file).unlink()
    assert path_of(raw) == "Select/job006", "what is not there can't differ"
    for file in files:
        classify(file, "again")
    assert path_of(raw) == "waits"
    for file, text in files.items():
        Path(file).write_bytes(text)
    assert path_of(raw) == "Select/job006"


def test_choosing_again_from_the_same_is_a_new_job_and_keeps_the_former_choice(here, capsys) -> None:
    raw = raw_of("choose")
    run(raw)
    assert choose("good", "--classes", "1") == 0
    run(raw)
    first = checksums("Select/job006")
    assert choose(OLD, "--classes", "1,2") == 0, "the classification names the job"
    run(raw)
    assert path_of(raw) == "Select/job008" and checksums("Select/job006") == first
    assert [one.classes for one in read_decisions("good")] == [(1, 2), (1,)]
    text = decision_file("good").read_text()
    assert choose("good", "--classes", "2 1") == 0 and decision_file("good").read_text() == text
    assert choose("good", "--classes", "1") == 0
    assert path_of(raw) == "Select/job006", "back to it"


def test_a_choice_that_was_carried_out_holds_though_its_file_was_lost(here) -> None:
    raw = raw_of("choose")
    run(raw)
    assert choose("good", "--classes", "1") == 0
    run(raw)
    decision_file("good").unlink()
    assert path_of(raw) == "Select/job006"
    arrive(3)
    run(raw)
    assert path_of(raw) == "waits"


def test_the_classification_before_can_be_chosen_from_by_any_of_its_names(here, capsys) -> None:
    raw = raw_of([2, 1])
    run(raw)
    arrive(3)
    for name in (OLD, "classes", "5", "good"):
        assert choose(name) == 0
        assert f"good chooses from {OLD}\n" in capsys.readouterr().out
    assert choose("good", "--classes", "1,2") == 0
    run(raw)
    assert choose("Class2D/job008", "--classes", "1 2") == 0
    assert {one.classes for one in read_decisions("good")} == {(2, 1)}, "in the order of the config: the same job"
    assert len(os.listdir("Select")) == 2, "chosen again what was chosen: nothing to make"


def test_what_waits_for_a_choice_does_not_wait_for_particles(here, capsys) -> None:
    raw = raw_of("choose")
    raw["jobs"]["good"]["at_least"] = 1
    go_on(run(raw), by_itself=False)
    assert "enough particles" not in capsys.readouterr().err


def test_rules_are_applied_again(here) -> None:
    raw = raw_with()
    run(raw)
    arrive(3)
    run(raw)
    assert path_of(raw) == "Select/job008" and not decision_file("good").exists()


def test_two_jobs_may_wait_for_a_choice_from_the_same(here) -> None:
    raw = raw_of("choose")
    raw["jobs"]["bad"] = dict(raw["jobs"]["good"])
    run(raw)
    assert [path_of(raw), path_of(raw, "bad")] == ["waits", "waits"]
    assert choose(OLD, "--classes", "1") == 1, "ambiguous"
    assert choose("good", "--classes", "1") == 0 and choose("bad", "--classes", "1") == 1
    assert choose("bad", "--classes", "2") == 0
    run(raw)
    assert {Path(path_of(raw, name), "numbers").read_text() for name in ("good", "bad")} == {"[1]", "[2]"}


WRONG_CHOICES = [
    (["good", "--classes", "4"], f"{OLD} has no class 4: its classes are 1, 2, 3"),
    (["good", "--classes", "0"], "has no class 0"),
    (["good", "--classes", "3"], f"class 3 of {OLD} is empty"),
    (["good", "--classes", "one"], "write numbers with commas"),
    (["initial", "--classes", "1"], "those of config.yaml are: good (from Class2D/job005)"),
    (["nothing", "--classes", "1"], "no such job in this project"),
    (["Extract/job004", "--classes", "1"], "is not a job for which classes are chosen now"),
]


def test_what_cannot_be_chosen(here, capsys) -> None:
    run(raw_of("choose"))
    for words, says in WRONG_CHOICES:
        assert choose(*words) == 1
        error = capsys.readouterr().err
        assert says in error and error.count("\n") == 1 and not decision_file("good").exists()


def test_a_choice_is_not_written_out_of_the_project(here, capsys, tmp_path_factory) -> None:
    raw = raw_of("choose")
    run(raw)
    other = tmp_path_factory.mktemp("other")
    Path("decisions").symlink_to(other)
    assert choose("good", "--classes", "1") == 1
    assert "leads out of the project" in capsys.readouterr().err and not list(other.iterdir())
    run(raw_of([1]))  # which succeeds, and says that it could not note the numbers
    assert "could not be noted in decisions" in capsys.readouterr().err and not list(other.iterdir())


def test_there_is_nothing_to_choose_from_before_the_first_run(here, capsys) -> None:
    Path("config.yaml").write_text(json.dumps(raw_of("choose")))
    assert choose("good", "--classes", "1") == 1
    assert "run snakemake first" in capsys.readouterr().err


def test_a_final_selection_is_not_replaced_by_another_choice(here, capsys) -> None:
    raw = raw_of([1])
    run(raw)
    set_final("Select/job006")
    assert choose("good", "--classes", "2") == 1
    assert "Select/job006 (good) is final" in capsys.readouterr().err
    arrive(3)
    run(raw)
    assert choose("good", "--classes", "2") == 0, "for the next classification it may be"
    run(raw)
    assert path_of(raw) == "Select/job009" and Path("Select/job006/particles.star").exists()


DAMAGED = [
    ("", "is damaged"), ("job: good\ndecisions:\n- classes: [a]\n", "is damaged (classes must be"),
    ("job: good\ndecisions: [{", "is damaged"), ("job: other\ndecisions: []\n", "decisions of the job 'other'"),
    ("[1, 2]\n", "is damaged"), ("job: good\ndecisions:\n- [1]\n", "is damaged")]


def test_a_damaged_or_foreign_decision_file_is_refused(here) -> None:
    run(raw_of("choose"))
    decision_file("good").parent.mkdir()
    for text, says in DAMAGED:
        decision_file("good").write_text(text)
        with pytest.raises(CryosnakeError, match=r"decisions/good.yaml.*(move it away)") as error:
            plan_of(raw_of("choose"))
        assert says in str(error.value)


def test_show_lists_classes_and_pictures(here, capsys) -> None:
    raw = raw_of("choose")
    run(raw)
    Path(OLD, "class_averages.png").touch()
    assert choose("good") == 0
    shown = capsys.readouterr().out
    assert shown.splitlines()[0] == f"good chooses from {OLD}"
    assert "75.0%" in shown and "8.5 Å" in shown
    assert f"look at: {OLD}/class_averages.png\nlook at: {OLD}/run_it002_classes.mrcs\n" in shown
    assert "cryosnake choose good --classes" in shown and not decision_file("good").exists()
    assert choose("good", "--classes", "1", "--show") == 0 and not decision_file("good").exists()


def test_status_and_list_end_with_what_waits(here, capsys) -> None:
    run(raw_of("choose"))
    for words in (["status"], ["list"]):
        assert main(words) == 0
        assert capsys.readouterr().out.splitlines()[-1].startswith("waits for you: good: choose from Class2D/job005")
    assert main(["list", "--names"]) == 0
    assert "waits" not in capsys.readouterr().out


def test_a_map_by_its_number_is_a_choice_too(here, capsys) -> None:
    raw = raw_of([1])
    Path("map.mrc").touch()
    raw["jobs"] |= {
        "variants": {"type": "class3d", "particles": "cut", "reference": "map.mrc", "classes": 3, "iterations": 2,
                     "particle_diameter": 9},
        "refine": {"type": "refine3d", "particles": "cut", "reference": "variants.class2", "particle_diameter": 9}}
    run(raw)
    assert path_of(raw, "refine") == "Refine3D/job009"
    arrive(3)
    run(raw)
    assert path_of(raw, "refine") == "waits"
    assert choose("refine", "--classes", "1,2") == 1 and choose("refine", "--classes", "1") == 0
    run(raw)
    record = read_record(Path(path_of(raw, "refine")))
    assert record is not None and record.inputs["reference"].endswith(":class1") and record.decision
    assert Path(path_of(raw, "refine"), "read").read_text().endswith("class001.mrc")


def test_limits_of_the_class_number_are_a_choice_too(here) -> None:
    raw = raw_of()
    raw["jobs"]["good"] |= {"label": "rlnClassNumber", "minimum": 1, "maximum": 2}
    run(raw)
    assert path_of(raw) == "Select/job006" and read_decisions("good")[0].classes == (1, 2)
    arrive(3)
    run(raw)
    assert path_of(raw) == "waits" and choose("good", "--classes", "2") == 0
    record = read_record(Path(run(raw).jobs["good"].path))
    assert record is not None and record.stated == {"classes": [2]}


def test_cleaning_and_superseding_leave_decisions_and_what_they_name(here) -> None:
    raw = {**raw_of([1]), "superseded": "trash"}
    run(raw)
    arrive(3)
    run(raw)
    assert choose("good", "--classes", "1") == 0
    run(raw)
    text = decision_file("good").read_text()
    settle_superseded(plan_of(raw))
    assert Path(OLD).is_dir() and Path("Select/job006").is_dir()
    assert main(["clean", "--all", "--harsh"]) == 0
    assert decision_file("good").read_text() == text


def test_a_pinned_directory_is_taken_and_not_followed(here) -> None:
    raw = raw_of([1])
    run(raw)
    raw["jobs"]["good"] |= {"particles": OLD, "model": f"{OLD}.model"}
    assert path_of(raw) == "Select/job006", "the same job"
    arrive(3)
    run(raw)
    assert path_of(raw) == "Select/job006" and plan_of(raw).jobs["classes"].path == "Class2D/job008"
    assert pending_files(plan_of(raw)) == []
    raw["jobs"]["pinned"] = {"type": "class2d", "particles": "Extract/job004", "particle_diameter": 9, "classes": 2,
                             "iterations": 2, "tau2_fudge": 4.0}
    plan = run(raw)
    pinned = plan.jobs["pinned"].path
    rows = count_rows("Extract/job004/particles.star")
    record = read_record(Path(pinned))
    assert record is not None and record.inputs["particles"] == "Extract/job004:particles"
    assert record.made_from["particles"].rows == rows
    assert ("Extract/job004/particles.star", f"{pinned}/") in read_pipeline("default_pipeline.star").input_edges
    arrive(4, 5)
    run(raw)
    assert plan_of(raw).jobs["pinned"].path == pinned and pending_files(plan_of(raw)) == []


def test_a_job_that_works_per_micrograph_can_be_pinned_to_a_table(here) -> None:
    raw = raw_with()
    run(raw)
    raw["jobs"]["others"] = {**RAW["jobs"]["picks"], "micrographs": "MotionCorr/job002", "diameter": [50, 50]}
    plan = run(raw)
    others = plan.jobs["others"]
    assert (others.path, dict(others.batches), others.stream) == ("AutoPick/job007", {1: "0001"}, "")
    arrive(3)
    run(raw)
    assert pending_files(plan_of(raw)) == [] and plan_of(raw).jobs["others"].batches == {1: "0001"}
    raw["jobs"]["same"] = {**RAW["jobs"]["classes"], "particles": "Extract/job004", "iterations": 3}
    assert tables_taken(plan_of(raw), ["same"]) == ("Extract/job004/particles.star",), "held while a long job reads it"


def test_a_pinned_job_is_protected(here) -> None:
    raw = raw_with()
    run(raw)
    raw["jobs"]["other"] = {"type": "select", "particles": OLD, "maximum_shift": 5.0}
    arrive(3)
    raw["superseded"] = "trash"
    run(raw)
    settle_superseded(plan_of(raw))
    assert Path(OLD).is_dir() and not Path("Select/job006").exists()


WRONG_DIRECTORIES = [
    ("Class2D/job099", "is not a job of this project: there is no such directory"),
    ("Extract/job004.micrographs", "takes particles called 'micrographs', and Extract/job004 (extract) offers"),
    ("MotionCorr/job002", "takes particles, and MotionCorr/job002 (motioncorr) offers micrographs"),
    ("Class2D/classes", "is an alias, which moves when the job is made again: write Class2D/job005"),
    ("./Movies", "is a folder; name a file in it"),
]


def test_a_connection_to_a_directory_is_checked(here) -> None:
    raw = raw_with()
    run(raw)
    for value, says in WRONG_DIRECTORIES:
        raw["jobs"]["good"]["particles"] = value
        with pytest.raises(ConfigError) as error:
            plan_of(raw)
        assert says in str(error.value) and str(error.value).startswith("jobs.good.particles: ")


def test_a_pinned_job_must_have_finished(here) -> None:
    raw = raw_with()
    test_growth.run(raw, killed="classes")
    raw["jobs"]["good"]["particles"] = OLD
    with pytest.raises(ConfigError, match="the job has not finished"):
        plan_of(raw)
    del raw["jobs"]["good"]["particles"]


def test_a_job_of_relion_can_be_pinned(here) -> None:
    raw = raw_of([1])
    run(raw)
    Path(OLD, "cryosnake.json").unlink()
    raw["jobs"]["good"] = {"type": "select", "particles": OLD, "classes": [1, 2]}
    plan = plan_of(raw)
    assert plan.jobs["good"].inputs["particles"].path == f"{OLD}/run_it002_data.star"
    run(raw)
    Path(f"{OLD}/run_it002_data.star").write_text("data_particles\n")
    assert path_of(raw) == "waits"
