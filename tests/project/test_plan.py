"""The plan: numbers, identity, batches, revisions; and that planning writes nothing."""

from __future__ import annotations

import copy
import os
import time
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_history import particles

from cryosnake.cli import main
from cryosnake.errors import CryosnakeError
from cryosnake.io.mrc import write_mrc
from cryosnake.pipeline.files import read_pipeline
from cryosnake.pipeline.markers import set_exit
from cryosnake.pipeline.model import Status
from cryosnake.project.config.config import parse_config
from cryosnake.project.planning import rule_values as lookup
from cryosnake.project.planning.plan import make_plan
from cryosnake.project.planning.planned import Disposition, Plan
from cryosnake.project.planning.unfinished import empty_outputs
from cryosnake.project.records.batches import batch_star, done_file
from cryosnake.project.records.file_stamps import signed_stamp
from cryosnake.project.records.record import JobRecord, same_job
from cryosnake.project.records.taken_inputs import taken_inputs
from cryosnake.project.run.commit import commit

RAW: dict[str, Any] = {
    "microscope": {"voltage": 300, "spherical_aberration": 2.7, "pixel_size": 1.0, "dose_per_frame": 1.2},
    "batch_size": 2,
    "jobs": {
        "movies": {"type": "import", "movies": "Movies/*.mrcs"},
        "motion": {"type": "motioncorr", "movies": "movies"},
        "ctf": {"type": "ctffind", "micrographs": "motion"},
    },
}


def add_movies(*numbers: int) -> None:
    Path("Movies").mkdir(exist_ok=True)
    for number in numbers:
        path = Path(f"Movies/m{number:02d}.mrcs")
        write_mrc(path, np.zeros((2, 8, 8), np.float32), 1.0, stack=True)
        os.utime(path, (time.time() - 60,) * 2)


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    add_movies(1, 2, 3)
    return tmp_path


def plan_of(raw: dict[str, Any] = RAW) -> Plan:
    return make_plan(parse_config(raw))


def with_job(name: str, **changes: Any) -> dict[str, Any]:
    raw = copy.deepcopy(RAW)
    raw["jobs"][name].update(changes)
    return raw


def finish(plan: Plan, name: str) -> None:
    """Pretend that all batches of a job are done, with every product."""
    job = plan.jobs[name]
    movies = plan.jobs[job.stream].movies
    for number, key in job.batches.items():
        lines = []
        for movie in movies[number]:
            for product in job.config.type.products:
                file = Path(product.replace("{root}", f"{job.path}/{os.path.splitext(movie)[0]}"))
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text("x")
            lines.append(f"{movie}\t{signed_stamp(movie)}\tok\t\n")
        Path(done_file(job.path, number)).write_text("".join(lines))
        Path(batch_star(job.path, key)).write_text("x")


def finish_all(plan: Plan, besides: Collection[str] = ()) -> None:
    """Leave all results of a plan's jobs, as if they had succeeded; of `besides` nothing."""
    for name, job in plan.jobs.items():
        if name in besides:
            continue
        if job.batches:
            finish(plan, name)
        for file in job.files():
            Path(file).write_text(particles(20))
        if not job.config.type.per_micrograph:
            taken_inputs(Path(job.path), {slot: Path(source.path) for slot, source in job.inputs.items()})
        set_exit(job.path, Status.SUCCEEDED)


def files(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(p): (p.lstat().st_size, p.lstat().st_mtime_ns) for p in folder.rglob("*")}


def test_numbers_follow_the_order_of_the_chain_and_nothing_is_written(project) -> None:
    before = files(project)
    plan = plan_of()
    assert [job.path for job in plan.jobs.values()] == ["Import/job001", "MotionCorr/job002", "CtfFind/job003"]
    assert plan.jobs["movies"].movies == {1: ["Movies/m01.mrcs", "Movies/m02.mrcs"], 2: ["Movies/m03.mrcs"]}
    assert plan.jobs["ctf"].batches == {1: "0001", 2: "0002"}
    assert files(project) == before


def test_batches_stream_from_step_to_step(project) -> None:
    plan = plan_of()
    assert lookup.batch_inputs(plan, "CtfFind/job003", "0002") == ["MotionCorr/job002/batches/0002.star"]
    assert "--micrographs MotionCorr/job002/batches/0002.star" in lookup.arguments(plan, "CtfFind/job003", "0002")
    assert lookup.batch_stars(plan, "MotionCorr/job002") == ["MotionCorr/job002/batches/0001.star",
                                                            "MotionCorr/job002/batches/0002.star"]
    assert "CtfFind/job003/micrographs_ctf.star" in lookup.targets(plan)


def test_pictures_are_asked_for_but_not_where_the_config_says_so_or_results_may_be_missing(project) -> None:
    motion, ctf = "MotionCorr/job002/accumulated_motion.png", "CtfFind/job003/ctf.png"
    plan = plan_of()
    assert [file for file in lookup.targets(plan) if file.endswith(".png")] == [motion, ctf]
    assert not [file for job in plan.jobs.values() for file in lookup.asked(plan, job) if file.endswith(".png")]
    assert not [file for file in lookup.targets(plan_of({**RAW, "pictures": False})) if file.endswith(".png")]
    for disposition in Disposition:
        drawn = lookup.pictures(plan, replace(plan.jobs["ctf"], disposition=disposition))
        assert drawn == ([ctf] if disposition.name in ("ALL", "BELOW_GROWTH", "INPUTS_CLEARED") else [])


def test_pictures_of_a_job_follow_its_parameters(project) -> None:
    Path("particles.star").touch()
    job = {"type": "class2d", "particles": "particles.star", "particle_diameter": 100}
    select = {"type": "select", "particles": "classes", "model": "classes"}
    raw = {"jobs": {"classes": job, "quiet": {**job, "classes": 3, "pictures": False},
                    "by_number": {**select, "classes": [1]}, "by_score": {**select, "minimum_score": 0.5}}}
    plan = plan_of(raw)
    assert {name: lookup.pictures(plan, job) for name, job in plan.jobs.items()} == {
        "classes": ["Class2D/job001/class_averages.png"], "quiet": [], "by_number": [],
        "by_score": ["Select/job004/class_selection.png"]}


def test_outputs_by_name(project) -> None:
    Path("particles.star").touch()
    Path("map.mrc").touch()
    job = {"type": "class3d", "particles": "particles.star", "reference": "map.mrc", "particle_diameter": 100}
    classes = plan_of({"jobs": {"classes": {**job, "classes": 2}}}).jobs["classes"]
    assert lookup.out(classes, "class{number}") == [f"Class3D/job001/run_it025_class00{n}.mrc" for n in (1, 2)]
    assert lookup.out(classes, "model") == ["Class3D/job001/run_it025_model.star"]
    movies = plan_of().jobs["movies"]
    assert lookup.out(movies, "movies") == ["Import/job001/movies.star"] and lookup.out(movies, "micrographs") == []


def test_commit_registers_everything_once(project) -> None:
    commit(plan_of())
    pipeline = read_pipeline("default_pipeline.star")
    assert list(pipeline.processes) == ["Import/job001/", "MotionCorr/job002/", "CtfFind/job003/"]
    assert pipeline.counter == 4
    assert ("MotionCorr/job002/corrected_micrographs.star", "CtfFind/job003/") in pipeline.input_edges
    assert os.readlink("CtfFind/ctf") == "../CtfFind/job003/"
    before = files(project)
    plan = plan_of()
    assert not any(job.new for job in plan.jobs.values())
    commit(plan)
    changed = {name for name, stamp in files(project).items() if before.get(name) != stamp}
    assert not {name for name in changed if not name.endswith((".Nodes", ".relion_lock", str(project)))}


def test_a_changed_parameter_makes_a_new_job_and_only_its_branch_follows(project) -> None:
    commit(plan_of())
    plan = plan_of(with_job("motion", patches=[3, 3]))
    assert [job.path for job in plan.jobs.values()] == ["Import/job001", "MotionCorr/job004", "CtfFind/job005"]
    commit(plan)
    pipeline = read_pipeline("default_pipeline.star")
    assert pipeline.processes["MotionCorr/job002/"].alias == ""
    assert pipeline.processes["MotionCorr/job004/"].alias == "MotionCorr/motion/"
    assert os.readlink("MotionCorr/motion") == "../MotionCorr/job004/"
    # and back again: the first job is still there
    assert [job.path for job in plan_of().jobs.values()] == ["Import/job001", "MotionCorr/job002", "CtfFind/job003"]


def test_options_that_change_speed_only_make_no_new_job(project) -> None:
    commit(plan_of())
    assert plan_of(with_job("motion", device="cpu")).jobs["motion"].path == "MotionCorr/job002"


def test_an_upgrade_with_another_default_makes_no_job_stale(project) -> None:
    motion = plan_of().jobs["motion"].config
    record = JobRecord(type="motioncorr", name="motion", stated={"dose_per_frame": 1.2}, version="0.0", created=0.0,
                       parameters={**motion.parameters(), "patches": [7, 7]},
                       inputs={"movies": "Import/job001:movies"})
    inputs = {"movies": "Import/job001:movies"}
    assert same_job(record, motion.type, motion.stated, inputs)
    assert not same_job(record, motion.type, {**motion.stated, "patches": [5, 5]}, inputs)
    assert same_job(record, motion.type, {**motion.stated, "patches": [7, 7]}, inputs)


def test_the_counter_of_relion_is_respected(project) -> None:
    commit(plan_of())
    text = Path("default_pipeline.star").read_text().replace("JobCounter                    4",
                                                             "JobCounter                    9")
    Path("default_pipeline.star").write_text(text)
    assert plan_of(with_job("ctf", box=256)).jobs["ctf"].path == "CtfFind/job009"


def test_a_number_taken_meanwhile_is_refused(project) -> None:
    commit(plan_of())
    late = plan_of(with_job("ctf", box=256))
    commit(plan_of(with_job("ctf", box=384)))
    with pytest.raises(CryosnakeError, match="another program took"):
        commit(late)


def test_new_movies_open_a_new_batch_and_old_ones_never_change(project) -> None:
    commit(plan_of())
    add_movies(4, 5, 0)
    assert plan_of().jobs["movies"].movies == {
        1: ["Movies/m01.mrcs", "Movies/m02.mrcs"], 2: ["Movies/m03.mrcs"],
        3: ["Movies/m00.mrcs", "Movies/m04.mrcs"], 4: ["Movies/m05.mrcs"]}


def test_a_missing_product_gives_its_batch_a_new_revision(project) -> None:
    plan = plan_of()
    commit(plan)
    for name in plan.jobs:
        finish(plan, name)
    assert plan_of().jobs["motion"].batches == {1: "0001", 2: "0002"}
    Path("MotionCorr/job002/Movies/m03.star").unlink()
    for _ in range(2):
        again = plan_of()
        assert again.jobs["motion"].batches == {1: "0001", 2: "0002.r2"}
        assert lookup.batch_inputs(again, "CtfFind/job003", "0002") == ["MotionCorr/job002/batches/0002.r2.star"]
    finish(plan_of(), "motion")
    assert plan_of().jobs["motion"].batches == {1: "0001", 2: "0002.r2"}
    Path("MotionCorr/job002/Movies/m03.star").unlink()  # the same one a second time
    assert plan_of().jobs["motion"].batches == {1: "0001", 2: "0002.r3"}


@pytest.mark.parametrize("change", [
    lambda: write_mrc(Path("Movies/m03.mrcs"), np.ones((2, 8, 8), np.float32), 1.0, stack=True),
    lambda: Path("MotionCorr/job002/Movies/m03.mrc").unlink(),
    lambda: Path("MotionCorr/job002/batches/0002.star").write_text("")])
def test_what_is_made_from_a_revision_is_one_too_and_what_was_made_before_stays(project, change) -> None:
    raw = with_job("ctf")
    raw["jobs"]["picks"] = {"type": "autopick", "micrographs": "ctf", "method": "log", "diameter": [100, 150]}
    plan = plan_of(raw)
    commit(plan)
    finish_all(plan)
    change()
    for name in plan.jobs:
        again = plan_of(raw)
        assert again.jobs["picks"].batches[2] == again.jobs["ctf"].batches[2] == "0002.r2"
        finish(again, name)
    assert plan_of(raw).jobs["picks"].batches[2] == "0002.r2"
    assert all(Path(batch_star(job.path, "0002")).exists() for job in plan.jobs.values())


def test_a_revision_that_was_cut_short_is_planned_again(project) -> None:
    plan = plan_of()
    commit(plan)
    finish(plan, "motion")
    done = done_file("MotionCorr/job002", 2)
    os.utime(done, (time.time() + 5,) * 2)  # recorded after the batch's STAR: its program died before it wrote another
    assert plan_of().jobs["motion"].batches == {1: "0001", 2: "0002.r2"}


def test_a_replaced_movie_is_imported_again(project) -> None:
    plan = plan_of()
    commit(plan)
    finish(plan, "movies")
    os.utime("Movies/m02.mrcs", (time.time() - 30,) * 2)  # as in a copy of the project
    assert plan_of().jobs["movies"].batches == {1: "0001", 2: "0002"}
    write_mrc(Path("Movies/m02.mrcs"), np.ones((2, 8, 8), np.float32), 1.0, stack=True)  # of the same size
    assert plan_of().jobs["movies"].batches == {1: "0001.r2", 2: "0002"}
    Path("Movies/m02.mrcs").unlink()  # archived after processing: no reason to do anything
    assert plan_of().jobs["movies"].batches == {1: "0001", 2: "0002"}


def test_movies_that_are_not_complete_wait(project) -> None:
    data = Path("Movies/m01.mrcs").read_bytes()
    Path("Movies/m09.mrcs").write_bytes(data[:-10])
    os.utime("Movies/m09.mrcs", (time.time() - 60,) * 2)
    Path("Movies/m08.mrcs").write_bytes(data)  # just written
    Path("Movies/m07.mrcs.part").write_bytes(data)
    plan = plan_of()
    assert sum(len(names) for names in plan.jobs["movies"].movies.values()) == 3
    assert [name for name, _ in plan.waiting] == ["Movies/m08.mrcs", "Movies/m09.mrcs"]


def cut_off(*numbers: int) -> None:
    add_movies(*numbers)
    for number in numbers:
        path = Path(f"Movies/m{number:02d}.mrcs")
        path.write_bytes(path.read_bytes()[:-10])
        os.utime(path, (time.time() - 60,) * 2)


def test_movies_that_are_left_out_are_counted_and_listed(project, capsys) -> None:
    cut_off(8, 9)
    commit(plan_of())
    listed = Path("Import/job001/not_imported.tsv").read_text().splitlines()
    assert [line.partition("\t")[0] for line in listed] == ["Movies/m08.mrcs", "Movies/m09.mrcs"]
    assert all("bytes" in line for line in listed)
    for words in (["status"], ["show", "movies"]):
        assert main(words) == 0
        said = capsys.readouterr().out
        assert "2 not imported into Import/job001" in said and "Movies/m09.mrcs: it" in said
    for name in (b"Movies/caf\xe9.mrcs", b"Movies/a\tb.mrcs"):  # not UTF-8; a tab
        os.link(b"Movies/m09.mrcs", name)
        assert main(["status"]) == 0 and "3 not imported" in capsys.readouterr().out
        commit(plan_of())
        assert len(Path("Import/job001/not_imported.tsv").read_text().splitlines()) == 3
        os.unlink(name)
    add_movies(8)  # copied again
    assert main(["status"]) == 0 and "Movies/m08.mrcs: " not in capsys.readouterr().out
    Path("Movies/m09.mrcs").unlink()
    commit(plan_of())
    assert not Path("Import/job001/not_imported.tsv").exists()
    assert main(["status"]) == 0 and "not imported" not in capsys.readouterr().out


def test_reasons_are_given_when_no_movie_is_complete(project) -> None:
    cut_off(*range(1, 13))
    with pytest.raises(CryosnakeError, match=r"(?s)no complete file.*Movies/m01\.mrcs: it.*Movies/m10\.mrcs: it.*and 2 "
                                             "more"):
        plan_of()


def test_movies_that_would_share_their_products_are_told_apart(project) -> None:
    Path("Movies/m01.0.mrcs").write_bytes(Path("Movies/m01.mrcs").read_bytes())
    Path("Movies/m01_0.mrcs").write_bytes(Path("Movies/m01.mrcs").read_bytes())
    for name in ("Movies/m01.0.mrcs", "Movies/m01_0.mrcs"):
        os.utime(name, (time.time() - 60,) * 2)
    plan = plan_of()
    assert plan.waiting == (("Movies/m01_0.mrcs", "would get the same products as Movies/m01.0.mrcs; rename one of "
                             "them"),)


def test_a_pattern_that_matches_nothing_is_explained(project) -> None:
    with pytest.raises(CryosnakeError, match=r"job movies: no complete file matches 'Moviez/\*'"):
        plan_of(with_job("movies", movies="Moviez/*"))
    with pytest.raises(CryosnakeError, match="leaves the project"):
        plan_of(with_job("movies", movies="../*.mrcs"))


def test_a_file_that_is_not_there_is_named(project) -> None:
    with pytest.raises(CryosnakeError, match=r"jobs\.ctf\.micrographs: the file old/micrographs\.star does not exist"):
        plan_of(with_job("ctf", micrographs="old/micrographs.star"))


def test_two_jobs_that_are_the_same_are_refused(project) -> None:
    commit(plan_of())
    raw = copy.deepcopy(RAW)
    raw["jobs"]["ctf2"] = dict(raw["jobs"]["ctf"])
    with pytest.raises(CryosnakeError, match="'ctf' and 'ctf2' are the same"):
        plan_of(raw)


def test_a_damaged_record_is_named(project) -> None:
    commit(plan_of())
    Path("CtfFind/job003/cryosnake.json").write_text('{"type": ')
    with pytest.raises(CryosnakeError, match=r"CtfFind/job003/cryosnake\.json is damaged"):
        plan_of()


def test_a_project_that_cannot_be_written_is_explained(project, monkeypatch) -> None:
    plan = plan_of()

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", "Import")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(CryosnakeError, match="Import: the project can't be written"):
        commit(plan)


def test_two_new_jobs_that_are_the_same_are_refused(project) -> None:
    raw = copy.deepcopy(RAW)
    for name, job in (("ctf2", {"type": "ctffind", "micrographs": "motion"}),
                      ("movies2", {"type": "import", "movies": "Movies/*.mrcs"}),
                      ("motion2", {"type": "motioncorr", "movies": "movies", "device": "cpu"})):  # not part of identity
        raw["jobs"] = {**copy.deepcopy(RAW["jobs"]), name: job}
        with pytest.raises(CryosnakeError, match=f"'{name[:-1]}' and '{name}' are the same job"):
            plan_of(raw)
        assert not Path("MotionCorr").exists()
    raw["jobs"]["motion2"]["patches"] = [3, 3]
    assert len({job.path for job in plan_of(raw).jobs.values()}) == 4


@pytest.mark.parametrize("whole_type", [False, True])
def test_a_job_on_another_disk_stays_that_job(project, whole_type: bool) -> None:
    commit(plan_of())
    disk = project.parent / f"disk{whole_type}"
    disk.mkdir()
    what = "CtfFind" if whole_type else "CtfFind/job003"
    os.rename(what, disk / "moved")
    os.symlink(disk / "moved", what)
    ctf = plan_of().jobs["ctf"]
    assert (ctf.path, ctf.new) == ("CtfFind/job003", False)
    os.rename(disk / "moved", disk / "unmounted")
    with pytest.raises(CryosnakeError, match=r"jobs.ctf: .*CtfFind.* does not exist[;:] mount its disk"):
        plan_of()
    os.unlink(what)
    assert plan_of().jobs["ctf"].path == "CtfFind/job004"


def test_no_job_is_made_in_another_project(project) -> None:
    theirs = project.parent / "theirs_of_plan"
    (theirs / "CtfFind").mkdir(parents=True)
    (theirs / "default_pipeline.star").touch()
    os.symlink(theirs / "CtfFind", "CtfFind")
    with pytest.raises(CryosnakeError, match=r"the folder CtfFind is a link to .* belongs to another project"):
        plan_of()


@pytest.mark.parametrize("folder", ["Movies/job123", "raw/job0456", "CtfFind.old/job777"])
def test_a_folder_of_movies_takes_no_job_number(project, folder: str) -> None:
    Path(folder).mkdir(parents=True)
    commit(plan_of())
    assert sorted(read_pipeline("default_pipeline.star").processes) == [
        "CtfFind/job003/", "Import/job001/", "MotionCorr/job002/"]


def test_numbers_of_deleted_jobs_are_not_used_again_without_a_pipeline_file(project) -> None:
    Path("Trash/CtfFind/job041").mkdir(parents=True)
    commit(plan_of())
    assert read_pipeline("default_pipeline.star").counter == 45


def test_nothing_is_written_where_something_is_in_the_place_of_an_alias(project) -> None:
    Path("CtfFind/ctf").mkdir(parents=True)
    with pytest.raises(CryosnakeError, match="CtfFind/ctf: exists where the alias link of CtfFind/job003 belongs"):
        commit(plan_of())
    assert not Path("Import").exists() and not Path("default_pipeline.star").exists()


def test_an_empty_batch_star_is_made_again(project) -> None:
    plan = plan_of()
    commit(plan)
    for name in ("movies", "motion"):
        finish(plan, name)
    Path(batch_star(plan.jobs["motion"].path, "0001")).write_text("")
    again = plan_of().jobs["motion"].batches
    assert again == {1: "0001.r2", 2: "0002"}


def test_empty_outputs_are_named(project) -> None:
    plan = plan_of()
    commit(plan)
    outputs = plan.jobs["motion"].files()
    for file in outputs:
        Path(file).write_text("x")
    assert empty_outputs(plan_of()) == []
    Path(outputs[0]).write_text("")
    assert empty_outputs(plan_of()) == [outputs[0]]
