"""Rows of micrographs, coordinates and particles: each is used, or listed with its reason, and counts say so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cryosnake.io.mrc import write_mrc
from cryosnake.io.star import read_star, write_star
from cryosnake.jobs.extract import JOB
from cryosnake.running.run import run_job

OPTICS = pd.DataFrame([{"rlnOpticsGroupName": "og1", "rlnOpticsGroup": 1, "rlnMicrographOriginalPixelSize": 2.0,
                        "rlnMicrographPixelSize": 2.0, "rlnVoltage": 300.0, "rlnSphericalAberration": 2.7,
                        "rlnAmplitudeContrast": 0.1}])
A, B = "MotionCorr/job002/Movies/a.mrc", "MotionCorr/job002/Movies/b.mrc"
PLACES = [(60.0, 60.0), (120.0, 90.0)]


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two micrographs with a CTF, and a coordinate file with two places."""
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate((A, B)):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        write_mrc(name, np.random.default_rng(seed).normal(size=(256, 256)).astype(np.float32), 2.0)
    micrographs([A, B])
    coordinates("c.star", PLACES)


def micrographs(names: list[str], defocus: list[float] | None = None) -> None:
    table = pd.DataFrame({"rlnMicrographName": names, "rlnOpticsGroup": 1, "rlnDefocusU": defocus or 10000.0,
                          "rlnDefocusV": 9900.0, "rlnDefocusAngle": 0.0, "rlnCtfFigureOfMerit": float("nan")})
    write_star("mics.star", {"optics": OPTICS, "micrographs": table})


def coordinates(path: str, places: list[tuple[float, float]]) -> None:
    write_star(path, {"": pd.DataFrame(places, columns=["rlnCoordinateX", "rlnCoordinateY"], dtype=float)})


def listed(*pairs: tuple[str, str]) -> None:
    write_star("coords.star", {"coordinate_files": pd.DataFrame(pairs, columns=["rlnMicrographName",
                                                                                "rlnMicrographCoordinates"])})


def particles(names: list[str], places: list[tuple[float, float]] | None = None) -> None:
    place = np.array(places or [(60.0 + 5 * i, 60.0) for i in range(len(names))])
    table = pd.DataFrame({"rlnMicrographName": names, "rlnCoordinateX": place[:, 0], "rlnCoordinateY": place[:, 1],
                          "rlnOpticsGroup": 1})
    write_star("list.star", {"optics": OPTICS, "particles": table})


def run(slot: str = "coordinates", job: str = "Extract/job001") -> int:
    words = ["--out", job, "--micrographs", "mics.star", "--box_size", "32",
             f"--{slot}", "coords.star" if slot == "coordinates" else "list.star"]
    return run_job(JOB, words) or run_job(JOB, [*words, "--join"])


def made() -> pd.DataFrame:
    return read_star("Extract/job001/particles.star")["particles"]


def left_out() -> dict[str, tuple[str, str]]:
    table = read_star("Extract/job001/failed_micrographs.star")["left_out"]
    return {row["rlnMicrographName"]: (row["csnState"], row["csnReason"]) for row in table.to_dict("records")}


@pytest.mark.parametrize("spelt", ["./MotionCorr/job002//Movies/b.mrc", "MotionCorr/job009/Movies/b.mrc",
                                   "/data/project/MotionCorr/job002/Movies/b.mrc"])
@pytest.mark.parametrize("slot", ["coordinates", "particles"])
def test_a_micrograph_in_another_spelling_or_of_another_motion_correction(spelt: str, slot: str) -> None:
    listed((A, "c.star"), (spelt, "c.star"))
    particles([A, A, spelt, spelt])
    assert run(slot) == 0
    assert made()["rlnMicrographName"].tolist() == [A, A, B, B]
    assert not Path("Extract/job001/failed_micrographs.star").exists()


@pytest.mark.parametrize("unknown", ["b.mrc", "Movies/other.mrc", "/data/old/b.mrc"])
@pytest.mark.parametrize("slot", ["coordinates", "particles"])
def test_what_belongs_to_no_micrograph_is_counted_and_listed(unknown: str, slot: str, capsys) -> None:
    listed((A, "c.star"), (unknown, "c.star"))
    particles([A, A, unknown, unknown])
    assert run(slot) == 0
    assert made()["rlnMicrographName"].tolist() == [A, A]
    state, reason = left_out()[unknown]
    assert state == "unknown" and "none of the micrographs" in reason and ("c.star" in reason) == (slot != "particles")
    assert slot == "coordinates" or "list.star lists 2 particle(s) of it" in reason
    assert "input of 1 unknown micrographs left out" in capsys.readouterr().out


def test_the_list_of_reasons_is_there_when_nothing_is_left(capsys) -> None:
    listed(("Movies/x.mrc", "c.star"), ("Movies/y.mrc", "c.star"))
    assert run() == 1
    assert "Extract/job001/failed_micrographs.star names the reasons" in capsys.readouterr().err
    assert {name: state for name, (state, _) in left_out().items()} == {
        A: "without", B: "without", "Movies/x.mrc": "unknown", "Movies/y.mrc": "unknown"}
    listed((A, "gone.star"), (B, "gone.star"))
    assert run() == 1
    assert [state for state, _ in left_out().values()] == ["failed", "failed"]


def test_a_micrograph_without_coordinates_is_counted_and_listed(capsys) -> None:
    listed((A, "c.star"))
    assert run() == 0
    assert left_out() == {B: ("without", "coords.star has no row of it")}
    assert "1 of 2 micrographs, 2 particles, 1 without a row in another table" in capsys.readouterr().out
    listed((A, "c.star"), (B, "c.star"))
    assert run() == 0 and len(made()) == 4
    assert not Path("Extract/job001/failed_micrographs.star").exists()


def test_a_batch_of_which_all_fail_is_listed(capsys) -> None:
    names = [f"MotionCorr/job002/Movies/gone{number}.mrc" for number in range(3)]
    micrographs(names)
    listed(*((name, "c.star") for name in names))
    assert run() == 1
    assert "Extract/job001/failed_micrographs.star lists them" in capsys.readouterr().err
    assert list(left_out()) == names


def test_a_table_of_particles_is_no_table_of_micrographs(capsys) -> None:
    particles([A, A])
    Path("list.star").rename("coords.star")
    assert run() == 1
    assert "coords.star has a row for each particle" in capsys.readouterr().err


def test_absolute_names_of_files_in_the_project_are_used() -> None:
    micrographs([str(Path(A).absolute()), f"./{B}"])
    listed((A, "c.star"), (B, "c.star"))
    assert run() == 0
    assert made()["rlnMicrographName"].tolist() == [A, A, B, B]


def test_batches_that_read_the_same_table_list_only_what_none_of_them_knows() -> None:
    listed((A, "c.star"), (B, "c.star"), ("Movies/x.mrc", "c.star"))
    for number, name in enumerate((A, B), 1):
        micrographs([name])
        assert run_job(JOB, ["--out", "Extract/job001", "--micrographs", "mics.star", "--box_size", "32",
                             "--coordinates", "coords.star", "--batch", f"{number:04d}"]) == 0
    assert run_job(JOB, ["--out", "Extract/job001", "--micrographs", "mics.star", "--box_size", "32",
                         "--coordinates", "coords.star", "--join"]) == 0
    assert list(left_out()) == ["Movies/x.mrc"]


@pytest.mark.parametrize("second", [B, f"./{B}", "MotionCorr//job002/Movies/b.mrc"])
def test_a_micrograph_that_is_listed_twice(second: str, capsys) -> None:
    listed((A, "c.star"), (B, "c.star"))
    micrographs([A, B, second], [10000.0, 12000.0, 25000.0])
    assert run() == 1
    assert f"mics.star: {B} is listed twice, with different values of rlnDefocusU;" in capsys.readouterr().err
    micrographs([A, B, second], [10000.0, 12000.0, 12000.0])
    assert run() == 0 and len(made()) == 4
    assert f"{B} is listed twice, with equal rows; one of them counts" in capsys.readouterr().out
    listed((A, "c.star"), (B, "c.star"), (second, "d.star"))
    assert run() == 1
    assert "coords.star" in capsys.readouterr().err


@pytest.mark.parametrize(("bad", "words"), [
    ((float("nan"), 60.0), "not a number"), ((5000.0, 60.0), "off the micrograph of 256 × 256 pixels, the first at "
                                             "x 5000, y 60"), ((60.0, -40.0), "off the micrograph"),
    ((float("inf"), 60.0), "not a number")])
@pytest.mark.parametrize("slot", ["coordinates", "particles"])
def test_a_coordinate_that_is_wrong_costs_one_particle(bad: tuple[float, float], words: str, slot: str, capsys) -> None:
    coordinates("d.star", [PLACES[0], bad, PLACES[1]])
    listed((A, "c.star"), (B, "d.star"))
    particles([A, A, B, B, B], [*PLACES, PLACES[0], bad, PLACES[1]])
    assert run(slot) == 0
    assert made()["rlnMicrographName"].tolist() == [A, A, B, B]
    assert made()["rlnCoordinateX"].tolist() == [60.0, 120.0] * 2
    state, reason = left_out()[B]
    assert state == "partly" and reason.startswith("1 of 3 left out: ") and words in reason
    said = capsys.readouterr().out
    assert "2 of 2 micrographs, 4 particles, some particles of 1 micrographs left out" in said


def test_a_word_among_coordinates_costs_one_particle() -> None:
    Path("c.star").write_text("data_\n\nloop_\n_rlnCoordinateX #1\n_rlnCoordinateY #2\n60 60\nNone 9\n120 9,5\n70 80\n")
    listed((A, "c.star"))
    assert run() == 0
    assert made()["rlnCoordinateX"].tolist() == [60.0, 70.0]
    assert left_out()[A][1].startswith("2 of 4 left out: a coordinate of 2 particle(s) is not a number")


def test_coordinates_of_a_binned_micrograph_of_the_same_movie_are_scaled() -> None:
    other = A.replace("job002", "job007")
    Path(other).parent.mkdir(parents=True)
    write_mrc(other, np.zeros((128, 128), np.float32), 4.0)
    listed((other, "c.star"))
    assert run() == 0
    assert made()["rlnCoordinateX"].tolist() == [120.0, 240.0] and "csnPickedOn" not in made()


def test_a_list_without_ctf_takes_that_of_the_micrographs() -> None:
    particles([A, B, A])
    micrographs([A, B], [10000.0, 12000.0])
    assert run("particles") == 0
    assert made()["rlnDefocusU"].tolist() == [10000.0, 10000.0, 12000.0]
    assert made()["rlnCtfScalefactor"].tolist() == [1.0] * 3


@pytest.mark.parametrize("old", [False, True])
def test_a_list_without_optics_takes_those_of_the_micrographs_or_of_its_rows(old: bool) -> None:
    """A bare list of coordinates; and particles of RELION 3.0, whose rows describe their optics."""
    more = (("_rlnVoltage\n_rlnSphericalAberration\n_rlnAmplitudeContrast\n_rlnMagnification\n_rlnDetectorPixelSize\n"
             "_rlnOriginX\n", " 200 1.4 0.1 10000 2 1.5") if old else ("", ""))
    Path("list.star").write_text(f"data_\n\nloop_\n_rlnMicrographName\n_rlnCoordinateX\n_rlnCoordinateY\n{more[0]}"
                                 f"{A} 60 60{more[1]}\n{B} 70 80{more[1]}\n")
    assert run("particles") == 0
    (optics,) = read_star("Extract/job001/particles.star")["optics"].to_dict("records")
    assert optics["rlnVoltage"] == (200.0 if old else 300.0) and optics["rlnImagePixelSize"] == 2.0
    assert made()["rlnOpticsGroup"].tolist() == [1, 1] and made()["rlnDefocusU"].tolist() == [10000.0] * 2
    if old:
        assert "rlnOriginX" not in made() and made()["rlnOriginXAngst"].tolist() == [3.0, 3.0]


def test_micrographs_of_relion_3_0_are_extracted_from() -> None:
    Path("mics.star").write_text("data_\n\nloop_\n_rlnMicrographName\n_rlnDefocusU\n_rlnDefocusV\n_rlnDefocusAngle\n"
                                 "_rlnVoltage\n_rlnSphericalAberration\n_rlnAmplitudeContrast\n_rlnMagnification\n"
                                 f"_rlnDetectorPixelSize\n{A} 11000 10900 5 300 2.7 0.1 25000 5\n")
    listed((A, "c.star"))
    assert run() == 0
    (optics,) = read_star("Extract/job001/particles.star")["optics"].to_dict("records")
    assert (optics["rlnImagePixelSize"], optics["rlnVoltage"]) == (2.0, 300.0)
    assert made()["rlnDefocusU"].tolist() == [11000.0, 11000.0] and "rlnVoltage" not in made()


BOXES = {  # the same two middles in each form: (60, 60) and (120.5, 90)
    "c.box": "50\t50\t20\t20\n110 80 21 20 -3\n",
    "old.cbox": "50\t50\t20\t20\t0.9\t20\t20\n110\t80\t21\t20\t0.8\t20\t20\n",
    "new.cbox": "data_global\n\n_cbox_format_version 1.0\n\ndata_cryolo\n\nloop_\n_CoordinateX #1\n_CoordinateY #2\n"
                "_CoordinateZ #3\n_Width #4\n_Height #5\n_Depth #6\n_EstWidth #7\n_EstHeight #8\n_Confidence #9\n"
                "_NumBoxes #10\n_Angle #11\n50.0 50.0 <NA> 20.0 20.0 <NA> 18 18 0.9 1 <NA>\n"
                "110.0 80.0 <NA> 21.0 20.0 <NA> 18 18 0.8 1 <NA>\n\ndata_cryolo_include\n\nloop_\n_slice_index #1\n\n",
}


@pytest.mark.parametrize("name", BOXES)
def test_boxes_of_other_programs(name: str) -> None:
    Path(name).write_text(BOXES[name])
    listed((A, name))
    assert run() == 0
    assert made()[["rlnCoordinateX", "rlnCoordinateY"]].to_numpy().tolist() == [[60.0, 60.0], [120.5, 90.0]]
    if name == "new.cbox":
        assert made()["rlnAutopickFigureOfMerit"].tolist() == [0.9, 0.8]


@pytest.mark.parametrize(("name", "text", "words"), [
    ("c.box", "50 50 20 20\n110 80\n", "c.box, line 2: a box has four fields"),
    ("c.cbox", "data_cryolo\n\nloop_\n_CoordinateX #1\n50.0\n", "data_cryolo lacks"),
    ("c.box", "", "has no particles"), ("c.cbox", "data_cryolo\n\nloop_\n\n", "has no particles"),
    ("c.txt", "50 50\n", "is not a STAR, .box or .cbox file")])
def test_boxes_that_are_none(name: str, text: str, words: str) -> None:
    Path(name).write_text(text)
    listed((A, name))
    assert run() == 1
    assert words in left_out()[A][1]
