"""Extract: files, columns, images beside relion_preprocess, refined particles again, bad input."""

from __future__ import annotations

import os
import subprocess
import warnings
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pandas as pd
import pytest

from cryosnake.errors import CryosnakeError, Rejected
from cryosnake.io.mrc import read_header, read_mrc, write_mrc
from cryosnake.io.star import read_star, write_star
from cryosnake.jobs.extract import JOB
from cryosnake.jobs.options import ExtractOptions
from cryosnake.programs.micrographs import extract
from cryosnake.running.run import run_job

OPTICS = {"rlnOpticsGroupName": "opticsGroup1", "rlnOpticsGroup": 1, "rlnMicrographOriginalPixelSize": 1.5,
          "rlnVoltage": 200.0, "rlnSphericalAberration": 1.4, "rlnAmplitudeContrast": 0.1,
          "rlnMicrographPixelSize": 1.5}
NAME = "MotionCorr/job002/Movies/a.mrc"
ROW = {"rlnMicrographName": NAME, "rlnOpticsGroup": 1, "rlnDefocusU": 9842.0, "rlnDefocusV": 9582.0,
       "rlnCtfAstigmatism": 260.0, "rlnDefocusAngle": 70.0, "rlnCtfFigureOfMerit": 0.1, "rlnCtfMaxResolution": 4.0}
COORDINATES = "AutoPick/job004/Movies/a_autopick.star"
PLACES = [(60.0, 70.0), (60.4, 70.6), (61.5, 71.5), (10.0, 90.0), (100.0, 5.0), (195.0, 175.0), (-3.0, 50.0)]


def options(**given: Any) -> ExtractOptions:
    return ExtractOptions(**{"device": "cpu", "box_size": 48, **given})


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """A micrograph with a gradient (counts of about 100), coordinates, and STAR files; returns the micrograph."""
    monkeypatch.chdir(tmp_path)
    for folder in ("MotionCorr/job002/Movies", "AutoPick/job004/Movies", "Extract/job005/Movies"):
        Path(folder).mkdir(parents=True)
    rng = np.random.default_rng(0)
    micrograph = (rng.standard_normal((180, 200)) * 3 + 100 + 0.1 * np.arange(200)).astype(np.float32)
    write_mrc(NAME, micrograph, 1.5)
    write_coordinates(PLACES)
    write_star("mics.star", {"optics": pd.DataFrame([OPTICS]), "micrographs": pd.DataFrame([ROW])})
    return micrograph


def write_coordinates(places: list[tuple[float, float]]) -> None:
    table = pd.DataFrame(places, columns=["rlnCoordinateX", "rlnCoordinateY"], dtype=float)
    write_star(COORDINATES, {"": table.assign(rlnAutopickFigureOfMerit=0.5, rlnClassNumber=0, rlnAnglePsi=0.0)})


def run(inputs: dict[str, Path] | None = None, row: dict[str, Any] | None = None, **given: Any,
        ) -> tuple[np.ndarray, pd.DataFrame]:
    """Run the program on one micrograph as the driver does."""
    chosen = options(**given)
    state = extract.prepare(chosen, OPTICS, inputs or {"coordinates": Path("AutoPick/job004/autopick.star")})
    joined = {**(ROW if row is None else row), "rlnMicrographCoordinates": COORDINATES}
    rows = extract.process(joined, OPTICS, state, Path("Extract/job005/Movies/a"))
    return read_mrc("Extract/job005/Movies/a.mrcs")[0], pd.DataFrame(rows)


def test_files_rows_and_optics(project: np.ndarray) -> None:
    images, table = run(box_size=48, rescale=24)
    assert images.shape == (7, 24, 24)
    assert read_header("Extract/job005/Movies/a.mrcs").pixel_size == pytest.approx(3.0)
    assert list(table.columns) == [
        "rlnCoordinateX", "rlnCoordinateY", "rlnAutopickFigureOfMerit", "rlnClassNumber", "rlnAnglePsi", "rlnImageName",
        "rlnMicrographName", "rlnOpticsGroup", "rlnCtfMaxResolution", "rlnCtfFigureOfMerit", "rlnDefocusU",
        "rlnDefocusV", "rlnDefocusAngle", "rlnCtfBfactor", "rlnCtfScalefactor", "rlnPhaseShift"]
    assert table["rlnImageName"][6] == "000007@Extract/job005/Movies/a.mrcs"
    np.testing.assert_allclose(table[["rlnCoordinateX", "rlnCoordinateY"]], PLACES)
    written = read_star("Extract/job005/Movies/a_extract.star")["images"]
    pd.testing.assert_frame_equal(written, table, check_dtype=False)
    optics = extract.optics_of_output([OPTICS], options(box_size=48, rescale=24), {})[0]
    assert list(optics)[-3:] == ["rlnImagePixelSize", "rlnImageSize", "rlnImageDimensionality"]
    assert (optics["rlnImagePixelSize"], optics["rlnImageSize"], optics["rlnImageDimensionality"]) == (3.0, 24, 2)
    assert "rlnMicrographPixelSize" not in optics


def test_without_ctf_there_are_no_ctf_columns() -> None:
    _, table = run(row={"rlnMicrographName": NAME, "rlnOpticsGroup": 1})
    assert list(table.columns)[-1] == "rlnOpticsGroup"


def test_float16_and_plain_images(project: np.ndarray) -> None:
    plain, _ = run(normalise=False, invert=False)
    np.testing.assert_array_equal(plain[0], project[46:94, 36:84])
    inverted, _ = run(normalise=False)
    np.testing.assert_array_equal(inverted, -plain)
    half, _ = run(float16=True)
    assert read_header("Extract/job005/Movies/a.mrcs").mode == 12
    np.testing.assert_allclose(half, run()[0], rtol=1e-3, atol=1e-3)  # eleven bits


def test_dust_is_the_same_every_time(project: np.ndarray) -> None:
    project[70:73, 60:63] = 500.0
    write_mrc(NAME, project, 1.5)
    first, second = run(white_dust=5.0)[0], run(white_dust=5.0)[0]
    np.testing.assert_array_equal(first, second)
    assert np.abs(first[0]).max() < 6.0
    assert np.abs(run()[0][0]).max() > 50.0


CASES = {
    "plain": ({"normalise": False, "invert": False}, []),
    "rescaled": ({"normalise": False, "invert": False, "rescale": 24}, ["--scale", "24"]),
    "enlarged": ({"normalise": False, "invert": False, "rescale": 64}, ["--scale", "64"]),
    "normalised": ({"invert": False}, ["--norm", "--bg_radius", "18"]),
    "inverted": ({}, ["--norm", "--bg_radius", "18", "--invert_contrast"]),
    "all": ({"rescale": 32}, ["--scale", "32", "--norm", "--bg_radius", "12", "--invert_contrast"]),
    "diameter": ({"background_diameter": 30}, ["--norm", "--bg_radius", "15", "--invert_contrast"]),
}


def relion_preprocess(folder: Path, *words: str) -> tuple[np.ndarray, dict[str, pd.DataFrame]]:
    subprocess.run([folder / "relion_preprocess", "--i", "mics.star", "--part_dir", "theirs/", "--part_star",
                    "theirs/particles.star", "--extract", "--extract_size", "48", *words], check=True,
                   capture_output=True)
    return read_mrc("theirs/Movies/a.mrcs")[0], read_star("theirs/particles.star")


@pytest.mark.relion
@pytest.mark.parametrize("case", CASES)
def test_the_same_images_and_rows_as_relion(case: str, relion: Path) -> None:
    given, words = CASES[case]
    theirs, tables = relion_preprocess(relion, "--coord_dir", "AutoPick/job004/", "--coord_suffix", "_autopick.star",
                                       *words)
    images, table = run(**given)
    assert images.shape == theirs.shape
    for ours, other in zip(images, theirs, strict=True):
        assert np.corrcoef(ours.ravel(), other.ravel())[0, 1] > 0.99999
    np.testing.assert_allclose(images, theirs, atol=2e-3)  # grey values too; float32 of about 100
    other_rows = tables["particles"]
    assert list(table.columns) == list(other_rows.columns)
    numbers = [label for label in table if label not in ("rlnImageName", "rlnMicrographName")]
    np.testing.assert_allclose(table[numbers].astype(float), other_rows[numbers].astype(float), rtol=1e-6)
    optics = pd.DataFrame(extract.optics_of_output([OPTICS], options(**given), {}))
    pd.testing.assert_frame_equal(optics, tables["optics"], check_dtype=False)


@pytest.mark.relion
@pytest.mark.data
def test_real_particles_as_relion_extracts_them(relion: Path, real_data: Path) -> None:
    """Picks of the reference on a rebuilt real micrograph, some with boxes across its edge."""
    mosaic = real_data / "micrographs/bgal_mosaic/20170629_00022_mosaic"
    write_mrc(NAME, read_mrc(f"{mosaic}.mrc")[0], 3.54)
    places = next(iter(read_star(f"{mosaic}_coords.star").values()))[["rlnCoordinateX", "rlnCoordinateY"]]
    write_coordinates(places.to_numpy().tolist())
    theirs, tables = relion_preprocess(relion, "--coord_dir", "AutoPick/job004/", "--coord_suffix", "_autopick.star",
                                       "--norm", "--bg_radius", "18", "--invert_contrast")
    images, table = run()
    assert len(table) == len(tables["particles"]) == len(places)
    correlation = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(images, theirs, strict=True)]
    assert min(correlation) > 0.9999


TILTED = {"rlnOpticsGroupName": ["tilted", "plain"], "rlnOpticsGroup": [1, 2], "rlnBeamTiltX": [0.31, 0.0],
          "rlnBeamTiltY": [-0.12, 0.0], "rlnSphericalAberration": [1.41, 1.4]}  # as CtfRefine leaves them


def refined_particles(**columns: Any) -> Path:
    """Write refined particles of twice the pixel size, and one of another micrograph; return the file."""
    table = pd.DataFrame({
        "rlnCoordinateX": [60.0, 60.7, 80.0, 100.0, 100.0, 50.0],
        "rlnCoordinateY": [70.0, 70.3, 90.0, 70.0, 70.0, 50.0],
        "rlnImageName": [f"{i:06d}@old.mrcs" for i in range(1, 7)], "rlnMicrographName": [NAME] * 5 + ["Movies/b.mrc"],
        "rlnOpticsGroup": [1, 2, 2, 1, 2, 1], "rlnDefocusU": 11000.0, "rlnDefocusV": 10000.0, "rlnDefocusAngle": 20.0,
        "rlnOriginXAngst": [0.0, 1.5, 2.2, 0.75, 2.25, 0.0], "rlnOriginYAngst": [0.0, 3.0, -2.3, -0.75, -2.25, 0.0],
        "rlnAngleRot": [0.0, 10.0, 40.0, 70.0, 30.0, 0.0], "rlnAngleTilt": [0.0, 20.0, 50.0, 80.0, 110.0, 0.0],
        "rlnAnglePsi": [0.0, 30.0, 60.0, 90.0, -40.0, 0.0], "rlnRandomSubset": [1, 2, 1, 2, 1, 2]}).assign(**columns)
    optics = {label: value for label, value in OPTICS.items() if label != "rlnMicrographPixelSize"}
    optics |= {"rlnImagePixelSize": 3.0, "rlnImageSize": 24, "rlnImageDimensionality": 2}
    both = pd.DataFrame([optics] * 2).assign(**TILTED)
    write_star("refined.star", {"optics": both, "particles": table})
    return Path("refined.star")


def test_particles_again_keep_their_columns() -> None:
    path = refined_particles()
    images, table = run({"particles": path})
    before = read_star(path)["particles"].iloc[:5]
    assert images.shape == (5, 48, 48)
    pd.testing.assert_frame_equal(table.drop(columns="rlnImageName"), before.drop(columns="rlnImageName"))
    reset = run({"particles": path}, reset_offsets=True)[1]
    assert (reset[["rlnOriginXAngst", "rlnOriginYAngst"]] == 0.0).to_numpy().all()


def test_particles_again_keep_their_optics_groups_and_what_was_refined_for_them() -> None:
    path = refined_particles()
    rows = extract.optics_of_output([OPTICS], options(box_size=48, rescale=32), {"particles": path})
    before = read_star(path)["optics"]
    found = pd.DataFrame(rows)
    assert (found["rlnImagePixelSize"] == 2.25).all() and (found["rlnImageSize"] == 32).all()
    changed = ["rlnImagePixelSize", "rlnImageSize"]
    pd.testing.assert_frame_equal(found.drop(columns=changed), before.drop(columns=changed))
    binned = OPTICS | {"rlnMicrographPixelSize": 3.0}
    rows = extract.optics_of_output([binned], options(box_size=24), {"particles": path})
    assert [row["rlnMicrographPixelSize"] for row in rows] == [3.0, 3.0]  # so that the next extraction knows
    with pytest.raises(CryosnakeError, match="several pixel sizes"):
        extract.optics_of_output([OPTICS, binned], options(), {"particles": path})


def test_the_whole_job_writes_them() -> None:
    path, words = refined_particles(), ["--out", "Extract/job006", "--micrographs", "mics.star", "--box_size", "48"]
    Path("Extract/job006/batches").mkdir(parents=True)
    assert run_job(JOB, [*words, "--particles", str(path)]) == 0
    assert run_job(JOB, [*words, "--particles", str(path), "--join"]) == 0
    found, before = read_star("Extract/job006/particles.star"), read_star(path)
    assert found["optics"]["rlnBeamTiltX"].tolist() == [0.31, 0.0] and (found["optics"]["rlnImageSize"] == 48).all()
    for label in ("rlnOpticsGroup", "rlnRandomSubset", "rlnOriginXAngst"):
        assert found["particles"][label].tolist() == before["particles"][label][:5].tolist()


SPOTS = np.array([(150.0, 180.0), (301.5, 92.25), (60.75, 270.5), (260.25, 270.0)])  # Å, x and y


def spots(pixel_size: float, folder: str) -> dict[str, Any]:
    """Write a micrograph of Gaussian spots at SPOTS, with the given pixel size; return its row."""
    name = f"MotionCorr/{folder}/Movies/spots.mrc"
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    y, x = np.mgrid[: round(360 / pixel_size), : round(400 / pixel_size)] * pixel_size
    image = sum(np.exp(-((x - a) ** 2 + (y - b) ** 2) / (2 * 5.0**2)) for a, b in SPOTS)
    write_mrc(name, np.asarray(image, np.float32), pixel_size)
    return {"rlnMicrographName": name, "rlnOpticsGroup": 1}


def centres(images: np.ndarray, table: pd.DataFrame, pixel_size: float) -> np.ndarray:
    """Return where the spots are in their images, from the middle, once the images are moved by their origins; Å."""
    index = np.arange(images.shape[1]) - images.shape[1] // 2
    weights = images / images.sum((1, 2), keepdims=True)
    found = np.stack([(weights * index).sum((1, 2)), (weights * index[:, None]).sum((1, 2))], 1) * pixel_size
    return found + table[["rlnOriginXAngst", "rlnOriginYAngst"]].to_numpy()


def from_binned(stated: bool) -> Path:
    """Write particles refined on the binned micrograph, off centre by up to 14 Å, with fractions of coordinates."""
    picked = SPOTS / 3.0 + [(0.0, 0.0), (3.4, -2.1), (-4.7, 1.3), (2.2, 3.9)]
    origins = (np.trunc(picked) - SPOTS / 3.0) * 3.0  # what a refinement of the images finds
    table = pd.DataFrame({"rlnCoordinateX": picked[:, 0], "rlnCoordinateY": picked[:, 1],
                          "rlnMicrographName": "MotionCorr/job008/Movies/spots.mrc", "rlnOpticsGroup": 1,
                          "rlnImageName": [f"{i:06d}@old.mrcs" for i in range(1, 5)],
                          "rlnOriginXAngst": origins[:, 0], "rlnOriginYAngst": origins[:, 1], "rlnRandomSubset": 1})
    optics = {label: value for label, value in OPTICS.items() if label != "rlnMicrographPixelSize"}
    optics |= {"rlnImagePixelSize": 3.0, "rlnImageSize": 24} | ({"rlnMicrographPixelSize": 3.0} if stated else {})
    write_star("binned.star", {"optics": pd.DataFrame([optics]), "particles": table})
    return Path("binned.star")


@pytest.mark.parametrize("recenter", [False, True])
@pytest.mark.parametrize("stated", [False, True])  # ours says how the coordinates count, RELION's file does not
def test_particles_land_at_the_same_place_on_micrographs_of_another_pixel_size(recenter, stated) -> None:
    spots(3.0, "job008")
    path = from_binned(stated)
    images, table = run({"particles": path}, spots(1.5, "job009"), box_size=64, invert=False, normalise=False,
                        recenter=recenter)
    np.testing.assert_allclose(centres(images, table, 1.5), 0.0, atol=0.02)  # Å; the pixel is 1.5
    before = read_star(path)["particles"]
    moved = (table[["rlnCoordinateX", "rlnCoordinateY"]].to_numpy() * 1.5
             - before[["rlnCoordinateX", "rlnCoordinateY"]].to_numpy() * 3.0)
    assert np.abs(moved).max() > 5.0 if recenter else np.abs(moved).max() <= 3.0  # Å; the fraction that was dropped
    if recenter:
        assert table[["rlnOriginXAngst", "rlnOriginYAngst"]].abs().to_numpy().max() <= 0.75
    assert table["rlnRandomSubset"].tolist() == before["rlnRandomSubset"].tolist()


def test_coordinates_of_which_nobody_knows_how_they_count_are_refused() -> None:
    spots(3.0, "job008")
    Path("MotionCorr/job008/Movies/spots.mrc").rename("gone.mrc")
    row, path = spots(2.0, "job009"), from_binned(stated=False)
    state = extract.prepare(options(), OPTICS | {"rlnMicrographPixelSize": 2.0}, {"particles": path})
    with pytest.raises(CryosnakeError, match=r"binned\.star.*add the column rlnMicrographPixelSize"):
        extract.process(row, OPTICS, state, Path("Extract/job005/Movies/a"))


@pytest.mark.relion
@pytest.mark.parametrize(("given", "words"), [
    ({}, []), ({"reset_offsets": True}, ["--reset_offsets"]), ({"recenter": True}, ["--recenter"]),
    ({"recenter": True, "recenter_point": [9.0, 3.0, 6.0]},
     ["--recenter", "--recenter_x", "3", "--recenter_y", "1", "--recenter_z", "2", "--ref_angpix", "3"])])
def test_particles_again_as_relion_does(given: dict[str, Any], words: list[str], relion: Path) -> None:
    path = refined_particles(rlnMicrographName=NAME)
    named = pd.DataFrame([OPTICS] * 2).assign(rlnOpticsGroupName=["tilted", "plain"], rlnOpticsGroup=[1, 2])
    write_star("mics.star", {"optics": named, "micrographs": pd.DataFrame([ROW])})  # RELION looks for equal names
    theirs, tables = relion_preprocess(relion, "--reextract_data_star", str(path), "--norm", "--bg_radius", "18",
                                       "--invert_contrast", *words)
    images, table = run({"particles": path}, **given)
    np.testing.assert_allclose(images, theirs, atol=1e-3)
    assert list(table.columns) == list(tables["particles"].columns)
    numbers = [label for label in table if label not in ("rlnImageName", "rlnMicrographName")]
    np.testing.assert_allclose(table[numbers].astype(float), tables["particles"][numbers].astype(float), atol=1e-5)
    optics = pd.DataFrame(extract.optics_of_output([OPTICS], options(**given), {"particles": path}))
    pd.testing.assert_frame_equal(optics[sorted(optics)], tables["optics"][sorted(tables["optics"])], check_dtype=False)


def test_micrographs_without_particles_are_left_out_with_a_reason() -> None:
    write_coordinates([])
    with pytest.raises(Rejected, match="no particles"):
        run()
    Path(COORDINATES).write_text("")  # as RELION leaves it
    with pytest.raises(Rejected, match="no particles"):
        run()
    with pytest.raises(Rejected, match="no particles"):
        run({"particles": refined_particles(rlnMicrographName="Movies/b.mrc")})
    assert not os.listdir("Extract/job005/Movies")


@pytest.mark.parametrize(("given", "message"), [
    ({"box_size": 47}, "box_size is 47"), ({"rescale": 31}, "rescale is 31"), ({"box_size": 190}, "smaller box_size"),
    ({"background_diameter": 80}, "background_diameter"), ({"recenter": True}, "connect `particles`")])
def test_bad_options(given: dict[str, Any], message: str) -> None:
    with pytest.raises(CryosnakeError, match=message):
        run(**given)


def test_bad_inputs_are_refused() -> None:
    with pytest.raises(CryosnakeError, match="either `coordinates`"):
        extract.prepare(options(), OPTICS, {})
    path = refined_particles()
    with pytest.raises(CryosnakeError, match="exclude each other"):
        run({"particles": path}, recenter=True, reset_offsets=True)
    tables = read_star(path)
    write_star("cut.star", {**tables, "particles": tables["particles"].drop(columns="rlnOriginXAngst")})
    with pytest.raises(CryosnakeError, match=r"cut\.star: data_particles lacks rlnOriginXAngst"):
        run({"particles": Path("cut.star")}, recenter=True)
    two = tables["optics"].assign(rlnMicrographOriginalPixelSize=[1.5, 0.885])
    write_star("two.star", {**tables, "optics": two})
    with pytest.raises(CryosnakeError, match=r"two\.star.*several pixel sizes.*0\.885, 1\.5"):
        run({"particles": Path("two.star")})
    write_star("none.star", {"optics": tables["optics"], "particles": tables["particles"].iloc[:0]})
    with pytest.raises(CryosnakeError, match="no rows"):
        run({"particles": Path("none.star")})


@pytest.mark.parametrize(("label", "found"), [("rlnDefocusU", "None"), ("rlnDefocusV", "9000,5"),
                                              ("rlnDefocusAngle", float("nan")), ("rlnPhaseShift", "N/A"),
                                              ("rlnCtfScalefactor", -0.5)])
def test_a_micrograph_whose_ctf_is_no_number_is_named(label: str, found: object) -> None:
    with pytest.raises(CryosnakeError, match=f"^{NAME}: {label} is not .*{found}.*correct it in the STAR file"):
        run(row={**ROW, label: found})


def test_a_ctf_that_is_written_as_text_is_read() -> None:
    """As after one word in the column: then the fields of all micrographs are text."""
    texts = {label: str(value) for label, value in ROW.items() if label.startswith(("rlnDefocus", "rlnCtf"))}
    pd.testing.assert_frame_equal(run(row={**ROW, **texts})[1], run()[1])


@pytest.mark.parametrize(("spoil", "message"), [
    ("no micrograph", "run the job that makes it"), ("no coordinates", "run the picking job"),
    ("other columns", "no column rlnCoordinateX"), ("cut off", "fields"), ("off", "lies off the micrograph"),
    ("not a number", "not a number"), ("nan", "NaN")])
def test_bad_files(project: np.ndarray, spoil: str, message: str) -> None:
    if spoil == "no micrograph":
        Path(NAME).unlink()
    elif spoil == "no coordinates":
        Path(COORDINATES).unlink()
    elif spoil == "other columns":
        write_star(COORDINATES, {"": pd.DataFrame({"rlnAnglePsi": [1.0]})})
    elif spoil == "cut off":
        Path(COORDINATES).write_text(Path(COORDINATES).read_text().rstrip().rsplit(" ", 2)[0])
    elif spoil in ("off", "not a number"):
        write_coordinates([(300.0, 50.0) if spoil == "off" else (float("nan"), 50.0)] * 2)  # all of them
    else:
        project[5, 5] = np.nan
        with warnings.catch_warnings(), mrcfile.new(NAME, overwrite=True) as file:
            warnings.simplefilter("ignore", RuntimeWarning)
            file.set_data(project)
    with pytest.raises(CryosnakeError, match=message) as error:
        run()
    assert "/Movies/a" in str(error.value)
    assert not list(Path("Extract/job005/Movies").iterdir())
