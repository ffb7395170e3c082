"""Picks that a person made: jobs wait for them, keep or get a number with them, and never lose them."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_project import tree
from stub_run import plan_of, snakemake

from cryosnake.cli import main
from cryosnake.errors import CryosnakeError
from cryosnake.io.mrc_writer import write_mrc
from cryosnake.io.star import read_star, write_star
from cryosnake.pages.panels.of_jobs import panels_of
from cryosnake.pages.panels.view import JobView
from cryosnake.project.actions.picking import Saved, picking_offer, picks_on, save_picks
from cryosnake.project.planning.choices import waiting_for_you
from cryosnake.project.records.final_marks import set_final

MOTION, AGAIN = "MotionCorr/job001", "MotionCorr/job003"  # of RELION
M1, M2, M3 = (f"{MOTION}/Movies/m{number}.mrc" for number in (1, 2, 3))
PLACES = np.array([[5.0, 7.0], [20.5, 11.25], [31.0, 2.0]])


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    make_micrographs(MOTION, 3)
    config()
    return tmp_path


def make_micrographs(job: str, count: int, side: int = 40, pixel_size: float = 2.0) -> None:
    Path(job, "Movies").mkdir(parents=True, exist_ok=True)
    for number in range(1, count + 1):
        if not Path(f"{job}/Movies/m{number}.mrc").exists():
            image = np.random.default_rng(number).normal(size=(side, side + 10))
            write_mrc(f"{job}/Movies/m{number}.mrc", image.astype(np.float32), pixel_size)
    write_star(f"{job}/mics.star", {
        "optics": pd.DataFrame({"rlnOpticsGroup": [1], "rlnOpticsGroupName": ["a"], "rlnMicrographPixelSize":
                                [pixel_size], "rlnVoltage": [300.0], "rlnSphericalAberration": [2.7],
                                "rlnAmplitudeContrast": [0.1]}),
        "micrographs": pd.DataFrame({"rlnMicrographName": [f"{job}/Movies/m{n}.mrc" for n in range(1, count + 1)],
                                     "rlnOpticsGroup": [1] * count})})


def config(motion: str = MOTION, **manual: Any) -> dict[str, Any]:
    table = f"{motion}/mics.star"
    raw = {"pictures": False, "jobs": {
        "manual": {"type": "manualpick", "micrographs": table, **manual},
        "cut": {"type": "extract", "micrographs": table, "coordinates": "manual", "box_size": 8}}}
    Path("config.yaml").write_text(json.dumps(raw))
    return raw


def save(micrograph: str, places: Any, **more: Any) -> Saved:
    return save_picks("manual", micrograph, places, picks_on(picking_offer("manual"), micrograph).stamp, **more)


def run(raw: dict[str, Any] | None = None, *only: str) -> list[str]:
    raw = raw or config()
    jobs = {name: body for name, body in raw["jobs"].items() if not only or name in only}
    return [" ".join(words.split()[1:2]) for words in snakemake({**raw, "jobs": jobs})]


def written(job: str, number: int = 1) -> np.ndarray:
    table = read_star(f"{job}/Movies/m{number}_manualpick.star")[""]
    return table[["rlnCoordinateX", "rlnCoordinateY"]].to_numpy()


def listed(job: str) -> dict[str, str]:
    table = read_star(f"{job}/manualpick.star")["coordinate_files"]
    return dict(zip(table["rlnMicrographName"], table["rlnMicrographCoordinates"], strict=True))


def test_a_job_waits_for_picks_and_is_made_of_them_in_relions_files(capsys) -> None:
    raw = config()
    plan, before = plan_of(raw), tree()
    assert waiting_for_you(plan) == [
        ("manual", "pick", "waits for you: manual: pick particles: cryosnake web --edit, job manual")]
    assert plan.jobs["cut"].why_held == "waits for manual" and not plan.jobs["manual"].numbered
    assert run(raw) == [] and set(tree()) - set(before) <= {"config.yaml"}
    assert "the next run makes a ManualPick job" in picking_offer("manual").remark
    saved = save(M1, PLACES)
    assert saved.path == Path("decisions/manual/Movies/m1.star") and saved.stamp == stamp(M1)
    save(M2, PLACES[:1], selected=False)
    save(M3, [])
    assert run(raw) == ["ManualPick/job002", "Extract/job003", "Extract/job003"]
    job = "ManualPick/job002"
    assert np.allclose(written(job), PLACES) and np.allclose(written(job, 2), PLACES[:1])
    assert listed(job) == {M1: f"{job}/Movies/m1_manualpick.star"}, "only what is selected and has picks"
    assert list(read_star(f"{job}/Movies/m1_manualpick.star")[""]) == [
        "rlnCoordinateX", "rlnCoordinateY", "rlnClassNumber", "rlnAnglePsi", "rlnAutopickFigureOfMerit"]
    assert not Path(f"{job}/Movies/m3_manualpick.star").exists(), "RELION has no empty ones"
    assert Path(f"{job}/coords_suffix_manualpick.star").read_text() == f"{MOTION}/mics.star\n"
    assert list(read_star(f"{job}/micrographs_selected.star")["micrographs"]["rlnMicrographName"]) == [M1]
    assert list(read_star(f"{job}/local_selection.star")[""]["rlnSelected"]) == [1, 0, 1]
    assert run(raw) == [], "nothing is made again"
    capsys.readouterr()
    assert main(["show", "manual"]) == 0 and "picks: 3" in capsys.readouterr().out
    view = JobView(path=Path(job), folder="ManualPick", values={"diameter": 20.0})
    assert [panel.verdict for panel in panels_of(view)] == ["3 picks on 1 micrographs, median 3."]


def stamp(micrograph: str) -> str:
    return picks_on(picking_offer("manual"), micrograph).stamp


def test_picks_change_a_job_until_another_one_took_from_it() -> None:
    raw = config()
    save(M1, PLACES)
    assert run(raw, "manual") == ["ManualPick/job002"]
    assert "change ManualPick/job002, which the next run makes again" in save(M1, PLACES[:2]).remark
    before = tree()
    assert plan_of(raw).jobs["manual"].path == "ManualPick/job002" and tree() == before
    assert run(raw, "manual") == ["ManualPick/job002"] and len(written("ManualPick/job002")) == 2
    assert save(M1, PLACES[:2]).stamp and run(raw, "manual") == [], "the same picks again change nothing"
    assert run(raw) == ["Extract/job003", "Extract/job003"]
    offer = picking_offer("ManualPick/job002")
    assert offer.users == ("Extract/job003",) and "make a new ManualPick job" in offer.remark
    save(M2, PLACES)
    assert run(raw) == ["ManualPick/job004", "Extract/job005", "Extract/job005"]
    assert list(listed("ManualPick/job002")) == [M1] and list(listed("ManualPick/job004")) == [M1, M2]
    assert picking_offer("manual").directory == "ManualPick/job004" and run(raw) == []


def test_more_micrographs_make_no_new_number() -> None:
    raw = config()
    save(M1, PLACES)
    run(raw)
    make_micrographs(MOTION, 4)
    assert set(run(raw)) <= {"ManualPick/job002", "Extract/job003"}
    assert len(picking_offer("manual").micrographs) == 4


def test_picks_hold_for_micrographs_that_are_made_again() -> None:
    save(M1, PLACES)
    run(config(), "manual")
    make_micrographs(AGAIN, 3, side=20, pixel_size=4.0)  # another number, binned
    raw, again = config(AGAIN), f"{AGAIN}/Movies/m1.mrc"
    first = picking_offer("manual").micrographs[0]
    assert (first.name, first.picks, first.origin, first.earlier) == (again, 3, "person", True)
    assert np.allclose(picks_on(picking_offer("manual"), again).places, PLACES / 2)
    assert run(raw, "manual") == ["ManualPick/job004"] and np.allclose(written("ManualPick/job004"), PLACES / 2)
    save(again, PLACES / 2)
    assert not picking_offer("manual").micrographs[0].earlier, "who saves has looked at them"
    write_mrc(again, np.ones((20, 25), np.float32), 4.0)
    assert picking_offer("manual").micrographs[0].earlier, "made again in place"


def test_what_relion_changes_in_the_job_is_taken_over(capfd) -> None:
    raw = config()
    save(M1, PLACES)
    save(M2, PLACES)
    run(raw, "manual")
    job = "ManualPick/job002"
    for number in (1, 3):
        in_relion(f"{job}/Movies/m{number}_manualpick.star", PLACES[1:] + 1)
    table = read_star(f"{job}/local_selection.star")[""]
    write_star(f"{job}/local_selection.star", {"": table.assign(rlnSelected=[1, 0, 1])})
    offer = picking_offer("manual")
    assert [(one.picks, one.origin, one.selected) for one in offer.micrographs] == [
        (2, "relion", True), (3, "person", False), (2, "relion", True)]
    assert np.allclose(picks_on(offer, M3).places, PLACES[1:] + 1)
    assert len(read_star("decisions/manual/Movies/m1.star")["picks"]) == 3, "reading writes nothing"
    save(M3, PLACES)
    assert len(read_star("decisions/manual/Movies/m1.star")["picks"]) == 2, "a save takes over all"
    assert run(raw, "manual") == [job] and np.allclose(written(job), PLACES[1:] + 1) and np.allclose(
        written(job, 3), PLACES)
    in_relion(f"{job}/Movies/m2_manualpick.star", PLACES[:1])
    make_micrographs(MOTION, 4)
    assert run(raw, "manual") == [job], "a run takes over what was changed before it"
    assert np.allclose(written(job, 2), PLACES[:1]) and run(raw, "manual") == []


def test_of_two_changes_the_newer_counts_and_the_other_is_kept() -> None:
    raw = config()
    save(M1, PLACES)
    run(raw, "manual")
    job = "ManualPick/job002"
    in_relion(f"{job}/Movies/m1_manualpick.star", PLACES[:1], ago=5)
    decision = Path("decisions/manual/Movies/m1.star")
    os.utime(decision)
    run(raw, "manual")
    save(M1, PLACES[:2])
    assert len(read_star(decision)["picks"]) == 2
    assert len(read_star(f"{decision}.1")[""]) == 1, "set aside, not lost"


def in_relion(path: str, places: np.ndarray, ago: float = -2) -> None:
    """Write a file as RELION does, so many seconds ago."""
    write_star(path, {"": pd.DataFrame(places, columns=["rlnCoordinateX", "rlnCoordinateY"]).assign(
        rlnClassNumber=-999, rlnAnglePsi=-999.0, rlnAutopickFigureOfMerit=-999.0)})
    os.utime(path, (time.time() - ago,) * 2)


@pytest.mark.parametrize("form", ["manualpick.star", "coords_suffix_manualpick.star"])
def test_picks_of_relions_own_job_are_a_start(form: str, capsys) -> None:
    theirs = Path("ManualPick/job009")
    (theirs / "Movies").mkdir(parents=True)
    in_relion(f"{theirs}/Movies/m2_manualpick.star", PLACES)
    (theirs / "coords_suffix_manualpick.star").write_text(f"{MOTION}/mics.star\n")
    write_star(theirs / "manualpick.star", {"coordinate_files": pd.DataFrame({
        "rlnMicrographName": [M2], "rlnMicrographCoordinates": [f"{theirs}/Movies/m2_manualpick.star"]})})
    raw = config(coordinates=f"{theirs}/{form}")
    offer = picking_offer("manual")
    assert [(one.picks, one.origin) for one in offer.micrographs] == [(0, "none"), (3, "relion"), (0, "none")]
    assert np.allclose(picks_on(offer, M2).places, PLACES) and run(raw) == [], "a start is no decision"
    assert main(["pick", "manual", "--from", f"{theirs}/{form}"]) == 0
    assert run(raw, "manual") == ["ManualPick/job010"] and np.allclose(written("ManualPick/job010", 2), PLACES)


def test_picks_from_boxes_and_what_is_shown(capsys) -> None:
    Path("m1.box").write_text("1\t3\t8\t8\n16\t7\t8\t8\n")
    Path("m2.cbox").write_text("data_cryolo\n\nloop_\n_CoordinateX #1\n_CoordinateY #2\n_Width #3\n_Height #4\n"
                               "2 4 10 10\n\n")
    assert main(["pick", "manual", "--from", "m1.box", "m2.cbox"]) == 0
    assert "picks on 2 micrographs were taken" in capsys.readouterr().out
    assert np.allclose(picks_on(picking_offer("manual"), M1).places, [[5, 7], [20, 11]])
    assert main(["pick", "manual", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert [one["picks"] for one in shown["micrographs"]] == [2, 1, 0] and shown["directory"] == ""
    Path("m1.box").write_text("2 3 8 8\n")
    assert main(["pick", "manual", "--from", "m1.box"]) == 0
    assert Path("decisions/manual/Movies/m1.star.1").exists(), "kept"
    write_star("gone.star", {"coordinate_files": pd.DataFrame({
        "rlnMicrographName": [M1], "rlnMicrographCoordinates": ["gone/m1.star"]})})
    assert main(["pick", "manual", "--from", "gone.star"]) == 1
    assert "gone/m1.star does not exist" in capsys.readouterr().err, "and no decision that there are no particles"
    Path("other.box").write_text("1 3 8 8\n")
    assert main(["pick", "manual", "--from", "other.box"]) == 1
    assert "--micrograph" in capsys.readouterr().err
    assert main(["pick", "manual", "--from", "other.box", "--micrograph", M3]) == 0 and main(["pick", "manual"]) == 0
    assert "3 picks on 3 of 3 micrographs" in capsys.readouterr().out
    assert main(["pick", "cut"]) == 1 and "not a job that is picked by hand" in capsys.readouterr().err


def test_refusals_write_nothing(monkeypatch) -> None:
    old = stamp(M1)
    save(M1, PLACES)
    before = tree()
    with pytest.raises(CryosnakeError, match="have changed since they were loaded; nothing was saved"):
        save_picks("manual", M1, PLACES[:1], old)
    with pytest.raises(CryosnakeError, match=r"1 of 2 picks lie off the micrograph of 50 × 40 pixels"):
        save(M1, [[1, 1], [49.5, 3]])
    with pytest.raises(CryosnakeError, match="lie off"):
        save(M1, [[1, float("nan")]])
    with pytest.raises(CryosnakeError, match="has no micrograph"):
        picks_on(picking_offer("manual"), "Movies/other.mrc")
    with monkeypatch.context() as patched:
        patched.setattr("cryosnake.project.locks.decisions_lock._PATIENCE", 0.0)
        with open(".cryosnake/decisions_manual.lock") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            with pytest.raises(CryosnakeError, match="another program saves decisions for manual"):
                save(M1, PLACES[:1])
    with monkeypatch.context() as patched:
        patched.setattr(Path, "touch", full)
        with pytest.raises(CryosnakeError, match=r"m2.star cannot be written: No space left on device.*free some"):
            save(M2, PLACES)
    assert {name: file for name, file in tree().items() if file[0] != "link"} == before
    run(config(), "manual")
    set_final("ManualPick/job002", True)
    with pytest.raises(CryosnakeError, match=r"is final.*cryosnake mark ManualPick/job002 not-final"):
        save(M1, PLACES[:1])


def full(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("damage", ["", "data_made_on\n\n_rlnMicrographName a.mrc\n", "cut"])
def test_a_damaged_file_of_picks_is_named_with_the_remedy(damage: str) -> None:
    save(M1, PLACES)
    file = Path("decisions/manual/Movies/m1.star")
    text = file.read_text()
    file.write_text(text[:text.index("   20.5")] + " \n" if damage == "cut" else damage)
    for look in (lambda: picking_offer("manual"), lambda: run(config(), "manual")):
        with pytest.raises(CryosnakeError, match=r"m1.star is damaged.*restore it.*pick this micrograph again"):
            look()


def test_picks_outlive_the_job_and_follow_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    save(M1, PLACES)
    run(config(), "manual")
    main(["clean", "ManualPick/job002", "--harsh"])
    assert Path("ManualPick/job002/Movies/m1_manualpick.star").exists()
    for there in ("decisions/mine.yaml", "decisions/mine.flags.yaml", "decisions/mine/Movies/m9.star"):
        Path(there).parent.mkdir(parents=True, exist_ok=True)
        Path(there).write_text("of a job that was removed")
        before = tree()
        assert main(["alias", "ManualPick/job002", "mine"]) == 1, "they are neither lost nor followed"
        assert "decisions of an earlier job called 'mine'" in capsys.readouterr().err and tree() == before
        os.unlink(there)
    shutil.rmtree("decisions/mine")
    assert main(["alias", "ManualPick/job002", "mine"]) == 0
    assert picking_offer("mine").micrographs[0].picks == 3 and not os.path.exists("decisions/manual")
    assert main(["delete", "ManualPick/job002"]) == 0
    assert not os.path.exists("ManualPick/job002") and os.path.exists("decisions/mine/Movies/m1.star")
