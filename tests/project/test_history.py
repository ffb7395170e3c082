"""Chains of jobs, what a job shows, and what two jobs differ in."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_history import PATHS, make_project, particles, plan

from cryosnake.cli import main
from cryosnake.errors import CryosnakeError
from cryosnake.human import human_age
from cryosnake.pipeline.edit import add_node, add_process, connect
from cryosnake.pipeline.files import read_pipeline
from cryosnake.pipeline.find_process import find_job
from cryosnake.pipeline.job_star import write_job_star
from cryosnake.pipeline.lock import update_pipeline
from cryosnake.pipeline.markers import append_note
from cryosnake.pipeline.model import Node, Process, Status
from cryosnake.project.actions.difference import job_difference
from cryosnake.project.actions.history import ancestors, between, descendants
from cryosnake.project.actions.job_details import job_details
from cryosnake.project.actions.key_results import key_results
from cryosnake.project.actions.notes import commands
from cryosnake.project.actions.status import JobStatus, project_status
from cryosnake.project.cleaning.bulk.facts import read_facts
from cryosnake.project.records.file_sizes import folder_size
from cryosnake.project.records.run_times import Stopwatch, add_run_time, read_run_times

CLASSES, GOOD, START, REFINE, MASK = (f"{path}/" for path in PATHS)


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    make_project("classes", "good")
    return tmp_path


def test_chains(project) -> None:
    pipeline = read_pipeline("default_pipeline.star")
    assert ancestors(pipeline, MASK) == [CLASSES, GOOD, START, REFINE]
    assert ancestors(pipeline, MASK, 1) == [REFINE]
    assert ancestors(pipeline, MASK, 2) == [GOOD, START, REFINE]
    assert descendants(pipeline, GOOD) == [START, REFINE, MASK]
    assert descendants(pipeline, MASK) == []
    assert between(pipeline, START, MASK) == between(pipeline, MASK, START) == [START, REFINE, MASK]
    assert between(pipeline, GOOD, GOOD) == [GOOD]
    pipeline = add_process(pipeline, Process("Class3D/job006/"))
    pipeline = connect(pipeline, inputs=[("Select/job002/particles.star", "Class3D/job006/")])
    with pytest.raises(CryosnakeError, match="neither depends on the other"):
        between(pipeline, "Class3D/job006/", MASK)


def test_an_ancestor_with_a_higher_number_stands_first(project) -> None:
    """A job made later can feed an earlier one, when RELION runs a job again with another input."""
    pipeline = add_process(read_pipeline("default_pipeline.star"), Process("Select/job006/"))
    pipeline = add_node(pipeline, Node("Select/job006/particles.star", "", 3), "Select/job006/")
    pipeline = connect(pipeline, inputs=[("Select/job006/particles.star", START)])
    assert ancestors(pipeline, REFINE) == [CLASSES, GOOD, "Select/job006/", START]


def test_chain_prints_a_path_per_line(project, capsys) -> None:
    assert main(["chain", "mask", "--ancestors", "--self", "--steps", "1"]) == 0
    assert capsys.readouterr().out.split() == [REFINE[:-1], MASK[:-1]]
    assert main(["chain", "2", "--to", "Refine3D/refine"]) == 0
    assert capsys.readouterr().out.split() == [GOOD[:-1], START[:-1], REFINE[:-1]]


def test_show_tells_all_about_a_job(project, capsys) -> None:
    add_run_time(Path(PATHS[1]), Stopwatch("", 2).stop("ok"))
    append_note(PATHS[1], "run_select.py --out Select/job002")
    assert main(["show", "good"]) == 0
    text = capsys.readouterr().out
    for words in ("Select/job002  good  Selection", "state      Succeeded", "particles: 21", "classes: [1, 2]",
                  "Class2D/job001/run_it004_data.star  30 rows  from Class2D/job001", "in 1 run,",
                  "Select/job002/particles.star  21 rows  used by InitialModel/job003, Refine3D/job004",
                  "used by    InitialModel/job003, Refine3D/job004", "run_select.py --out", "iteration 2"):
        assert words in text
    assert "random_seed" not in text
    assert main(["show", "2", "--all", "--lines", "0"]) == 0
    text = capsys.readouterr().out
    assert "random_seed: 0" in text
    assert "iteration 2" not in text


def test_list_show_and_clean_up_give_one_size(project, capsys) -> None:
    before = find_status(GOOD).size
    Path(GOOD, "five").write_text("12345")
    with open(Path(GOOD, "sparse"), "w") as file:
        file.seek(10**7)
        file.write("end")
    Path(GOOD, "link").symlink_to("sparse")
    size = find_status(GOOD).size
    occupied = min(Path(GOOD, "sparse").lstat().st_blocks * 512, 10**7 + 3)  # all of it where disks know no holes
    assert size == before + len("12345") + occupied + len("sparse")
    facts = next(facts for facts in read_facts(read_pipeline("default_pipeline.star")) if facts.name == GOOD)
    assert facts.bytes() == folder_size(GOOD) == size


def find_status(name: str) -> JobStatus:
    return next(job for job in project_status() if f"{job.path}/" == name)


def test_show_says_what_is_missing(project, capsys) -> None:
    assert main(["show", "refine"]) == 0
    text = capsys.readouterr().out
    assert "InitialModel/job003/initial_model.mrc  DensityMap  missing  from InitialModel/job003" in text
    assert "Scheduled" in text


def relion_job(diameter: str) -> None:
    """RELION adds another 2D classification of the same particles: no record of ours."""
    name = "Class2D/job006/"
    Path(name).mkdir()
    write_job_star(f"{name}job.star", 8, "relion.class2d", False, {"nr_classes": "3", "particle_diameter": diameter})
    done = Process(name, "", "relion.class2d", 8, status=Status.SUCCEEDED)
    update_pipeline("", lambda p: connect(add_process(p, done), inputs=[("particles.star", name)]))


def test_a_job_of_relion_is_shown_by_its_options(project, capsys) -> None:
    relion_job("200")
    details = job_details(read_pipeline("default_pipeline.star"), find_job("6"))
    assert details.record is None
    assert details.parameters == {"nr_classes": ("3", True), "particle_diameter": ("200", True)}
    assert main(["show", "6"]) == 0
    assert "relion.class2d (made by RELION)" in capsys.readouterr().out


def differences(first: str, second: str) -> set[tuple[str, str, str, str]]:
    found = job_difference(read_pipeline("default_pipeline.star"), find_job(first), find_job(second))
    return {(item.kind, item.name, item.first, item.second) for item in found}


def test_diff_tells_parameters_inputs_and_results(project, capsys) -> None:
    text = Path("config.yaml").read_text()
    text = text.replace("classes: [1, 2]", "minimal_class_size: 2")  # a rule: numbers would wait for another choice
    Path("config.yaml").write_text(text.replace("iterations: 4", "iterations: 6"))
    from cryosnake.project.run.commit import commit

    commit(plan())
    root = "Class2D/job006/run_it006"
    Path(f"{root}_optimiser.star").touch()
    Path(f"{root}_data.star").write_text(particles(30))
    assert differences("Class2D/job001", "Class2D/job006") == {
        ("parameter", "iterations", "4", "6"), ("result", "iterations", "4", "6"),
        ("result", "resolution", "12.5 Å", "-"),
        ("result", "classes in use", "2", "-"), ("result", "largest class", "50 %", "-")}
    assert ("input", "particles", "Class2D/job001:particles", "Class2D/job006:particles") in differences("2", "7")
    assert main(["diff", "1", "6"]) == 0
    assert "parameter  iterations" in capsys.readouterr().out
    with pytest.raises(CryosnakeError, match="this is the same job twice"):
        differences("1", "Class2D/job001")


def test_diff_with_a_job_of_relion_compares_relions_options(project) -> None:
    relion_job("200")
    found = differences("1", "6")
    assert ("parameter", "particle_diameter", "190", "200") in found
    assert not any(name == "nr_classes" for _, name, _, _ in found)


def test_key_results_leave_out_what_is_damaged(project) -> None:
    assert {result.name: str(result) for result in key_results(PATHS[0])} == {
        "iterations": "4", "particles": "30", "resolution": "12.5 Å", "classes in use": "2", "largest class": "50 %"}
    Path("Class2D/job001/run_it004_model.star").write_text("data_model_general\n_rlnCurrentResolution none\n")
    assert {result.name for result in key_results(PATHS[0])} == {"iterations", "particles"}
    Path("PostProcess").mkdir()
    Path("PostProcess/postprocess.star").write_text(
        "data_general\n_rlnFinalResolution 3.42\n_rlnBfactorUsedForSharpening -80\n")
    assert [str(result) for result in key_results("PostProcess")] == ["3.42 Å", "-80 Å²"]


def test_the_command_comes_from_the_note_or_the_record(project) -> None:
    assert commands(PATHS[3]) == ["run_refine3d.py --out Refine3D/job004 --particles Select/job002/particles.star "
                                  "--reference InitialModel/job003/initial_model.mrc --particle_diameter 190.0"]
    append_note(PATHS[3], "first\nsecond")
    append_note(PATHS[3], "third")
    assert commands(PATHS[3]) == ["first\nsecond", "third"]
    relion_job("200")
    with pytest.raises(CryosnakeError, match="no command is known"):
        commands("Class2D/job006")


def test_run_times_survive_torn_lines(project) -> None:
    for batch in ("0001", "0002"):
        add_run_time(Path(PATHS[1]), Stopwatch(batch, 1).stop("ok"))
    with open(f"{PATHS[1]}/run_times.tsv", "a") as file:
        file.write("2026-01-01T00:00:00\t0003")
    assert [(run.batch, run.outcome) for run in read_run_times(PATHS[1])] == [("0001", "ok"), ("0002", "ok")]


def test_a_clock_that_went_backwards_is_said(monkeypatch) -> None:
    monkeypatch.setattr("cryosnake.human.time.time", lambda: 1_000_000.0)
    assert human_age(1_000_000.0 - 5400) == "1.5 h ago"
    assert human_age(1_000_000.0 - 45) == "45 s ago"
    assert human_age(1_000_000.0 + 7200) == "in 2 h (clock?)"
    assert human_age(1_000_000.5) == "0 s ago"
