"""Cleaning single jobs: the right files, protected ones stay, everything comes back."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from made_project import COORDINATES, MAP, MICROGRAPHS, MOVIES, PARTICLES, add_job, facts, tree

from cryosnake.cli import main
from cryosnake.errors import CryosnakeError
from cryosnake.pipeline.edit import connect, set_status
from cryosnake.pipeline.lock import update_pipeline
from cryosnake.pipeline.model import Status
from cryosnake.project.cleaning.clean import clean, plan_action, unclean
from cryosnake.project.cleaning.delete import current_pipeline, delete_jobs, plan_deletion
from cryosnake.project.cleaning.undelete import deletion_of, undelete
from cryosnake.project.locks.clean_up_lock import cleaning_up
from cryosnake.project.records.cleaned_files import missing_files, read_cleaned
from cryosnake.project.records.final_marks import set_final

JOBS = {2: "MotionCorr", 3: "CtfFind", 4: "AutoPick", 5: "Extract", 6: "Class2D", 7: "Refine3D", 8: "PostProcess"}


def iterations(last: int, parts: tuple[str, ...]) -> dict[str, int]:
    return {f"run_it{number:03d}_{part}": 10 for number in range(last + 1) for part in parts}


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """A chain of every type that RELION cleans, with RELION's names of files."""
    monkeypatch.chdir(tmp_path)
    Path("Movies").mkdir()
    Path("Movies/a.tiff").write_text("raw")
    add_job("Import", 1, {"movies.star": MOVIES})
    ends = (".mrc", ".star", ".log", "_PS.mrc", ".err", ".com")
    motion = {f"Movies/{name}{end}": 100 for name in "ab" for end in ends}
    add_job("MotionCorr", 2, {"corrected_micrographs.star": MICROGRAPHS}, ("Import/job001/movies.star",),
            files=motion | {"batches/0001.star": 5, "batches/0001.done": 5, "logfile.pdf": 5})
    add_job("CtfFind", 3, {"micrographs_ctf.star": MICROGRAPHS}, ("MotionCorr/job002/corrected_micrographs.star",),
            files={"Movies/a.ctf": 20, "Movies/a_ctffind4.log": 3, "gctf1.out": 1, "gctf1.err": 1,
                   "batches/0001.star": 5})
    add_job("AutoPick", 4, {"autopick.star": COORDINATES}, ("CtfFind/job003/micrographs_ctf.star",),
            files={"Movies/a_autopick.star": 3, "Movies/a_fom.spi": 30, "batches/0001.star": 5})
    add_job("Extract", 5, {"particles.star": PARTICLES}, ("AutoPick/job004/autopick.star",
                                                          "CtfFind/job003/micrographs_ctf.star"),
            files={"Movies/a.mrcs": 200, "Movies/a_extract.star": 3, "Movies/b.mrcs": 200, "batches/0001.star": 5})
    parts = ("data.star", "model.star", "optimiser.star", "sampling.star", "classes.mrcs")
    add_job("Class2D", 6, {"run_it004_data.star": PARTICLES, "run_it002_data.star": PARTICLES},
            ("Extract/job005/particles.star",), files=iterations(4, parts) | {"run_unmasked_classes.mrcs": 7})
    halves = ("data.star", "optimiser.star", "sampling.star", "half1_model.star", "half2_class001.mrc")
    continued = {"run_ct3_it003_data.star": 4, "run_ct3_it004_data.star": 4, "run_ct3_it004_optimiser.star": 4}
    add_job("Refine3D", 7, {"run_data.star": PARTICLES, "run_class001.mrc": MAP},
            ("Class2D/job006/run_it002_data.star",), files=iterations(3, halves) | continued)
    add_job("PostProcess", 8, {"postprocess.mrc": MAP, "postprocess_masked.mrc": MAP},
            ("Refine3D/job007/run_class001.mrc",), files={"postprocess_fsc.eps": 5})
    return tmp_path


def cleaned(job: str, level: str, **how: bool) -> list[str]:
    pipeline = current_pipeline()
    name = next(name for name in pipeline.processes if name.startswith(job))
    with cleaning_up():
        cleaning = plan_action(pipeline, name, level, **how)
        clean(cleaning)
    return sorted(cleaning.files)


@pytest.mark.relion
@pytest.mark.parametrize("level", ["gentle", "harsh"])
def test_relions_sets_are_relions(project, relion, tmp_path_factory, level) -> None:
    for number, folder in JOBS.items():
        copy = tmp_path_factory.mktemp("relion") / "project"
        shutil.copytree(project, copy, symlinks=True)
        shutil.rmtree(copy / f"{folder}/job{number:03d}/batches", ignore_errors=True)  # our records, which we keep
        done = subprocess.run(["relion_pipeliner", f"--{level}_clean", str(number)], cwd=copy, capture_output=True,
                              text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
        job = f"{folder}/job{number:03d}"
        before = set(tree(job))
        cleaned(job, level, relion=True)
        ours = {name for name in tree(job) if not name.startswith("batches/")}
        theirs = set(tree(copy / job))
        assert ours == theirs, (job, level)
        assert len(before) > len(ours), (job, level)
        with cleaning_up():
            assert unclean(f"{job}/") == []
        assert set(tree(job)) == before


@pytest.mark.relion
def test_what_relion_cleaned_comes_back(project, relion) -> None:
    before = tree("MotionCorr/job002")
    subprocess.run(["relion_pipeliner", "--harsh_clean", "2"], cwd=project, capture_output=True, check=True, timeout=60)
    assert not Path("MotionCorr/job002/Movies").exists()
    update_pipeline(project, lambda pipeline: pipeline)
    with cleaning_up():
        unclean("MotionCorr/job002/")
    assert tree("MotionCorr/job002") == before
    assert not list(Path("Trash").rglob("*.*"))


def test_our_sets(project) -> None:
    assert cleaned("MotionCorr", "gentle") == ["Movies/a.log", "Movies/b.log"]
    assert cleaned("CtfFind", "harsh") == ["Movies/a.ctf"]
    assert cleaned("Extract", "harsh") == ["Movies/a.mrcs", "Movies/a_extract.star", "Movies/b.mrcs"]
    left = sorted(name for name in tree("Class2D/job006") if "_it" in name)
    cleaned("Class2D", "gentle")
    kept = sorted(name for name in tree("Class2D/job006") if "_it" in name)
    assert kept == [name for name in left if "it004" in name or "it002" in name]  # the last, and one that is connected
    assert cleaned("PostProcess", "harsh") == []  # unlike RELION's: its masked map is a node


def test_clean_and_unclean_is_exact(project) -> None:
    before, pipeline = tree(), facts(current_pipeline())
    times = {path: path.lstat().st_mtime_ns for path in Path("Extract").rglob("*") if path.is_file()}
    for level in ("gentle", "harsh", "clear"):
        for folder in JOBS.values():
            if cleaned(folder, level):
                assert missing_files(f"{next(Path(folder).glob('job*'))}")
        for name in list(current_pipeline().processes):
            with cleaning_up():
                assert unclean(name) == []
        assert tree() == before
        assert facts(current_pipeline()) == pipeline
    assert {path: path.lstat().st_mtime_ns for path in times} == times


def test_clear_keeps_what_the_job_was(project) -> None:
    taken = cleaned("Refine3D", "clear")
    left = set(tree("Refine3D/job007"))
    assert left == {"job.star", "job_pipeline.star", "note.txt"}
    assert "RELION_JOB_EXIT_SUCCESS" in taken
    assert current_pipeline().processes["Refine3D/job007/"].status == Status.SCHEDULED
    assert read_cleaned("Refine3D/job007").status == Status.SUCCEEDED
    cleaned("Extract", "clear")
    assert {"particles.star", "batches/0001.star"} <= set(tree("Extract/job005"))  # the tables of what was extracted
    assert not any(name.endswith(".mrcs") for name in tree("Extract/job005"))
    assert tree("Movies") == {"a.tiff": ("file", b"raw")}


def test_what_a_scheduled_job_needs_stays_unless_forced(project) -> None:
    update_pipeline(project, lambda pipeline: set_status(pipeline, "Refine3D/job007/", Status.SCHEDULED))
    cleaning = plan_action(current_pipeline(), "Extract/job005/", "harsh")
    assert list(cleaning.files) == ["Movies/a_extract.star"]
    assert "2 files stay, because Refine3D/job007/ has yet to run" in cleaning.kept
    assert cleaned("Extract", "harsh", force=True) == ["Movies/a.mrcs", "Movies/a_extract.star", "Movies/b.mrcs"]


def test_protected_jobs(project) -> None:
    Path("MotionCorr/job002/NO_HARSH_CLEAN").touch()
    for how in ({}, {"relion": True}, {"force": True}):
        with pytest.raises(CryosnakeError, match="MotionCorr/job002/: cleaning refused: NO_HARSH_CLEAN protects it"):
            cleaned("MotionCorr", "harsh", **how)
    assert cleaned("MotionCorr", "gentle")
    set_final("Class2D/job006")
    with pytest.raises(CryosnakeError, match="Class2D/job006/: cleaning refused: it is marked as final"):
        cleaned("Class2D", "gentle")
    with pytest.raises(CryosnakeError, match="user input"):
        cleaned("Import", "clear")
    update_pipeline(project, lambda pipeline: set_status(pipeline, "Refine3D/job007/", Status.RUNNING))
    with pytest.raises(CryosnakeError, match="Refine3D/job007/: cleaning refused: it is running"):
        cleaned("Refine3D", "gentle")
    update_pipeline(project, lambda pipeline: set_status(pipeline, "Refine3D/job007/", Status.FAILED))
    with pytest.raises(CryosnakeError, match="RELION cleans only jobs that have succeeded"):
        cleaned("Refine3D", "gentle", relion=True)


def test_cleaned_files_travel_with_a_deleted_job(project) -> None:
    before = tree()
    taken = cleaned("Extract", "harsh")
    with cleaning_up():
        delete_jobs(plan_deletion(current_pipeline(), ["5"]))
    with cleaning_up():
        undelete(deletion_of("5"))
    assert missing_files("Extract/job005") == set(taken)
    with cleaning_up():
        assert unclean("Extract/job005/") == []
    assert tree() == before


def test_files_made_again_meanwhile_are_not_overwritten(project) -> None:
    cleaned("Extract", "harsh")
    Path("Extract/job005/Movies").mkdir()
    Path("Extract/job005/Movies/a.mrcs").write_text("made again")
    with cleaning_up():
        unclean("Extract/job005/")
    assert Path("Extract/job005/Movies/a.mrcs").read_text() == "made again"
    assert Path("Extract/job005/Movies/b.mrcs").stat().st_size == 200


def test_emptying_the_trash_leaves_the_record(project) -> None:
    cleaned("Extract", "harsh")
    shutil.rmtree("Trash")
    with cleaning_up():
        assert unclean("Extract/job005/") == ["Movies/a.mrcs", "Movies/a_extract.star", "Movies/b.mrcs"]


def test_ten_thousand_files_in_one_folder(project) -> None:
    folder = Path("MotionCorr/job002/many")
    folder.mkdir()
    for number in range(10_000):
        (folder / f"{number}.mrc").touch()
    before = sorted(os.listdir(folder))
    start = time.process_time()
    assert len(cleaned("MotionCorr", "harsh")) == 10_012
    with cleaning_up():
        assert unclean("MotionCorr/job002/") == []
    print(f"10,000 files cleaned and back: {time.process_time() - start:.2f} CPU s")
    assert sorted(os.listdir(folder)) == before


def test_a_link_is_moved_and_not_followed(project, tmp_path_factory) -> None:
    outside = tmp_path_factory.mktemp("raw")
    (outside / "movie.mrc").write_text("raw")
    os.symlink(outside, "MotionCorr/job002/linked")
    os.symlink(outside / "movie.mrc", "MotionCorr/job002/Movies/movie.mrc")
    taken = cleaned("MotionCorr", "harsh")
    assert "Movies/movie.mrc" in taken
    assert not any(name.startswith("linked/") for name in taken)
    assert (outside / "movie.mrc").read_text() == "raw"


def test_the_commands(project, capsys) -> None:
    before = tree()
    assert main(["clean", "--all", "--harsh", "--dry-run"]) == 0
    assert tree() == before
    assert "Extract/job005  3 files  403 B" in capsys.readouterr().out
    assert main(["clean", "5", "Class2D/job006", "--harsh"]) == 0
    assert main(["clean", "--harsh"]) == 1
    assert "name jobs, or use --all" in capsys.readouterr().err
    assert main(["unclean", "5", "6"]) == 0
    assert tree() == before


def test_edges_stay(project) -> None:
    update_pipeline(project, lambda pipeline: connect(pipeline))
    before = set(current_pipeline().input_edges)
    cleaned("Class2D", "clear")
    assert set(current_pipeline().input_edges) == before
