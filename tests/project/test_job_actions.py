"""Alias, marks, abort, continue; RELION reads the project after each."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from small_history import PATHS, make_project, particles, plan

from cryosnake.cli import main
from cryosnake.errors import CryosnakeError
from cryosnake.pipeline.files import read_pipeline
from cryosnake.pipeline.find_process import find_job
from cryosnake.pipeline.markers import exit_of
from cryosnake.pipeline.model import Process, Status
from cryosnake.project.actions.continuing import continue_with_iterations, way_on
from cryosnake.project.actions.job_actions import give_alias, mark, request_abort
from cryosnake.project.actions.notes import add_note, edit_note, read_note
from cryosnake.project.locks.job_status import left_running, set_job_status, set_succeeded
from cryosnake.project.locks.snakemake_lock import claim_run
from cryosnake.project.records.final_marks import is_final
from cryosnake.project.records.record import read_record
from cryosnake.project.run.commit import commit
from cryosnake.project.run.run_status import fail_dead_jobs

CLASSES, GOOD, START, REFINE, MASK = PATHS


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    make_project("classes", "good")
    return tmp_path


def process(path: str) -> Process:
    return read_pipeline("default_pipeline.star").processes[f"{path}/"]


def facts() -> tuple[object, ...]:
    pipeline = read_pipeline("default_pipeline.star")
    return ({(p.name, p.alias, p.status) for p in pipeline.processes.values()}, set(pipeline.nodes),
            set(pipeline.input_edges), set(pipeline.output_edges))


@pytest.fixture
def relion_reads(relion) -> Callable[[], None]:
    def check() -> None:
        before = facts()
        done = subprocess.run(["relion_pipeliner", "--check_job_completion"], capture_output=True, text=True,
                              timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
        assert facts() == before
        assert not Path(".relion_lock").exists()

    return check


# alias


def test_the_alias_of_a_job_of_the_config_is_renamed_there(project) -> None:
    said = give_alias(process(GOOD), "best ones")
    assert said[0] == "config.yaml: 'good' is now 'best_ones' (line 5, 9, 12)"
    text = Path("config.yaml").read_text()
    assert "  best_ones:\n    type: select\n    particles: classes.particles  # the best of them\n" in text
    assert "reference: start\n" in text and "particles: best_ones\n" in text
    assert os.readlink("Select/best_ones") == "../Select/job002/"
    assert not os.path.lexists("Select/good")
    assert read_record(Path(GOOD)).name == "best_ones"
    before = facts()
    again = plan()
    assert {job.path for job in again.jobs.values()} == set(PATHS)
    commit(again)  # what the next run does: the alias stays
    assert facts() == before


def test_workspaces_follow_a_renaming(project, monkeypatch) -> None:
    from cryosnake.project.config import config

    monkeypatch.setattr(config, "TOP_KEYS", (*config.TOP_KEYS, "workspaces"))
    text = Path("config.yaml").read_text()
    Path("config.yaml").write_text(text + "workspaces:\n  first: [classes, good]  # begun\n  rest: [good]\n")
    give_alias(process(GOOD), "best")
    assert "  first: [classes, best]  # begun\n  rest: [best]\n" in Path("config.yaml").read_text()


def test_a_job_that_left_the_config_keeps_its_new_alias(project) -> None:
    text = Path("config.yaml").read_text()
    Path("config.yaml").write_text(text.replace("iterations: 4", "iterations: 6"))
    give_alias(process(CLASSES), "four_rounds")
    assert "four_rounds" not in Path("config.yaml").read_text()
    commit(plan())
    assert process(CLASSES).short_alias == "four_rounds"
    assert process("Class2D/job006").short_alias == "classes"
    give_alias(process(CLASSES), "")
    assert process(CLASSES).alias == ""
    assert not os.path.lexists("Class2D/four_rounds")


@pytest.mark.parametrize(("alias", "said"), [
    ("x", "too short"), ("job7", "starts with `job`"), ("a/b", "contains '/'"), ("a*b", r"contains '\*'"),
    ("", "is always its name there"), ("mask", "there is already a job called 'mask'"), ("good_join", None),
    ("yes", None),
])
def test_aliases_that_are_refused_change_nothing(project, alias, said) -> None:
    before, text = facts(), Path("config.yaml").read_text()
    if said is None:  # odd, and allowed
        give_alias(process(GOOD), alias)
        assert plan().jobs[alias].path == GOOD
        return
    with pytest.raises(CryosnakeError, match=said):
        give_alias(process(GOOD), alias)
    assert (facts(), Path("config.yaml").read_text()) == (before, text)


def test_an_alias_of_another_job_of_the_type_is_refused(project) -> None:
    text = Path("config.yaml").read_text()
    Path("config.yaml").write_text(text.replace("iterations: 4", "iterations: 6"))
    commit(plan())
    set_succeeded(plan().jobs["classes"].path)  # which takes the alias
    with pytest.raises(CryosnakeError, match="belongs to another job of the same type"):
        give_alias(process(CLASSES), "classes")


def test_a_config_that_a_program_cannot_change_is_left_alone(project) -> None:
    text = Path("config.yaml").read_text()
    text = text.replace("particles: classes.particles  # the best of them", "particles: >-\n      classes.particles")
    Path("config.yaml").write_text(text)
    with pytest.raises(CryosnakeError, match="change it by hand, line 4, 7"):
        give_alias(process(CLASSES), "rounds")
    assert Path("config.yaml").read_text() == text
    assert process(CLASSES).short_alias == "classes"


def test_no_renaming_while_a_run_reads_the_config(project) -> None:
    claim_run()
    with pytest.raises(CryosnakeError, match=r"a run that reads config\.yaml is in progress"):
        give_alias(process(GOOD), "best")


# notes


def test_notes_are_added_and_edited(project, monkeypatch) -> None:
    add_note(GOOD, "looks fine\nbut small")
    assert "looks fine\nbut small\n ++++ \n" in read_note(GOOD)
    with pytest.raises(CryosnakeError, match="is empty"):
        add_note(GOOD, "  ")
    for name in ("VISUAL", "EDITOR"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(CryosnakeError, match="export EDITOR"):
        edit_note(GOOD)
    monkeypatch.setenv("EDITOR", "sh -c 'echo edited >> $0'")
    edit_note(GOOD)
    assert read_note(GOOD).endswith("edited\n")
    monkeypatch.setenv("EDITOR", "no-such-editor")
    with pytest.raises(CryosnakeError, match="can't be started"):
        edit_note(GOOD)


# marks


def test_final_is_kept_in_the_directory(project) -> None:
    assert not is_final(GOOD)
    mark(process(GOOD), "final")
    assert is_final(GOOD)
    mark(process(GOOD), "not-final")
    assert not is_final(GOOD)


def test_marked_as_finished_a_job_has_the_outputs_that_are_there(project) -> None:
    """The last iteration's files come in, missing outputs go, but those that another job uses."""
    for name in ("data.star", "optimiser.star", "half1_class001.mrc", "sampling.star"):
        for iteration in (3, 4):
            Path(f"{REFINE}/run_it{iteration:03d}_{name}").touch()
    os.utime(f"{REFINE}/run_it003_optimiser.star", (1e9,) * 2)
    said = mark(process(REFINE), "finished")
    assert process(REFINE).status == exit_of(REFINE) == Status.SUCCEEDED
    pipeline = read_pipeline("default_pipeline.star")
    assert {node.removeprefix(f"{REFINE}/") for node in pipeline.outputs[f"{REFINE}/"]} == {
        "run_class001.mrc", "run_it004_data.star", "run_it004_optimiser.star", "run_it004_half1_class001.mrc"}
    assert "run_class001.mrc; Snakemake makes them" in said[1]
    commit(plan())  # the config's outputs are known again
    assert f"{REFINE}/run_data.star" in read_pipeline("default_pipeline.star").nodes


@pytest.mark.parametrize(("what", "status"), [("failed", Status.FAILED), ("aborted", Status.ABORTED)])
def test_other_marks(project, what, status) -> None:
    before = facts()
    mark(process(GOOD), what)
    assert process(GOOD).status == exit_of(GOOD) == status
    mark(process(GOOD), "finished")
    assert facts() == before


def test_a_job_at_work_is_not_marked(project) -> None:
    words = r"process \d+ on .* works here; `cryosnake abort Select/job002`"
    with worker(GOOD), pytest.raises(CryosnakeError, match=words):
        mark(process(GOOD), "failed")


@contextmanager
def worker(path: str) -> Iterator[None]:
    """Another process that holds a job's lock, as a program at work does."""
    code = """
        import fcntl, sys, time
        from pathlib import Path
        from cryosnake.project.locks.work_locks import lock_file, own_identity
        file = open(lock_file(Path(sys.argv[1]), ""), "w")
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(own_identity())
        file.flush()
        print("ready", flush=True)
        time.sleep(60)
    """
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(code), path], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline()
        yield
        process.kill()


# abort, and jobs that were killed


def test_abort_asks_who_works_and_refuses_otherwise(project) -> None:
    with pytest.raises(CryosnakeError, match=r"is not running \(succeeded\)"):
        request_abort(process(GOOD))
    set_job_status(REFINE, Status.RUNNING)
    with worker(REFINE):
        assert "asked to stop (process" in request_abort(process(REFINE))[0]
    assert Path(REFINE, "RELION_JOB_ABORT_NOW").exists()


def test_a_scheduled_job_of_a_run_is_aborted_before_it_begins(project) -> None:
    with pytest.raises(CryosnakeError, match="nothing to abort"):
        request_abort(process(REFINE))
    claim_run()
    assert "as soon as it starts" in request_abort(process(REFINE))[0]


def test_a_killed_job_does_not_run_for_ever(project, capsys) -> None:
    set_job_status(REFINE, Status.RUNNING)
    with worker(REFINE):
        assert left_running() == []
    assert left_running() == [REFINE]
    assert main(["list", "--state", "killed", "--names"]) == 0
    assert capsys.readouterr().out.split() == [REFINE]
    assert fail_dead_jobs() == [REFINE]
    assert process(REFINE).status == exit_of(REFINE) == Status.FAILED
    assert "killed from outside" in Path(REFINE, "run.err").read_text()
    set_job_status(START, Status.RUNNING)
    assert "is now marked as failed" in request_abort(process(START))[0]
    assert process(START).status == Status.FAILED


# continue


def test_what_to_run_depends_on_what_there_is(project) -> None:
    assert "more iterations" in way_on(process(CLASSES)).reason
    assert way_on(process(START)).command.startswith("snakemake --cores all InitialModel/job003/initial_model.mrc")
    Path(f"{REFINE}/run_it007_optimiser.star").touch()
    assert way_on(process(REFINE)).reason == f"{REFINE} (refine) continues after iteration 7"
    Path("config.yaml").write_text(Path("config.yaml").read_text().replace("iterations: 4", "iterations: 6"))
    words = r"(?s)is not in config.yaml.*classes:.*type: class2d, particles: particles.star"
    with pytest.raises(CryosnakeError, match=words):
        way_on(process(CLASSES))


def test_more_iterations_make_a_job_that_begins_where_the_first_ended(project) -> None:
    found = continue_with_iterations(process(CLASSES), 9)
    assert "line 4: classes has iterations: 9" in found.done[0]
    text = Path("config.yaml").read_text()
    assert "iterations: 9, continue_from: Class2D/job001/run_it004_optimiser.star}   # in 2D\n" in text
    job = plan().jobs["classes"]
    assert job.path == "Class2D/job006"
    assert job.config.stated["continue_from"] == "Class2D/job001/run_it004_optimiser.star"
    Path(f"{REFINE}/run_it002_optimiser.star").touch()
    Path("config.yaml").write_text(
        text.replace("iterations: 9, continue_from: Class2D/job001/run_it004_optimiser.star", "iterations: 4"))
    with pytest.raises(CryosnakeError, match="has done 2 iterations"):
        continue_with_iterations(process(REFINE), 2)
    continue_with_iterations(process(REFINE), 30)
    assert "    particle_diameter: 190\n    max_iterations: 30\n    continue_from: " in Path("config.yaml").read_text()


@pytest.mark.parametrize(("path", "iterations", "said"), [
    (CLASSES, 4, "has done 4 iterations"), (GOOD, 5, "select does not continue"), (REFINE, 5, "no complete iteration")])
def test_iterations_that_make_no_sense_are_refused(project, path, iterations, said) -> None:
    text = Path("config.yaml").read_text()
    with pytest.raises(CryosnakeError, match=said):
        continue_with_iterations(process(path), iterations)
    assert Path("config.yaml").read_text() == text


# faults


def test_a_job_that_relion_deleted_meanwhile_is_said_so(project) -> None:
    from cryosnake.pipeline.edit import remove_processes
    from cryosnake.pipeline.lock import update_pipeline

    chosen = find_job("mask")
    update_pipeline("", lambda pipeline: remove_processes(pipeline, [chosen.name]))
    with pytest.raises(CryosnakeError, match="MaskCreate/job005/: no such job"):
        mark(chosen, "failed")


@pytest.fixture
def other_user(project) -> Iterator[None]:
    """Work as a user who may read the project and not write it."""
    if os.geteuid() != 0:
        pytest.skip("becoming another user needs root")
    for folder in (project, *project.parents):
        if folder != Path("/") and str(folder).startswith("/tmp/pytest"):
            folder.chmod(0o755)
    assert main(["show", "good"]) == 0  # Python's own modules may not be readable for the other user
    os.seteuid(65534)
    yield
    os.seteuid(0)


def test_another_user_is_told_about_permissions(other_user, capsys) -> None:
    assert main(["note", "good", "mine"]) == 1
    assert "belongs to another user" in capsys.readouterr().err
    assert main(["alias", "good", "mine"]) == 1
    assert main(["mark", "good", "final"]) == 1
    assert main(["abort", "good"]) == 1
    said = capsys.readouterr().err
    assert said.count("cryosnake: ") == 3
    assert "Traceback" not in said
    assert main(["show", "good"]) == 0


# RELION


@pytest.mark.relion
def test_relion_reads_the_project_after_each_action(project, relion_reads) -> None:
    for action in (
        lambda: give_alias(process(GOOD), "best"),
        lambda: add_note(GOOD, "a note"),
        lambda: mark(process(GOOD), "final"),
        lambda: mark(process(REFINE), "finished"),
        lambda: mark(process(REFINE), "failed"),
        lambda: mark(process(GOOD), "aborted"),
        lambda: mark(process(GOOD), "finished"),
        lambda: main(["restore-pipeline", MASK]),
        lambda: main(["rebuild-pipeline"]),
        lambda: commit(plan()),
        lambda: continue_with_iterations(process(CLASSES), 9),
        lambda: commit(plan()),
    ):
        action()
        relion_reads()
    assert is_final(GOOD)
    shutil.rmtree(".Nodes")
    relion_reads()


@pytest.mark.relion
def test_relion_sees_an_abort(project, relion) -> None:
    set_job_status(REFINE, Status.RUNNING)
    with worker(REFINE):
        request_abort(process(REFINE))
    mark(process(REFINE), "aborted")
    set_job_status(REFINE, Status.RUNNING)  # RELION itself finds the exit file
    subprocess.run(["relion_pipeliner", "--check_job_completion"], check=True, capture_output=True, timeout=60)
    assert process(REFINE).status == Status.ABORTED


def test_count_of_particles_is_one_function(project) -> None:
    from cryosnake.io.star_rows import count_rows
    from cryosnake.project.planning.growth import particle_count

    Path("a.star").write_text(particles(7).replace("\n", "\r\n"))
    assert particle_count("a.star") == count_rows("a.star") == 7
    assert particle_count("none.star") == count_rows("config.yaml") == 0
