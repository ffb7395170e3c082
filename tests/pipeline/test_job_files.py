import errno
import os
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cryosnake.errors import CryosnakeError
from cryosnake.pipeline.edit import add_node, add_process, connect
from cryosnake.pipeline.files import PIPELINE_FILE, read_pipeline, write_pipeline
from cryosnake.pipeline.job_star import (
    read_job_star,
    read_output_nodes,
    write_job_pipeline,
    write_job_star,
    write_output_nodes,
)
from cryosnake.pipeline.markers import (
    abort_requested,
    append_note,
    back_up,
    clear_exit,
    exit_of,
    make_alias_link,
    marker_paths,
    remove_alias_link,
    set_exit,
    write_node_markers,
)
from cryosnake.pipeline.model import Node, Pipeline, Process, Status

MOTION = Process("MotionCorr/job002/", "MotionCorr/motion/", "relion.motioncorr.own", 1)
MICROGRAPHS = Node("MotionCorr/job002/corrected_micrographs.star", "MicrographGroupMetadata.star.relion.motioncorr", 1)
MOVIES = Node("Import/job001/movies.star", "MicrographMovieGroupMetadata.star.relion", 0)


def two_jobs() -> Pipeline:
    pipeline = add_process(add_process(Pipeline(), Process("Import/job001/", "", "relion.import.movies", 0)), MOTION)
    pipeline = add_node(add_node(pipeline, MOVIES, "Import/job001/"), MICROGRAPHS, MOTION.name)
    return connect(pipeline, inputs=[(MOVIES.name, MOTION.name)])


VALUE = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp"], exclude_characters='"'), max_size=9)


@given(st.dictionaries(st.from_regex("[a-zA-Z_0-9]{1,9}", fullmatch=True), VALUE), st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
def test_job_star_round_trip(tmp_path: Path, options: dict[str, str], is_continue: bool) -> None:
    write_job_star(tmp_path / "job.star", 1, "relion.motioncorr.own", is_continue, options)
    job = read_job_star(tmp_path / "job.star")
    assert (job.type_id, job.type_label, job.is_continue, job.options) == (1, "relion.motioncorr.own", is_continue,
                                                                          options)
    assert list(job.options) == sorted(options)


@pytest.mark.parametrize(("lines", "kind"), [
    ("_rlnJobType 5\n", (5, "relion.extract")),
    ("_rlnJobTypeLabel relion.extract.reextract\n", (5, "relion.extract.reextract")),
])
def test_job_star_of_one_dialect(tmp_path: Path, lines: str, kind: tuple[int, str]) -> None:
    path = tmp_path / "job.star"
    path.write_text(f"data_job\n{lines}_rlnJobIsContinue 1\n")
    job = read_job_star(path)
    assert (job.type_id, job.type_label) == kind
    assert job.is_continue and job.options == {}
    path.write_text("data_job\n_rlnJobIsContinue 1\n")
    with pytest.raises(CryosnakeError, match=r"job\.star: no job type"):
        read_job_star(path)


@pytest.mark.parametrize("target", ["MotionCorr/job002", "../job002", "../MotionCorr/job009", "job007/"])
def test_an_alias_link_that_leads_nowhere_is_corrected(tmp_path: Path, target: str) -> None:
    (tmp_path / "MotionCorr/job002").mkdir(parents=True)
    link = tmp_path / "MotionCorr/motion"
    link.symlink_to(target)
    write_node_markers(tmp_path, add_process(Pipeline(), MOTION))
    assert str(link.readlink()) == "../MotionCorr/job002" and link.is_dir()


def test_a_link_to_a_disk_that_is_not_mounted_is_not_an_alias(tmp_path: Path) -> None:
    (tmp_path / "MotionCorr/job002").mkdir(parents=True)
    (tmp_path / "MotionCorr/motion").symlink_to("/no/disk/here")
    with pytest.raises(CryosnakeError, match="exists where the alias link of MotionCorr/job002/ belongs"):
        make_alias_link(tmp_path, MOTION)


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_disk_without_symbolic_links_is_named(tmp_path: Path, monkeypatch, capsys, number: int) -> None:
    def refuse(path: Path, target: str) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "symlink_to", refuse)
    make_alias_link(tmp_path, MOTION)
    assert "this file system has no symbolic links" in capsys.readouterr().err
    assert list((tmp_path / "MotionCorr").iterdir()) == []


@pytest.mark.data
def test_real_job_stars(real_data: Path) -> None:
    job = read_job_star(real_data / "relion50_project_bgal" / "MotionCorr" / "job002" / "job.star")
    assert (job.type_id, job.type_label, job.options["gain_rot"]) == (1, "relion.motioncorr.own", "No rotation (0)")
    assert len(job.options) == 32 and job.options["dose_per_frame"] == "1.277"


def test_job_pipeline_holds_the_job_and_its_surroundings(tmp_path: Path) -> None:
    write_job_pipeline(tmp_path / "job_pipeline.star", two_jobs(), MOTION.name)
    part = read_pipeline(tmp_path / "job_pipeline.star")
    assert part.processes == {MOTION.name: MOTION}
    assert set(part.nodes.values()) == {MOVIES, MICROGRAPHS}
    assert part.input_edges == ((MOVIES.name, MOTION.name),)
    assert part.output_edges == ((MOTION.name, MICROGRAPHS.name),)


def test_output_nodes(tmp_path: Path) -> None:
    path = tmp_path / "RELION_OUTPUT_NODES.star"
    assert read_output_nodes(path) == []
    write_output_nodes(path, [MOVIES, MICROGRAPHS])
    assert read_output_nodes(path) == [MOVIES, MICROGRAPHS]


def test_exit_files(tmp_path: Path) -> None:
    assert exit_of(tmp_path) is None
    for kind in (Status.ABORTED, Status.SUCCEEDED, Status.FAILED):
        (tmp_path / "RELION_JOB_ABORT_NOW").touch()
        assert abort_requested(tmp_path)
        set_exit(tmp_path, kind)
        assert exit_of(tmp_path) == kind
        assert not abort_requested(tmp_path)
        assert len(list(tmp_path.iterdir())) == 1
    assert (tmp_path / "RELION_JOB_EXIT_FAILURE").exists()
    clear_exit(tmp_path)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(KeyError):
        set_exit(tmp_path, Status.RUNNING)


def test_markers_in_both_dialects(tmp_path: Path) -> None:
    assert marker_paths(MICROGRAPHS, MOTION) == ["1/MotionCorr/motion/corrected_micrographs.star",
                                                 "MicrographGroupMetadata/MotionCorr/motion/corrected_micrographs.star"]
    deep = Node("x.mrc", "DensityMap.mrc.relion.deep", 6, 3)
    assert marker_paths(deep, None) == ["6/x.mrc", "DensityMap/x.mrc", "DensityMap.mrc.relion/x.mrc"]
    assert marker_paths(Node("m.star", "", 8), None) == ["8/m.star"]


def test_markers_follow_the_files(tmp_path: Path) -> None:
    pipeline = two_jobs()
    done = add_process(pipeline, Process("Import/job001/", "", "relion.import.movies", 0, status=Status.SUCCEEDED))

    def markers() -> set[str]:
        return {str(path.relative_to(tmp_path / ".Nodes")) for path in (tmp_path / ".Nodes").rglob("*.star")}

    motion = {"1/MotionCorr/motion/corrected_micrographs.star",
              "MicrographGroupMetadata/MotionCorr/motion/corrected_micrographs.star"}
    movies = {"0/Import/job001/movies.star", "MicrographMovieGroupMetadata/Import/job001/movies.star"}
    write_node_markers(tmp_path, done)
    assert markers() == motion  # Import is over and left no file; MotionCorr is scheduled
    (tmp_path / "Import" / "job001").mkdir(parents=True)
    (tmp_path / MOVIES.name).touch()
    write_node_markers(tmp_path, done, [MOVIES.name])
    assert markers() == motion | movies
    (tmp_path / MOVIES.name).unlink()
    write_node_markers(tmp_path, done)
    assert markers() == motion
    assert not (tmp_path / ".Nodes" / "0").exists()


def test_alias_links(tmp_path: Path) -> None:
    for number in (2, 3):
        (tmp_path / "MotionCorr" / f"job00{number}").mkdir(parents=True)
    link = tmp_path / "MotionCorr" / "motion"
    make_alias_link(tmp_path, MOTION)
    assert str(link.readlink()) == "../MotionCorr/job002"
    assert link.resolve() == tmp_path / "MotionCorr" / "job002"
    make_alias_link(tmp_path, MOTION)
    make_alias_link(tmp_path, Process("MotionCorr/job003/", "MotionCorr/motion/"))
    assert link.resolve() == tmp_path / "MotionCorr" / "job003"
    make_alias_link(tmp_path, Process("MotionCorr/job003/"))
    remove_alias_link(tmp_path, "MotionCorr/motion/")
    assert sorted(path.name for path in (tmp_path / "MotionCorr").iterdir()) == ["job002", "job003"]
    link.mkdir()
    with pytest.raises(CryosnakeError, match="exists where the alias link of MotionCorr/job002/ belongs"):
        make_alias_link(tmp_path, MOTION)
    remove_alias_link(tmp_path, "MotionCorr/motion/")
    assert link.exists()  # only links are removed


@pytest.mark.data
def test_note_has_relions_form(tmp_path: Path, real_data: Path) -> None:
    theirs = (real_data / "relion50_project_bgal" / "MotionCorr" / "job002" / "note.txt").read_text()
    command = theirs.splitlines()[3]
    append_note(tmp_path, command, time.mktime((2024, 8, 30, 0, 27, 39, 0, 0, -1)))
    assert (tmp_path / "note.txt").read_text() == theirs
    append_note(tmp_path, "again")
    assert (tmp_path / "note.txt").read_text().startswith(theirs + "\n ++++ Executing new job on ")


def test_backup(tmp_path: Path) -> None:
    write_pipeline(tmp_path / PIPELINE_FILE, two_jobs())
    (tmp_path / "MotionCorr" / "job002").mkdir(parents=True)
    back_up(tmp_path, MOTION.name)
    assert read_pipeline(tmp_path / MOTION.name / PIPELINE_FILE) == two_jobs()
