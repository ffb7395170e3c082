"""Delete, Trash, undelete: exactly as it was, whatever happens in between."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
from dataclasses import asdict
from functools import partial
from pathlib import Path

import pytest
from made_project import MAP, MICROGRAPHS, MOVIES, PARTICLES, add_job, facts, tree

from cryosnake.cli import main
from cryosnake.errors import CryosnakeError
from cryosnake.pipeline.edit import set_alias
from cryosnake.pipeline.files import PIPELINE_FILE, read_pipeline
from cryosnake.pipeline.lock import rebuild_pipeline, update_pipeline
from cryosnake.pipeline.model import Status
from cryosnake.processes import process
from cryosnake.project.cleaning import trash
from cryosnake.project.cleaning.delete import (
    DELETED_FILE,
    current_pipeline,
    delete_jobs,
    finish_deletions,
    plan_deletion,
)
from cryosnake.project.cleaning.undelete import deletion_of, deletions, empty_trash, undelete
from cryosnake.project.locks import snakemake_lock
from cryosnake.project.locks.clean_up_lock import clean_up_owner, cleaning_up
from cryosnake.project.records.final_marks import set_final
from cryosnake.project.run import begin


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """Import -> motion -> extract -> two classifications, of which one is refined; a reference from outside."""
    monkeypatch.chdir(tmp_path)
    Path("ref.mrc").write_text("map")
    Path("Movies").mkdir()
    Path("Movies/a.tiff").write_text("raw")
    add_job("Import", 1, {"movies.star": MOVIES}, alias="movies")
    add_job("MotionCorr", 2, {"corrected_micrographs.star": MICROGRAPHS}, ("Import/job001/movies.star",),
            alias="motion", files={"Movies/a.mrc": 100, "Movies/b.mrc": 50, "deep/er/c.mrc": 1})
    os.symlink("../../../Movies/a.tiff", "MotionCorr/job002/Movies/link.tiff")
    Path("MotionCorr/job002/empty/folder").mkdir(parents=True)
    add_job("Extract", 3, {"particles.star": PARTICLES}, ("MotionCorr/job002/corrected_micrographs.star",))
    add_job("Class2D", 4, {"run_it025_data.star": PARTICLES}, ("Extract/job003/particles.star",), alias="classes")
    add_job("Class3D", 5, {"run_it025_data.star": PARTICLES}, ("Extract/job003/particles.star", "ref.mrc"))
    add_job("Refine3D", 6, {"run_data.star": PARTICLES, "run_class001.mrc": MAP},
            ("Class3D/job005/run_it025_data.star", "ref.mrc"), alias="refined", status=Status.FAILED)
    return tmp_path


def delete(*jobs: str) -> tuple[str, ...]:
    with cleaning_up():
        deletion = plan_deletion(current_pipeline(), jobs)
        delete_jobs(deletion)
    return deletion.all


def bring_back(job: str) -> list[str]:
    with cleaning_up():
        finish_deletions(current_pipeline())
        return undelete(deletion_of(job))


def no_edge_dangles() -> bool:
    warnings: list[str] = []
    read_pipeline(PIPELINE_FILE, warnings)
    return not warnings


@pytest.mark.parametrize("job", ["1", "MotionCorr/job002", "Extract/job003/", "classes", "job005", "Refine3D/refined"])
def test_delete_then_undelete_is_exact_for_every_job(project, job) -> None:
    before, pipeline = tree(), facts(current_pipeline())
    gone = delete(job)
    assert not any(os.path.exists(name) for name in gone)
    assert current_pipeline().counter == 7
    assert not set(gone) & set(current_pipeline().processes)
    assert no_edge_dangles()
    assert tree("Movies") == {"a.tiff": ("file", b"raw")}
    bring_back(job)
    assert facts(current_pipeline()) == pipeline
    after = tree()
    assert after == before
    assert Path("MotionCorr/job002/empty/folder").is_dir()
    assert not deletions()


def test_children_go_along_and_the_kept_parents_nodes_are_listed(project) -> None:
    assert delete("3") == ("Extract/job003/", "Class2D/job004/", "Class3D/job005/", "Refine3D/job006/")
    part = read_pipeline(f"Trash/Extract/job003/{DELETED_FILE}")
    assert "MotionCorr/job002/corrected_micrographs.star" in part.nodes  # RELION 5 needs it to restore the edge
    assert ("MotionCorr/job002/corrected_micrographs.star", "Extract/job003/") in part.input_edges
    assert "ref.mrc" in current_pipeline().nodes
    assert not Path("Class2D/classes").is_symlink()
    assert not list(Path(".Nodes").rglob("job003"))
    assert not list(Path(".Nodes").rglob("refined"))


def test_deletions_one_by_one_come_back_in_any_order(project) -> None:
    before, pipeline = tree(), facts(current_pipeline())
    for job in ("6", "5", "4"):
        delete(job)
    assert bring_back("6") == ["Refine3D/job006/: the job that made Class3D/job005/run_it025_data.star is not in the "
                               "project; undelete it too"]
    assert no_edge_dangles()
    bring_back("4")
    bring_back("5")
    assert (tree(), facts(current_pipeline())) == (before, pipeline)


def test_nodes_that_nobody_made_or_reads_any_more_go_along(project) -> None:
    delete("6")
    delete("5")
    bring_back("6")
    assert "Class3D/job005/run_it025_data.star" in current_pipeline().nodes  # its input, whose job is in the Trash
    delete("6")
    assert "Class3D/job005/run_it025_data.star" not in current_pipeline().nodes
    assert "ref.mrc" in current_pipeline().nodes


def test_what_is_final_or_at_work_stays(project) -> None:
    before = tree()
    set_final("Refine3D/job006")
    with pytest.raises(CryosnakeError, match=r"Refine3D/job006/: .* marked as final.*; it depends on Extract/job003/"):
        delete("3")
    with pytest.raises(CryosnakeError, match="deletion refused: it is marked as final"):
        delete("refined")
    set_final("Refine3D/job006", False)
    with open("Class3D/job005/.cryosnake.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(CryosnakeError, match=r"Class3D/job005/: deletion refused: a program works in it"):
            delete("3")
    os.unlink("Class3D/job005/.cryosnake.lock")
    assert tree() == before
    with pytest.raises(CryosnakeError, match=r"clases: no such job in this project; did you mean classes\?"):
        delete("clases")


def test_a_job_whose_directory_is_gone_can_be_deleted(project) -> None:
    shutil.rmtree("Class3D/job005")
    before = facts(current_pipeline())
    assert delete("5") == ("Class3D/job005/", "Refine3D/job006/")
    bring_back("6")
    assert facts(current_pipeline()) == before


def test_an_alias_of_two_jobs_is_not_guessed(project) -> None:
    update_pipeline(project, lambda pipeline: set_alias(pipeline, "Class3D/job005/", "classes"))
    with pytest.raises(CryosnakeError, match=r"2 jobs of this project have this name: Class2D/job004 .*Class3D/job005"):
        delete("classes")


def test_undelete_onto_an_existing_job_is_refused(project) -> None:
    delete("6")
    add_job("Refine3D", 6, {"run_data.star": PARTICLES})
    before = tree()
    with pytest.raises(CryosnakeError, match=r"Refine3D/job006/ exists in the project"):
        bring_back("6")
    assert tree() == before
    with pytest.raises(CryosnakeError, match=r"no deleted job '99' in the Trash; it contains Refine3D/job006"):
        bring_back("99")


def test_an_alias_that_was_taken_meanwhile_stays_with_its_new_job(project) -> None:
    delete("4")
    add_job("Class2D", 7, {"run_it025_data.star": PARTICLES}, alias="classes")
    assert bring_back("4") == ["Class2D/job004/: its alias 'classes' now belongs to Class2D/job007/; it has none"]
    assert os.readlink("Class2D/classes") == "../Class2D/job007/"


def test_numbers_are_not_used_again(project) -> None:
    delete("6")
    assert rebuild_pipeline(project).counter == 7


@pytest.mark.parametrize("moves", [0, 1, 2, 3])
def test_a_deletion_that_was_cut_short_is_finished_by_the_next_command(project, monkeypatch, moves) -> None:
    before, pipeline = tree(), facts(current_pipeline())
    real, count = os.rename, iter(range(100))

    def dies(source, target, **options) -> None:
        if str(source).count("/") == 1 and "/job" in str(source) and next(count) == moves:
            raise KeyboardInterrupt
        real(source, target, **options)

    with monkeypatch.context() as patched:
        patched.setattr(os, "rename", dies)
        with pytest.raises(KeyboardInterrupt):
            delete("3")
    with cleaning_up():
        assert len(finish_deletions(current_pipeline())) == 4 - moves
    assert set(current_pipeline().processes) == {"Import/job001/", "MotionCorr/job002/"}
    assert sorted(path.name for path in Path().glob("*/job*")) == ["job001", "job002"]
    bring_back("3")
    assert (tree(), facts(current_pipeline())) == (before, pipeline)


@pytest.mark.parametrize("moves", [0, 1, 2, 3])
def test_an_undelete_that_was_cut_short_goes_on(project, monkeypatch, moves) -> None:
    before, pipeline = tree(), facts(current_pipeline())
    delete("3")
    real, count = os.rename, iter(range(100))

    def dies(source, target, **options) -> None:
        if str(source).startswith("Trash/") and next(count) == moves:
            raise KeyboardInterrupt
        real(source, target, **options)

    with monkeypatch.context() as patched:
        patched.setattr(os, "rename", dies)
        with pytest.raises(KeyboardInterrupt):
            bring_back("3")
    bring_back("3")
    assert (tree(), facts(current_pipeline())) == (before, pipeline)


@pytest.fixture
def other_disk(monkeypatch) -> None:
    """Let every rename between the Trash and the rest fail as between two disks."""
    real = os.rename

    def rename(source, target, **options) -> None:
        if str(source).startswith("Trash/") != str(target).startswith("Trash/"):
            raise OSError(errno.EXDEV, "Invalid cross-device link", source)
        real(source, target, **options)

    monkeypatch.setattr(os, "rename", rename)
    monkeypatch.setattr("cryosnake.project.cleaning.delete.on_another_disk", lambda *paths: True)


def test_a_trash_on_another_disk(project, other_disk) -> None:
    before, pipeline = tree(), facts(current_pipeline())
    stamps = {path: path.lstat().st_mtime_ns for path in Path("MotionCorr").rglob("*") if path.is_file()}
    delete("2")
    assert not Path("MotionCorr/job002").exists()
    assert Path("Trash/MotionCorr/job002/Movies/link.tiff").is_symlink()
    bring_back("2")
    assert (tree(), facts(current_pipeline())) == (before, pipeline)
    assert {path: path.lstat().st_mtime_ns for path in stamps} == stamps


@pytest.mark.parametrize("copies", [0, 7, 12])
def test_an_undelete_from_another_disk_that_was_cut_short_goes_on(project, other_disk, monkeypatch, copies) -> None:
    before, pipeline = tree(), facts(current_pipeline())
    delete("2")
    real, count = trash.shutil.copy2, iter(range(100))

    def dies(source, target, **options) -> None:
        if next(count) == copies:
            raise KeyboardInterrupt
        real(source, target, **options)

    with monkeypatch.context() as patched:
        patched.setattr(trash.shutil, "copy2", dies)
        with pytest.raises(KeyboardInterrupt):
            bring_back("2")
    bring_back("2")
    assert (tree(), facts(current_pipeline())) == (before, pipeline)


def test_a_disk_that_fills_up_in_the_middle(project, other_disk, monkeypatch) -> None:
    before, pipeline = tree(), facts(current_pipeline())
    real, count = trash.shutil.copy2, iter(range(100))

    def full(source, target, **options) -> None:
        if next(count) == 9:
            Path(target).write_text("half")
            raise OSError(errno.ENOSPC, "No space left on device", target)
        real(source, target, **options)

    with monkeypatch.context() as patched:
        patched.setattr(trash.shutil, "copy2", full)
        with pytest.raises(CryosnakeError, match=r"disk of Trash is full .* nothing is lost"):
            delete("2")
    assert not list(Path("Trash").rglob("*.tmp"))
    with cleaning_up():
        assert finish_deletions(current_pipeline())
    bring_back("2")
    assert (tree(), facts(current_pipeline())) == (before, pipeline)


def test_two_users_at_once(project) -> None:
    with cleaning_up():
        assert "process" in clean_up_owner()
        with pytest.raises(CryosnakeError, match=r"somebody else deletes or cleans in this project \(.*process \d+"):
            delete("6")
    assert clean_up_owner() == ""


def test_a_job_added_meanwhile_stops_a_deletion(project) -> None:
    deletion = plan_deletion(current_pipeline(), ["4"])
    add_job("Select", 7, {"particles.star": PARTICLES}, ("Class2D/job004/run_it025_data.star",))
    before = tree()
    with cleaning_up(), pytest.raises(CryosnakeError, match=r"would now take Class2D/job004/, Select/job007/"):
        delete_jobs(deletion)
    assert tree() == before


def test_the_commands(project, capsys) -> None:
    assert main(["delete", "3", "--dry-run"]) == 0
    assert "Refine3D/job006  refined" in capsys.readouterr().out
    assert main(["delete", "3"]) == 1
    assert Path("Extract/job003").is_dir()
    assert "3 more jobs depend on" in capsys.readouterr().out
    assert main(["delete", "3", "--yes"]) == 0
    assert not Path("Extract/job003").is_dir()
    assert main(["undelete"]) == 0
    assert "Extract/job003, Class2D/job004" in capsys.readouterr().out
    assert main(["undelete", "classes"]) == 0  # any job of the deletion names it
    assert Path("Extract/job003").is_dir()
    assert main(["delete", "6"]) == 0
    assert main(["empty-trash"]) == 0
    assert Path("Trash/Refine3D/job006").is_dir()
    assert main(["empty-trash", "--yes"]) == 0
    assert not list(Path("Trash").iterdir())
    assert main(["undelete", "6"]) == 1
    assert "it is empty" in capsys.readouterr().err


def test_what_relion_deleted_gets_its_inputs_back(project) -> None:
    """RELION up to 4 lists no kept parents: their edges come from the job's own job_pipeline.star."""
    before = facts(current_pipeline())
    delete("6")
    path = Path(f"Trash/Refine3D/job006/{DELETED_FILE}")
    text = path.read_text().splitlines()
    path.write_text("\n".join(line for line in text if not line.startswith(("Class3D", "ref.mrc"))) + "\n")
    bring_back("6")
    assert facts(current_pipeline()) == before


def test_emptying_a_trash_that_is_a_link_keeps_the_link(project, tmp_path_factory) -> None:
    elsewhere = tmp_path_factory.mktemp("disk")
    os.symlink(elsewhere, "Trash")
    delete("6")
    assert (elsewhere / "Refine3D/job006").is_dir()
    with cleaning_up():
        empty_trash()
    assert Path("Trash").is_symlink()
    assert not list(elsewhere.iterdir())


def test_a_pipeline_that_relion_holds_stops_everything(project, monkeypatch) -> None:
    monkeypatch.setattr("cryosnake.project.cleaning.delete.update_pipeline", partial(update_pipeline, timeout=0.1))
    before = tree()
    os.mkdir(".relion_lock")
    Path(".relion_lock/lock_default_pipeline.star").write_text("lock mainly for writing pipeline.star")
    with pytest.raises(CryosnakeError, match=r"by RELION or another program .* remove it with `rm -r"):
        delete("6")
    shutil.rmtree(".relion_lock")
    assert tree() == before


def test_an_archived_project_stays_as_it_is(project, capsys) -> None:
    assert main(["archive"]) == 0
    before = tree()
    assert main(["delete", "6"]) == 1
    assert main(["clean", "2", "--harsh"]) == 1
    with pytest.raises(CryosnakeError, match="this project is archived"):
        begin.claim()
    assert tree() == before
    os.symlink("/nowhere/at/all", "Raw")
    assert main(["unarchive"]) == 0
    assert "Raw is a broken link" in capsys.readouterr().out
    assert main(["delete", "6"]) == 0


def test_neither_snakemake_nor_a_clean_up_starts_while_the_other_works(project) -> None:
    parent = os.getppid()
    Path(".cryosnake").mkdir()
    snakemake_lock.CLAIM.write_text(json.dumps(asdict(process(parent))))
    with pytest.raises(CryosnakeError, match=rf"Snakemake works in this project \(process {parent}"):
        delete("6")
    snakemake_lock.CLAIM.unlink()
    with cleaning_up(), pytest.raises(CryosnakeError, match="somebody deletes or cleans in this project"):
        begin.claim()
    begin.claim()
