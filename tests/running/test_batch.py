"""The driver of per-micrograph jobs: what is done, kept, recorded, refused; and the join of the batches."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from cryosnake.errors import CryosnakeError, Rejected
from cryosnake.io.star import read_star, write_star
from cryosnake.jobs.model import MICROGRAPHS, JobType, Output, Parameter, Slot
from cryosnake.pipeline.markers import exit_of
from cryosnake.pipeline.model import Status
from cryosnake.project.actions.retry import retry_failed
from cryosnake.project.records.batches import done_file, read_done
from cryosnake.project.records.freshness import is_stale
from cryosnake.running.run import run_job

JOB = JobType(
    name="fake", folder="CtfFind", relion3=2, label="relion.ctffind", title="Fake", description="A test.",
    inputs=(Slot("micrographs", (MICROGRAPHS,), "Micrographs."),),
    outputs=(Output("micrographs", "out.star", MICROGRAPHS),),
    parameters=(Parameter("max_failed", float, 0.5, "Limit."), Parameter("factor", int, 2, "A factor.", minimum=1)),
    program="fake", per_micrograph=True, products=("{root}.txt",),
)
NAMES = [f"MotionCorr/job002/Movies/m{i}.mrc" for i in range(4)]


class Program(SimpleNamespace):
    """A program that counts its calls and does to each micrograph what `fate` says."""

    def __init__(self) -> None:
        super().__init__(calls=[], fate={}, prepared=0)

    def prepare(self, options: Any, optics: Any, inputs: Any) -> int:
        self.prepared += 1
        return int(options.factor)

    def process(self, row: dict[str, Any], optics: dict[str, Any], state: int, root: Path) -> dict[str, Any]:
        self.calls.append(root.name)
        fate = self.fate.get(root.name)
        if fate is not None:
            raise fate
        root.with_suffix(".txt").write_text("product")
        return {**row, "rlnDefocusU": 1000.5 * state}


@pytest.fixture
def program(tmp_path, monkeypatch) -> Program:
    monkeypatch.chdir(tmp_path)
    found = Program()
    monkeypatch.setattr("cryosnake.running.run.import_module", lambda _: found)
    for name in NAMES:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text("image")
    optics = pd.DataFrame([{"rlnOpticsGroup": 1, "rlnOpticsGroupName": "a", "rlnVoltage": 300.0}])
    for number, names in ((1, NAMES[:3]), (2, NAMES[3:])):
        table = pd.DataFrame({"rlnMicrographName": names, "rlnOpticsGroup": 1})
        write_star(f"in{number}.star", {"optics": optics, "micrographs": table})
    return found


def run(batch: str = "0001", *extra: str) -> int:
    return run_job(JOB, ["--out", "CtfFind/job003", "--micrographs", f"in{int(batch[:4])}.star", "--batch", batch,
                         *extra])


def names_in(star: str) -> list[str]:
    return [Path(name).name for name in read_star(star)["micrographs"]["rlnMicrographName"]]


def test_a_batch_writes_its_star_and_a_second_run_does_nothing(program) -> None:
    assert run() == 0
    table = read_star("CtfFind/job003/batches/0001.star")
    assert list(table["micrographs"]["rlnDefocusU"]) == [2001.0] * 3
    assert table["optics"]["rlnVoltage"][0] == 300.0
    assert run() == 0
    assert program.calls == ["m0", "m1", "m2"]
    assert program.prepared == 1


def test_a_deleted_product_is_made_again_alone(program) -> None:
    run()
    Path("CtfFind/job003/Movies/m1.txt").unlink()
    assert run("0001.r2") == 0
    assert program.calls == ["m0", "m1", "m2", "m1"]
    assert names_in("CtfFind/job003/batches/0001.r2.star") == ["m0.mrc", "m1.mrc", "m2.mrc"]


def test_a_changed_input_is_done_again_alone(program) -> None:
    run()
    Path(NAMES[2]).write_text("another image")
    run()
    assert program.calls == ["m0", "m1", "m2", "m2"]


def test_results_stand_when_their_source_is_archived(program) -> None:
    run()
    Path(NAMES[0]).unlink()
    Path(NAMES[1]).write_text("another image")
    run("0001.r2")
    assert program.calls == ["m0", "m1", "m2", "m1"]
    assert names_in("CtfFind/job003/batches/0001.r2.star") == ["m0.mrc", "m1.mrc", "m2.mrc"]


def test_what_is_left_out_upstream_is_forgotten(program) -> None:
    run()
    shutil.copy("in2.star", "in1.star")
    run("0001.r2")
    assert list(read_done("CtfFind/job003", 1)) == [NAMES[3]]


def test_a_killed_batch_resumes_where_it_was(program) -> None:
    program.fate = {"m2": KeyboardInterrupt()}
    assert run() == 2
    assert exit_of("CtfFind/job003") == Status.ABORTED
    assert not Path("CtfFind/job003/batches/0001.star").exists()
    with open("CtfFind/job003/batches/0001.done", "a") as file:
        file.write("MotionCorr/job002/Movies/m2.mrc\t12:3")  # a line torn by the kill
    with open("CtfFind/job003/batches/0001.rows", "a") as file:
        file.write('["MotionCorr/job002/Movies/m2.mrc", [{"rln')
    program.fate = {}
    assert run() == 0
    assert program.calls == ["m0", "m1", "m2", "m2"]
    assert names_in("CtfFind/job003/batches/0001.star") == ["m0.mrc", "m1.mrc", "m2.mrc"]


def test_a_bad_micrograph_is_recorded_and_not_retried_until_asked(program, capsys) -> None:
    program.fate = {"m1": CryosnakeError("Movies/m1: is cut short"), "m2": Rejected("rings end at 12 Å")}
    assert run() == 0
    assert names_in("CtfFind/job003/batches/0001.star") == ["m0.mrc"]
    done = read_done("CtfFind/job003", 1)
    assert [(i.state, i.reason) for i in done.values()] == [
        ("ok", ""), ("failed", "Movies/m1: is cut short"), ("rejected", "rings end at 12 Å")]
    assert "1 done, 1 failed, 1 rejected" in capsys.readouterr().out
    program.fate = {}
    run()
    assert program.calls == ["m0", "m1", "m2"]
    assert retry_failed("CtfFind/job003") == [NAMES[1]]
    star = "CtfFind/job003/batches/0001.star"
    assert names_in(star) == ["m0.mrc"] and is_stale(star, [done_file("CtfFind/job003", 1)])  # the next revision is due
    run("0001.r2")
    assert program.calls[3:] == ["m1"] and names_in("CtfFind/job003/batches/0001.r2.star") == ["m0.mrc", "m1.mrc"]
    assert retry_failed("CtfFind/job003", rejected=True) == [NAMES[2]]


def test_a_batch_of_which_nothing_is_left_stops_nobody(program) -> None:
    program.fate = {"m3": Rejected("rings end at 12 Å")}
    assert run("0002") == 0
    shutil.copy("CtfFind/job003/batches/0002.star", "in2.star")
    assert run_job(JOB, ["--out", "CtfFind/job004", "--micrographs", "in2.star", "--batch", "0002"]) == 0
    shutil.copy("CtfFind/job004/batches/0002.star", "in2.star")
    assert run_job(JOB, ["--out", "CtfFind/job005", "--micrographs", "in2.star", "--batch", "0002"]) == 0
    assert run("0001") == run("0001", "--join") == 0
    assert names_in("CtfFind/job003/out.star") == ["m0.mrc", "m1.mrc", "m2.mrc"]
    picking = replace(JOB, table="coordinate_files")  # has no optics, but an empty file is no STAR
    assert run_job(picking, ["--out", "CtfFind/job006", "--micrographs", "in2.star", "--batch", "0002"]) == 0
    assert list(read_star("CtfFind/job006/batches/0002.star")) == ["optics"]


def test_an_unexpected_error_of_one_micrograph_leaves_its_traceback(program) -> None:
    program.fate = {"m0": ZeroDivisionError("division by zero")}
    assert run() == 0
    assert "unexpected ZeroDivisionError" in read_done("CtfFind/job003", 1)[NAMES[0]].reason
    assert "Traceback" in Path("CtfFind/job003/run.err").read_text()


def test_a_full_disk_stops_the_job_and_blames_no_micrograph(program, capsys) -> None:
    program.fate = {"m1": OSError(errno.ENOSPC, "No space left on device", "m1.txt")}
    assert run() == 1
    assert "free some space and run the same command" in capsys.readouterr().err
    assert list(read_done("CtfFind/job003", 1)) == NAMES[:1]
    assert exit_of("CtfFind/job003") == Status.FAILED


@pytest.mark.parametrize(("number", "remedy"), [
    (errno.EFBIG, "ulimit -f"), (errno.EMFILE, "ulimit -n"), (errno.ENFILE, "ulimit -n"),
    (errno.ESTALE, "file server"), (errno.EACCES, "permissions"), (errno.EROFS, "read-only"), (errno.EIO, "dmesg")])
@pytest.mark.parametrize("wrapped", [False, True])
def test_what_is_wrong_with_the_machine_is_booked_on_no_micrograph(program, capsys, number, remedy, wrapped) -> None:
    fault = OSError(number, os.strerror(number))
    program.fate = {"m1": fault}
    if wrapped:  # as readers of formats do
        program.fate["m1"] = CryosnakeError("the image cannot be written")
        program.fate["m1"].__context__ = fault
    assert run() == 1
    said = capsys.readouterr().err
    assert remedy in said and f"a file of {NAMES[1]} in CtfFind/job003" in said and "the same command" in said
    assert list(read_done("CtfFind/job003", 1)) == NAMES[:1]
    program.fate = {}
    assert run() == 0 and program.calls == ["m0", "m1", "m1", "m2"]


def test_files_that_may_not_be_read_stop_no_other_and_are_tried_again(program, capsys) -> None:
    program.fate = {"m0": PermissionError(errno.EACCES, "Permission denied", NAMES[0])}
    assert run() == 1
    assert program.calls == ["m0", "m1", "m2"] and list(read_done("CtfFind/job003", 1)) == NAMES[1:3]
    assert f"1 of 3 micrographs may not be read; the first: {NAMES[0]}" in capsys.readouterr().err
    program.fate = {}
    assert run() == 0 and program.calls[3:] == ["m0"]


def test_a_batch_of_which_everything_failed_stops_the_job(program, capsys) -> None:
    program.fate = {f"m{i}": CryosnakeError("gain has another shape") for i in range(4)}
    assert run() == 1
    assert "all 3 micrographs of batch 0001 failed; the first" in capsys.readouterr().err


def test_an_abort_request_is_obeyed(program, monkeypatch) -> None:
    def abort(row: dict[str, Any], optics: Any, state: Any, root: Path) -> dict[str, Any]:
        program.calls.append(root.name)
        root.with_suffix(".txt").write_text("x")
        Path("CtfFind/job003/RELION_JOB_ABORT_NOW").touch()
        return row

    monkeypatch.setattr("cryosnake.running.progress.CHECK_EVERY", 0.0)
    program.process = abort
    assert run() == 2
    assert program.calls == ["m0"]
    assert not Path("CtfFind/job003/RELION_JOB_ABORT_NOW").exists()


def test_an_abort_request_stays_for_the_other_batches_that_are_at_work(program, monkeypatch) -> None:
    done = program.process
    request = Path("CtfFind/job003/RELION_JOB_ABORT_NOW")

    def abort(row: dict[str, Any], optics: Any, state: Any, root: Path) -> dict[str, Any]:
        request.touch()
        return done(row, optics, state, root)

    monkeypatch.setattr("cryosnake.running.progress.CHECK_EVERY", 0.0)
    program.process = abort
    Path("CtfFind/job003/batches").mkdir(parents=True)
    with open("CtfFind/job003/batches/0002.lock", "w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert run() == 2
        assert request.exists()
        assert run() == 2 and program.calls == ["m0"]  # a batch that starts now stops as well
    program.process = done
    assert run() == 0  # nobody else works any more: the request is an old one
    assert not request.exists()


def test_an_abort_request_older_than_all_that_works_is_nobodys(program) -> None:
    Path("CtfFind/job003/batches").mkdir(parents=True)
    request = Path("CtfFind/job003/RELION_JOB_ABORT_NOW")
    request.touch()
    os.utime(request, (1, 1))
    with open("CtfFind/job003/batches/0002.lock", "w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert run() == 0
    assert not request.exists()


def test_batches_are_joined_in_order(program) -> None:
    run("0002")
    run("0001")
    assert run("0001", "--join") == 0
    assert names_in("CtfFind/job003/out.star") == ["m0.mrc", "m1.mrc", "m2.mrc", "m3.mrc"]
    assert exit_of("CtfFind/job003") == Status.SUCCEEDED
    assert Path("CtfFind/job003/RELION_OUTPUT_NODES.star").exists()


def test_the_newest_revision_of_a_batch_counts(program) -> None:
    run()
    program.fate = {"m1": CryosnakeError("broken now")}
    Path(NAMES[1]).write_text("another image")
    run("0001.r2")
    run("0001", "--join")
    assert names_in("CtfFind/job003/out.star") == ["m0.mrc", "m2.mrc"]
    left_out = read_star("CtfFind/job003/failed_micrographs.star")["left_out"]
    assert list(left_out["csnReason"]) == ["broken now"]


def test_too_many_failures_fail_the_join(program, capsys) -> None:
    program.fate = {"m0": CryosnakeError("bad"), "m1": CryosnakeError("bad")}
    run()
    assert run("0001", "--join") == 1
    assert "2 of 3 micrographs failed, more than max_failed = 0.5" in capsys.readouterr().err
    assert run("0001", "--join", "--max_failed", "0.9") == 0


@pytest.mark.parametrize(("table", "words"), [
    ({"rlnMicrographName": NAMES[:1], "rlnOpticsGroup": [2]}, "optics group 2"),
    ({"rlnSomething": [1], "rlnOpticsGroup": [1]}, "no column rlnMicrographMovieName or rlnMicrographName"),
])
def test_an_input_that_names_no_micrographs_is_refused(program, capsys, table, words) -> None:
    write_star("in1.star", {"optics": pd.DataFrame([{"rlnOpticsGroup": 1}]), "micrographs": pd.DataFrame(table)})
    assert run() == 1
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(("label", "found", "problem"), [
    ("rlnVoltage", "None", "not a number"), ("rlnVoltage", 300000.0, "not between"), ("rlnVoltage", 0.0, "not between"),
    ("rlnAmplitudeContrast", 2.0, "not between 0 and 1"), ("rlnMicrographPixelSize", "1,05", "not a number"),
    ("rlnSphericalAberration", -1.0, "not between"), ("rlnOpticsGroup", "og2", "not a number"),
])
def test_optics_without_sensible_numbers_are_refused_for_every_program(program, capsys, label, found, problem) -> None:
    optics = [{"rlnOpticsGroup": 1, "rlnVoltage": 300.0, label: 1}, {"rlnOpticsGroup": 2, "rlnVoltage": 200.0}]
    optics[0] = {**optics[0], label: {"rlnVoltage": 300.0}.get(label, 1)}
    optics[1] = {**optics[1], label: found}
    table = pd.DataFrame({"rlnMicrographName": NAMES[:2], "rlnOpticsGroup": [1, 2]})
    write_star("in1.star", {"optics": pd.DataFrame(optics), "micrographs": table})
    assert run() == 1
    said = capsys.readouterr().err
    assert f"in1.star: {label} is {problem}" in said and "row 2 of data_optics" in said


def test_optics_groups_that_nothing_belongs_to_are_not_judged(program) -> None:
    optics = pd.DataFrame([{"rlnOpticsGroup": 1, "rlnVoltage": 300.0}, {"rlnOpticsGroup": 2, "rlnVoltage": "None"}])
    table = pd.DataFrame({"rlnMicrographName": NAMES[:2], "rlnOpticsGroup": ["1", "1.0"]})
    write_star("in1.star", {"optics": optics, "micrographs": table})
    assert run() == 0
    assert list(read_star("CtfFind/job003/batches/0001.star")["micrographs"]["rlnOpticsGroup"]) == [1, 1]


@pytest.mark.parametrize("group", [9, "None", "1.5"])
def test_a_micrograph_of_an_optics_group_that_is_not_described_fails_alone(program, group: object) -> None:
    optics = pd.DataFrame([{"rlnOpticsGroup": 1, "rlnVoltage": 300.0}])
    table = pd.DataFrame({"rlnMicrographName": NAMES[:3], "rlnOpticsGroup": [1, group, 1]})
    write_star("in1.star", {"optics": optics, "micrographs": table})
    assert run() == 0
    assert names_in("CtfFind/job003/batches/0001.star") == ["m0.mrc", "m2.mrc"]
    item = read_done("CtfFind/job003", 1)[NAMES[1]]
    assert item.state == "failed" and f"optics group {group}, which data_optics does not describe" in item.reason


def test_a_folder_that_cannot_be_made_is_named(program, capsys) -> None:
    Path("CtfFind").write_text("a file where the folder should be")
    assert run() == 1
    assert "CtfFind/job003/batches: the job directory can't be made" in capsys.readouterr().err


def test_arguments_are_checked_as_the_config_is(program, capsys) -> None:
    with pytest.raises(SystemExit):
        run("0001", "--factor", "0")
    assert "must be at least 1" in capsys.readouterr().err
    assert os.environ.get("CRYOSNAKE_WORKFLOW") is None


@pytest.mark.parametrize(("name", "listed", "reason"), [
    ("mics/a\tb.mrc", r"mics/a\tb.mrc", "its name has a line break, tab"),
    ("mics/a\x85b.mrc", r"mics/a\x85b.mrc", "its name has a line break, tab"),
    ("mics/a\u2028b.mrc", r"mics/a\u2028b.mrc", "its name has a line break, tab"),
    ("mics/a'\"b.mrc", "mics/a'\"b.mrc", "its name has both kinds of quotes"),
    ("mics/it's\u00a05\".mrc", "mics/it's\\xa05\".mrc", "its name has both kinds of quotes"),
    ("other/MotionCorr/job009/Movies/m0.mrc", "other/MotionCorr/job009/Movies/m0.mrc",
     f"would get the same products as {NAMES[0]}"),
    ("Movies/m0.mrc", "Movies/m0.mrc", f"would get the same products as {NAMES[0]}"),
])
def test_a_row_that_can_not_be_used_is_listed_and_stops_no_other(program, name, listed, reason) -> None:
    text = Path("in1.star").read_text().replace(NAMES[2], f'"{name}"' if "\t" in name else name)
    Path("in1.star").write_text(text)
    for _ in range(2):
        assert run() == 0
        assert program.calls == ["m0", "m1"]
        assert names_in("CtfFind/job003/batches/0001.star") == ["m0.mrc", "m1.mrc"]
        assert reason in str(read_done("CtfFind/job003", 1)[listed])
    assert run_job(JOB, ["--out", "CtfFind/job003", "--micrographs", "in1.star", "--join"]) == 0
    left_out = read_star("CtfFind/job003/failed_micrographs.star")["left_out"]
    assert list(left_out["rlnMicrographName"]) == [listed.replace('"', "'")]
    Path("in1.star").write_text(text.replace(NAMES[0], "mics/free.mrc").replace(name, NAMES[3]))
    assert run("0001.r2") == 0 and program.calls[2:] == ["free", "m3"]


@pytest.mark.parametrize("number", [errno.EFBIG, errno.ESTALE, errno.EMFILE, errno.ENOSPC])
@pytest.mark.parametrize("wrapped", [False, True])
def test_faults_of_the_system_are_not_booked_on_micrographs(program, number: int, wrapped: bool) -> None:
    error: Exception = OSError(number, os.strerror(number), "x")
    if wrapped:
        cause, error = error, CryosnakeError("x cannot be written")
        error.__cause__ = cause
    program.fate["m1"] = error
    assert run() == 1
    assert {name: item.state for name, item in read_done("CtfFind/job003", 1).items()} == {NAMES[0]: "ok"}
    program.fate.clear()
    assert run() == 0


@pytest.mark.parametrize("place", ["batches", "batches/0001.done", "batches/0001.rows", "batches/0001.lock", "run.out",
                                   "run.err", "run_times.tsv"])
@pytest.mark.parametrize("target", ["thesis.tex", "folder", "new"])
def test_a_link_in_the_place_of_bookkeeping_is_not_written_through(program, capsys, place: str, target: str) -> None:
    Path("others/folder").mkdir(parents=True)
    Path("others/thesis.tex").write_text("years of work")
    before = {path: path.lstat().st_mtime_ns for path in Path("others").rglob("*")}
    Path("CtfFind/job003", place).parent.mkdir(parents=True, exist_ok=True)
    os.symlink(Path("others", target).absolute(), f"CtfFind/job003/{place}")
    assert run() == 1
    said = capsys.readouterr().err
    assert any(words in said for words in ("remove the link", "can't be made", f"directory: 'CtfFind/job003/{place}"))
    assert {path: path.lstat().st_mtime_ns for path in Path("others").rglob("*")} == before
    os.unlink(f"CtfFind/job003/{place}")
    assert run() == 0
