"""Polish from input that is right in unusual ways, or wrong: gains, optics groups, sizes, sessions."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from polish_project import BOX, PIXEL, STEMS, coordinates, make_project, nothing, run, tracks_of

from cryosnake.errors import CryosnakeError
from cryosnake.io.gain import read_gain, turned_name, write_turned_gain
from cryosnake.io.mrc import read_images, read_mrc, write_mrc
from cryosnake.io.mrc_header import read_header
from cryosnake.io.star import read_star, write_star
from cryosnake.jobs.options import MotionCorrOptions, PolishOptions
from cryosnake.pipeline.job_star import write_job_star
from cryosnake.programs.micrographs import motioncorr
from cryosnake.programs.polish import polish
from cryosnake.programs.polish.motion_metadata import read_motion

MOTION = "MotionCorr/job002/Movies/movie_0001.star"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project, and Polish/job010 with first movie only."""
    folder = tmp_path_factory.mktemp("polish")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        make_project()
        first_movie()
        run("Polish/job010", "first.star")
    return folder


@pytest.fixture(autouse=True)
def project(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(made)


def first_movie() -> dict[str, pd.DataFrame]:
    """Write first.star, the particles of the first movie."""
    tables = read_star("particles.star")
    tables["particles"] = tables["particles"].iloc[: len(coordinates())]
    write_star("first.star", tables)
    return tables


def unturned(gain: np.ndarray) -> np.ndarray:
    """Return a reference that, turned by 90 degrees and then flipped upside down, is the given one."""
    return np.rot90(gain[::-1], 1)


def images_of(job: str) -> np.ndarray:
    return read_images(read_star(f"{job}/shiny.star")["particles"]["rlnImageName"].tolist())


def same_result(job: str) -> None:
    """Tracks and images are those of Polish/job010, but for where the search for tracks ends."""
    tracks = [tracks_of(Path(f"{each}/Movies/movie_0001_tracks.star")) for each in (job, "Polish/job010")]
    assert np.abs(tracks[0] - tracks[1]).max() < 0.01
    assert np.corrcoef(images_of(job).ravel(), images_of("Polish/job010").ravel())[0, 1] > 0.9999


def test_motioncorr_names_the_gain_as_it_lies_on_the_frames() -> None:
    gain = read_mrc("gain.mrc")[0]
    Path("turned").mkdir()
    write_mrc("turned/gain.mrc", unturned(gain), PIXEL)
    optics = dict(read_star("particles.star")["optics"].iloc[0])
    options = MotionCorrOptions(dose_per_frame=4.0, gain="turned/gain.mrc", gain_rotation=90, gain_flip=1,
                                patches=[1, 1], device="cpu")
    state = motioncorr.prepare(options, optics, {})
    row = motioncorr.process({"rlnMicrographMovieName": "Movies/movie_0001.tiff", "rlnOpticsGroup": 1}, optics, state,
                             Path("MotionCorr/job020/Movies/movie_0001"))
    motion = read_motion(row["rlnMicrographMetadata"])
    assert (motion.gain, motion.gain_turn) == ("MotionCorr/job020/gain.turned.mrc", (0, 0))
    np.testing.assert_array_equal(read_gain(motion.gain, motion.shape), gain)
    before = Path(motion.gain).stat().st_mtime_ns
    motioncorr.prepare(options, optics, {}).calibration.applied_gain(Path("MotionCorr/job020/Movies/b"))
    assert Path(motion.gain).stat().st_mtime_ns == before  # equal: not written again


@pytest.mark.parametrize("source", ["gain.mrc", "falcon.gain"])
def test_a_turned_copy_is_what_is_applied(tmp_path: Path, source: str) -> None:
    """Also to EER, where a gain in MRC divides and one named .gain multiplies, and detector pixels may be halved."""
    rng = np.random.default_rng(1)
    gain = (1.0 + 0.1 * rng.random((12, 8))).astype(np.float32)
    if source == "gain.mrc":
        write_mrc(tmp_path / source, gain, 1.0)
    else:
        import tifffile

        tifffile.imwrite(tmp_path / source, gain, photometric="minisblack")
    copy = tmp_path / turned_name(source)
    write_turned_gain(copy, tmp_path / source, 3, 2)
    for movie, shape in (("a.mrcs", (8, 12)), ("a.eer", (16, 24))):
        np.testing.assert_allclose(read_gain(copy, shape, movie=movie),
                                   read_gain(tmp_path / source, shape, 3, 2, movie=movie), rtol=1e-6)


def test_a_gain_that_is_still_to_be_turned(made: Path) -> None:
    """As earlier versions of MotionCorr recorded it: images are those with a gain that lies on the frames."""
    write_mrc("camera.mrc", unturned(read_mrc("gain.mrc")[0]), PIXEL)
    text = Path(MOTION).read_text()
    job = Path("MotionCorr/job002/job.star")
    given = {"fn_gain_ref": "camera.mrc", "gain_rot": "90 degrees (1)", "gain_flip": "Flip upside down (1)"}
    try:
        write_job_star(job, 1, "relion.motioncorr.own", False, given)
        Path(MOTION).write_text(text.replace("gain.mrc", "camera.mrc"))
        run("Polish/job011", "first.star")
        same_result("Polish/job011")
        Path(MOTION).write_text(text.replace("gain.mrc", "./camera.mrc"))
        assert read_motion(MOTION).gain_turn == (1, 1)
        Path(MOTION).write_text(text.replace("gain.mrc", "camera.mrc"))
        job.unlink()
        write_job_star(job, 1, "relion.motioncorr.own", False, given | {"gain_rot": "a little"})
        from cryosnake.programs.polish.gain_turn import _options

        _options.cache_clear()
        with pytest.raises(CryosnakeError, match="gain_rot is 'a little'"):
            read_motion(MOTION)
    finally:
        Path(MOTION).write_text(text)
        job.unlink()


def test_particles_of_one_movie_in_several_optics_groups() -> None:
    """Groups that differ in nothing but their number change nothing."""
    tables = first_movie()
    two = pd.concat([tables["optics"], tables["optics"].assign(rlnOpticsGroup=2, rlnOpticsGroupName="second")])
    rows = tables["particles"].assign(rlnOpticsGroup=1 + np.arange(len(tables["particles"])) % 2)
    write_star("groups.star", {"optics": two, "particles": rows})
    found = run("Polish/job012", "groups.star")
    same_result("Polish/job012")
    assert found["optics"]["rlnImageSize"].tolist() == [BOX, BOX]


def test_groups_of_other_boxes_and_pixels() -> None:
    """Each keeps its own; tracks are found together."""
    tables = first_movie()
    other = tables["optics"].assign(rlnOpticsGroup=2, rlnOpticsGroupName="small", rlnImageSize=64,
                                    rlnImagePixelSize=PIXEL * 80 / 64)
    rows = tables["particles"].assign(rlnOpticsGroup=1 + np.arange(len(tables["particles"])) % 2)
    write_star("boxes.star", {"optics": pd.concat([tables["optics"], other]), "particles": rows})
    found = run("Polish/job013", "boxes.star")
    assert found["optics"]["rlnImageSize"].tolist() == [BOX, 64]
    assert found["optics"]["rlnImagePixelSize"].tolist() == pytest.approx([PIXEL, PIXEL * 80 / 64], abs=1e-6)
    names = found["particles"]["rlnImageName"].tolist()
    assert names[:3] == [f"{number}@Polish/job013/Movies/movie_0001_shiny_{size}.mrcs" for number, size in
                         ((1, "96-96"), (1, "80-64"), (2, "96-96"))]
    assert read_header("Polish/job013/Movies/movie_0001_shiny_80-64.mrcs").nx == 64
    tracks = [tracks_of(Path(f"Polish/job0{number}/Movies/movie_0001_tracks.star")) for number in (10, 13)]
    assert np.abs(tracks[0] - tracks[1]).max() < 0.05


def test_boxes_about_the_refined_centres() -> None:
    """Origins of whole pixels become coordinates; the particle is then in the middle."""
    tables = first_movie()
    moved = tables["particles"].copy()
    moved["rlnCoordinateX"] += 3.0
    moved["rlnOriginXAngst"] += 3.0 * PIXEL
    write_star("moved.star", {**tables, "particles": moved})
    found = run("Polish/job014", "moved.star", recenter=True)["particles"]
    assert found["rlnCoordinateX"].to_numpy() == pytest.approx(tables["particles"]["rlnCoordinateX"].to_numpy())
    origins = [table["rlnOriginXAngst"].to_numpy(float) for table in (found, tables["particles"])]
    assert origins[0] == pytest.approx(origins[1], abs=1e-5)
    same_result("Polish/job014")


def test_movies_of_the_same_name_in_two_sessions() -> None:
    """Each keeps its own files."""
    tables, listed = first_movie(), read_star("corrected_micrographs.star")
    rows, row = tables["particles"], listed["micrographs"].iloc[:1]
    shutil.copytree("MotionCorr", "sessionB/MotionCorr", dirs_exist_ok=True)
    for table, label in ((rows, "rlnMicrographName"), (row, "rlnMicrographName")):
        assert table[label].iloc[0].startswith("MotionCorr/")
    both = pd.concat([rows, rows.assign(rlnMicrographName="sessionB/" + rows["rlnMicrographName"],
                                        rlnImageName=rows["rlnImageName"].str.replace("Extract", "sessionB/Extract"))])
    write_star("both.star", {**tables, "particles": both})
    write_star("both_micrographs.star", {**listed, "micrographs": pd.concat([
        row, row.assign(rlnMicrographName="sessionB/" + row["rlnMicrographName"])])})
    Path("Polish/job015").mkdir(parents=True)
    polish.run(PolishOptions(), {"particles": "both.star", "postprocess": "postprocess.star",
                                 "micrographs": "both_micrographs.star"}, "Polish/job015", nothing)
    names = read_star("Polish/job015/shiny.star")["particles"]["rlnImageName"]
    assert len(set(names)) == len(both)
    np.testing.assert_allclose(images_of("Polish/job015")[: len(rows)], images_of("Polish/job015")[len(rows) :])


def test_movies_of_other_pixels_in_one_optics_group_are_refused() -> None:
    second = f"MotionCorr/job002/Movies/{STEMS[1]}.star"
    text = Path(second).read_text()
    try:
        Path(second).write_text(text.replace("1.770000", "1.500000"))
        with pytest.raises(CryosnakeError, match=r"optics group .* 1\.77 Å .* 1\.5 Å per pixel"):
            run("Polish/job016")
    finally:
        Path(second).write_text(text)
