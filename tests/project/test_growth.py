"""Growth of a finished job is a new number: plans and records, with programs that write their files and no more."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cryosnake.io.mrc import write_mrc
from cryosnake.io.star_rows import count_rows
from cryosnake.pipeline.files import read_pipeline
from cryosnake.pipeline.markers import set_exit
from cryosnake.pipeline.model import Status
from cryosnake.project.building.stale_outputs import pending_files
from cryosnake.project.config.config import parse_config
from cryosnake.project.locks.job_status import set_job_status, set_succeeded
from cryosnake.project.planning.growth import COUNTS
from cryosnake.project.planning.plan import make_plan
from cryosnake.project.planning.planned import Disposition, Plan, PlannedJob
from cryosnake.project.records.batches import batch_star, done_file
from cryosnake.project.records.joined_tables import JOINED, record_joined, write_joined
from cryosnake.project.records.record import read_record
from cryosnake.project.records.taken_inputs import taken_inputs
from cryosnake.project.run.commit import commit

ROWS = 10  # of a micrograph
RAW: dict[str, Any] = {
    "microscope": {"voltage": 300, "spherical_aberration": 2.7, "pixel_size": 1.0, "dose_per_frame": 1.2},
    "batch_size": 2, "pictures": False,
    "jobs": {
        "movies": {"type": "import", "movies": "Movies/*.mrcs", "settling_time": 0},
        "motion": {"type": "motioncorr", "movies": "movies"},
        "picks": {"type": "autopick", "micrographs": "motion", "method": "log", "diameter": [90, 90]},
        "cut": {"type": "extract", "micrographs": "motion", "coordinates": "picks", "box_size": 8},
        "classes": {"type": "class2d", "particles": "cut", "particle_diameter": 9, "classes": 2, "iterations": 2},
        "good": {"type": "select", "particles": "classes", "minimum_score": 0.5, "model": "classes"}},
}
TABLE = "Extract/job004/particles.star"


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("cryosnake.project.records.freshness.product_files", lambda *_: [])
    Path("Movies").mkdir()
    arrive(1, 2)
    return tmp_path


def arrive(*numbers: int) -> None:
    for number in numbers:
        write_mrc(Path(f"Movies/m{number:02d}.mrcs"), np.zeros((2, 8, 8), np.float32), 1.0, stack=True)


def raw_with(**jobs: dict[str, Any]) -> dict[str, Any]:
    raw = copy.deepcopy(RAW)
    for name, changes in jobs.items():
        raw["jobs"].setdefault(name, {}).update(changes)
    return raw


def plan_of(raw: dict[str, Any] = RAW, **more: Any) -> Plan:
    return make_plan(parse_config({**raw, **more}))


def run(raw: dict[str, Any] = RAW, *, killed: str = "", **more: Any) -> Plan:
    """Make what is planned, as Snakemake would; the program of the job `killed` starts and does not end."""
    plan = plan_of(raw, **more)
    commit(plan)
    for job in plan.own:
        if job.disposition in (Disposition.HELD, Disposition.BELOW_GROWTH):
            continue
        if job.config.type.per_micrograph:
            _join(job, plan)
        elif not _work(job, job.name == killed):
            return plan
    return plan


def _join(job: PlannedJob, plan: Plan) -> None:
    for number, key in job.batches.items():
        if not os.path.exists(batch_star(job.path, key)):
            movies = plan.jobs["movies"].movies[number]
            Path(batch_star(job.path, key)).write_text(table_of(movies))
            Path(done_file(job.path, number)).write_text("")
            os.utime(done_file(job.path, number), ns=(1, 1))
    table = job.files()[0]
    write_joined(Path(table), "particles", [batch_star(job.path, key) for _, key in sorted(job.batches.items())])
    record_joined(table, [key for _, key in sorted(job.batches.items())])
    for file in job.files()[1:]:
        Path(file).touch()
    end(job)


def _work(job: PlannedJob, killed: bool) -> bool:
    taken = taken_inputs(Path(job.path), {slot: Path(source.path) for slot, source in job.inputs.items()})
    first = next(iter(taken.values()))
    Path(job.path, "read").write_text(str(count_rows(first)))
    if not killed:
        for file in job.files():
            shutil.copy(first, file)
        end(job)
    return not killed


def end(job: PlannedJob) -> None:
    set_exit(job.path, Status.SUCCEEDED)
    set_succeeded(job.path)


def table_of(movies: list[str]) -> str:
    rows = "".join(f"{index}@{movie}\n" for movie in movies for index in range(ROWS))
    return f"data_particles\n\nloop_\n_rlnImageName #1\n{rows}\n"


def checksums(job: str) -> dict[str, str]:
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in Path(job).rglob("*")
            if path.is_file() and path.name not in ("default_pipeline.star", ".cryosnake.lock")}


def paths(plan: Plan) -> list[str]:
    return [job.path for job in plan.jobs.values()][4:]


def test_growth_is_a_new_number_and_what_was_made_stands(project) -> None:
    run()
    before = checksums("Class2D/job005") | checksums("Select/job006")
    assert pending_files(plan_of()) == []
    arrive(3)
    plan = plan_of()
    assert paths(plan) == ["Class2D/job007", "Select/job008"]
    assert (plan.jobs["classes"].supersedes, plan.jobs["classes"].growth) == (
        "Class2D/job005", "20 particles, 1 new batch")
    run()
    assert paths(plan_of()) == ["Class2D/job007", "Select/job008"]
    assert pending_files(plan_of()) == []
    assert Path("Class2D/job007/read").read_text() == "30"
    after = checksums("Class2D/job005") | checksums("Select/job006")
    assert after == before


def test_a_record_says_what_a_job_was_made_from(project) -> None:
    run()
    record = read_record(Path("Class2D/job005"))
    assert record is not None
    taken = record.made_from["particles"]
    assert (taken.path, taken.rows, taken.batches, taken.size) == (TABLE, 20, ("0001",), Path(TABLE).stat().st_size)
    arrive(3)
    run()
    assert read_record(Path("Class2D/job005")) == record
    grown = read_record(Path("Class2D/job007"))
    assert grown is not None
    assert (grown.made_from["particles"].rows, grown.made_from["particles"].batches) == (30, ("0001", "0002"))


def test_the_alias_moves_when_the_new_job_has_succeeded(project) -> None:
    run()
    assert os.readlink("Class2D/classes") == "../Class2D/job005/"
    arrive(3)
    run(killed="classes")
    pipeline = read_pipeline("default_pipeline.star")
    assert pipeline.processes["Class2D/job005/"].alias == "Class2D/classes/"
    assert pipeline.processes["Class2D/job007/"].alias == ""
    assert os.readlink("Select/good") == "../Select/job006/"
    run()
    assert os.readlink("Class2D/classes") == "../Class2D/job007/"
    assert os.readlink("Select/good") == "../Select/job008/"
    assert read_pipeline("default_pipeline.star").processes["Class2D/job005/"].alias == ""


def test_a_killed_job_ends_on_its_rows_and_only_then_growth_is_looked_at(project) -> None:
    run(killed="classes")
    arrive(3, 4)
    time = Path(TABLE).stat().st_mtime_ns
    plan = run()
    assert paths(plan) == ["Class2D/job005", "Select/job006"]
    assert count_rows(TABLE) == 40, "the table itself grew"
    assert Path("Class2D/job005/read").read_text() == "20"
    own = Path("Class2D/job005/.cryosnake_particles.star")
    assert own.stat().st_mtime_ns == time, "iterations made before would be older"
    assert count_rows("Select/job006/particles.star") == 20
    assert paths(plan_of()) == ["Class2D/job007", "Select/job008"]
    assert plan_of().jobs["classes"].growth == "20 particles, 1 new batch"
    run()
    assert Path("Class2D/job007/read").read_text() == "40"


def test_results_that_were_removed_by_hand_are_made_again_from_the_same_rows(project) -> None:
    run()
    made = Path("Class2D/job005/run_it002_data.star").read_bytes()
    Path("Class2D/job005/run_it002_data.star").unlink()
    arrive(3)
    before = checksums("Select/job006")
    plan = run()
    assert paths(plan) == ["Class2D/job005", "Select/job006"]
    assert Path("Class2D/job005/run_it002_data.star").read_bytes() == made
    assert checksums("Select/job006") == before, "the same contents: nothing to make from it"
    assert paths(plan_of()) == ["Class2D/job007", "Select/job008"]


@pytest.mark.parametrize("removed", ["run_it002_data.star", "run_it002_model.star"])
@pytest.mark.parametrize("killed", ["", "classes"])
def test_results_of_a_file_that_is_another_by_now(project, removed, killed) -> None:
    raw = raw_with(classes={"particles": "theirs.star"})
    Path("theirs.star").write_text(table_of(["m01"]))
    run(raw, killed=killed)
    before = checksums("Class2D/job005")
    if not killed:
        Path("Class2D/job005", removed).unlink()
        before.pop(f"Class2D/job005/{removed}")
    Path("theirs.star").write_text(table_of(["m01", "m02"]))
    plan = run(raw, grow=2)
    assert plan.jobs["classes"].path == f"Class2D/job00{5 if killed else 7}", "what has not finished keeps its number"
    assert killed or checksums("Class2D/job005") == before, "what is left stands"
    assert Path(f"Class2D/job00{5 if killed else 7}/read").read_text() == "20"
    assert pending_files(plan_of(raw)) == []


def test_a_job_that_waits_has_no_number(project) -> None:
    raw = raw_with(classes={"at_least": 40})
    plan = run(raw)
    waits = plan.jobs["classes"]
    assert not waits.numbered and not plan.jobs["good"].numbered and waits.disposition is Disposition.HELD
    assert not Path("Class2D").exists() and not Path("Select").exists()
    assert read_pipeline("default_pipeline.star").counter == 5
    arrive(3, 4)
    run(raw)  # the table is joined while it waits
    assert paths(plan_of(raw)) == ["Class2D/job005", "Select/job006"]


def test_a_job_of_another_call_has_no_number_yet(project) -> None:
    plan = run(only="movies,motion,picks,cut")
    assert not plan.jobs["classes"].numbered
    assert sorted(os.listdir("Extract")) == ["cut", "job004"] and not Path("Class2D").exists()
    plan = plan_of(only="classes,good")
    assert paths(plan) == ["Class2D/job005", "Select/job006"]


def test_below_the_factor_a_job_stays_and_a_batch_that_is_not_joined_does_not_count(project) -> None:
    run()
    arrive(3)
    assert plan_of(grow=2).jobs["classes"].disposition is Disposition.BELOW_GROWTH
    run(grow=2)
    assert plan_of(grow=2).jobs["classes"].path == "Class2D/job005"
    assert plan_of(grow=1.5).jobs["classes"].growth == "20 -> 30 particles"
    config = parse_config(RAW)
    arrive(4, 5)
    assert make_plan(config).jobs["classes"].growth == "20 particles, 2 new batches"


def test_a_project_of_before_has_nothing_to_do_until_its_input_grows(project) -> None:
    run()
    for job, rows in (("Class2D/job005", {TABLE: 20}), ("Select/job006", {"Class2D/job005/run_it002_data.star": 20})):
        forget_made_from(job)
        Path(job, COUNTS).write_text(json.dumps(rows))
    Path("Extract/job004", JOINED).unlink()
    assert pending_files(plan_of()) == []
    assert paths(plan_of()) == ["Class2D/job005", "Select/job006"]
    Path("Select/job006", COUNTS).unlink()  # a version that recorded nothing
    assert paths(plan_of()) == ["Class2D/job005", "Select/job006"]
    arrive(3)
    assert plan_of().jobs["classes"].growth == "20 particles, 1 new batch"
    run()
    assert paths(plan_of()) == ["Class2D/job007", "Select/job008"]
    assert pending_files(plan_of()) == []


def forget_made_from(job: str) -> None:
    path = Path(job, "cryosnake.json")
    raw = json.loads(path.read_text())
    del raw["made_from"]
    path.write_text(json.dumps(raw))


def test_a_job_on_a_table_of_before_knows_its_batches(project) -> None:
    run(only="movies,motion,picks,cut")
    Path("Extract/job004", JOINED).unlink()
    run()
    record = read_record(Path("Class2D/job005"))
    assert record is not None and record.made_from["particles"].batches == ("0001",)


def test_times_alone_are_no_growth(project) -> None:
    run()
    for path in Path().glob("*/job*/**/*"):
        if path.is_file():
            os.utime(path)
    os.utime(TABLE)
    assert paths(plan_of()) == ["Class2D/job005", "Select/job006"]
    assert plan_of().jobs["classes"].disposition is Disposition.BELOW_GROWTH


def test_other_contents_of_the_same_length_are(project) -> None:
    run()
    Path(TABLE).write_text(Path(TABLE).read_text().replace("m01", "m91"))
    assert plan_of().jobs["classes"].growth == "20 -> 20 particles"


def test_what_follows_is_said_with_it(project) -> None:
    run()
    arrive(3)
    plan = plan_of()
    assert (plan.jobs["good"].supersedes, plan.jobs["good"].growth) == ("Select/job006", "follows classes")


def test_a_final_job_stays_as_it_is(project) -> None:
    run()
    Path("Class2D/job005/.cryosnake_final").touch()
    before = checksums("Class2D/job005")
    arrive(3)
    run()
    assert checksums("Class2D/job005") == before and Path("Class2D/job007").is_dir()


def test_what_is_marked_as_failed_by_hand_is_not_replaced_either(project) -> None:
    run()
    set_exit("Class2D/job005", Status.FAILED)
    set_job_status("Class2D/job005", Status.FAILED)
    arrive(3)
    assert paths(plan_of()) == ["Class2D/job007", "Select/job008"]


TRAINED = {"type": "autopick", "micrographs": "motion", "method": "trained", "diameter": [90, 90]}


def test_a_picker_that_a_person_picked_for_stays_when_movies_come_and_one_of_particles_follows_them(project) -> None:
    Path("picked.star").write_text("data_coordinate_files\n\nloop_\n_rlnMicrographName #1\nm01.mrc\n")
    trained = {"type": "trainpicker", "diameter": [90, 90]}
    raw = raw_with(person={**trained, "coordinates": "picked.star"}, picks1={**TRAINED, "picker": "person"},
                   kept={**trained, "particles": "good"}, picks2={**TRAINED, "picker": "kept"})
    run(raw)
    names = ("person", "picks1", "kept", "picks2")
    before = {name: plan_of(raw).jobs[name].path for name in names}
    arrive(3)
    now = {name: plan_of(raw).jobs[name] for name in names}
    assert [name for name in names if now[name].path != before[name]] == ["kept", "picks2"]
    assert now["picks1"].batches.keys() > {1}  # new movies, the same picker
    pinned = raw_with(person=raw["jobs"]["person"], picks1=raw["jobs"]["picks1"], kept=raw["jobs"]["kept"],
                      picks2={**TRAINED, "picker": before["kept"]})
    assert plan_of(pinned).jobs["picks2"].path == before["picks2"]
