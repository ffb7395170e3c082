"""MotionCorr on small simulated movies: its products, its rows, and what it says of bad input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pytest

from cryosnake.errors import CryosnakeError
from cryosnake.io.movies import read_frames, write_movie_tiff
from cryosnake.io.mrc import read_mrc, write_mrc
from cryosnake.io.star import read_star
from cryosnake.jobs.options import MotionCorrOptions
from cryosnake.programs.micrographs import motioncorr
from cryosnake.programs.micrographs.motioncorr_files import accumulated_motion
from cryosnake.programs.simulate.project import simulate_project

PIXEL, DOSE = 1.77, 3.0
OPTICS: dict[str, Any] = {"rlnOpticsGroup": 1, "rlnVoltage": 300.0, "rlnMicrographOriginalPixelSize": PIXEL}
MOVIE = "Movies/movie_0001.tiff"
SIZE, FRAMES = (384, 320), 8


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("motioncorr")
    simulate_project(folder, movies=1, size=SIZE, frames=FRAMES, particles_per_movie=4, residues=240,
                     pixel_size=PIXEL, dose_per_frame=DOSE, contaminated=0.0)
    return folder


@pytest.fixture
def project(made: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(made)
    return made


def options(**chosen: Any) -> MotionCorrOptions:
    return MotionCorrOptions(**{"dose_per_frame": DOSE, "device": "cpu"} | chosen)


def correct(name: str, root: str, optics: dict[str, Any] = OPTICS, row: dict[str, Any] | None = None, **chosen: Any,
            ) -> dict[str, Any]:
    state = motioncorr.prepare(options(**chosen), optics, {})
    of_movie = {"rlnMicrographMovieName": name, "rlnOpticsGroup": 1, **(row or {})}
    return motioncorr.process(of_movie, optics, state, Path(root))


def general(row: dict[str, Any]) -> dict[str, Any]:
    return dict(read_star(row["rlnMicrographMetadata"])["general"].iloc[0])


def test_products_and_row(project: Path) -> None:
    row = correct(MOVIE, "MotionCorr/job002/Movies/a", gain="gain.mrc", save_unweighted=True)
    assert list(row) == ["rlnMicrographNameNoDW", "rlnCtfPowerSpectrum", "rlnMicrographName", "rlnMicrographMetadata",
                         "rlnOpticsGroup", "rlnAccumMotionTotal", "rlnAccumMotionEarly", "rlnAccumMotionLate"]
    assert row["rlnMicrographName"] == "MotionCorr/job002/Movies/a.mrc"
    assert row["rlnAccumMotionTotal"] == pytest.approx(row["rlnAccumMotionEarly"] + row["rlnAccumMotionLate"])
    weighted, pixel = read_mrc(row["rlnMicrographName"])
    unweighted, _ = read_mrc(row["rlnMicrographNameNoDW"])
    spectrum, _ = read_mrc(row["rlnCtfPowerSpectrum"])
    assert weighted.shape == unweighted.shape == SIZE and pixel == pytest.approx(PIXEL)
    assert spectrum.shape == (512, 512) and np.unravel_index(spectrum.argmax(), (512, 512)) == (256, 256)
    counts = read_frames(MOVIE).sum(axis=0) * read_mrc("gain.mrc")[0]
    assert unweighted.mean() == pytest.approx(np.median(counts), rel=0.02)
    # q = 1 at zero frequency: the weighted mean is the sum over sqrt(frames), as RELION's
    assert weighted.mean() == pytest.approx(unweighted.mean() / np.sqrt(FRAMES), rel=1e-3)
    assert not list(Path("MotionCorr/job002/Movies").glob(".*"))
    blocks = read_star(row["rlnMicrographMetadata"])
    assert list(blocks) == ["general", "global_shift", "local_motion_model", "hot_pixels", "local_shift"]
    assert len(blocks["local_motion_model"]) == 36 and len(blocks["global_shift"]) == FRAMES
    assert len(blocks["local_shift"]) == FRAMES * 3 * 4  # 384 x 320 pixels carry 3 by 4 patches
    assert general(row)["rlnMicrographGainName"] == "gain.mrc"


def test_bad_pixels_of_the_camera_are_found(project: Path) -> None:
    """The simulated camera lists its hot and dead pixels; all but a few near the noise are found."""
    row = correct(MOVIE, "hot/a", gain="gain.mrc")
    table = read_star(row["rlnMicrographMetadata"])["hot_pixels"]
    found = {(int(x), int(y)) for x, y in table.itertuples(index=False)}
    truth = {(int(x), int(y)) for x, y, _, _ in np.loadtxt("truth/defects.txt")}
    assert len(found & truth) >= 0.9 * len(truth)
    assert len(found - truth) <= 1
    image = read_mrc(row["rlnMicrographName"])[0]
    assert image.max() < image.mean() + 10 * image.std()


def test_defects_of_a_list_are_not_listed_again(project: Path) -> None:
    row = correct(MOVIE, "listed/a", gain="gain.mrc", defects="truth/defects.txt")
    assert general(row)["rlnMicrographDefectFile"] == "truth/defects.txt"
    assert "hot_pixels" not in read_star(row["rlnMicrographMetadata"])


def test_same_movie_gives_the_same_bytes(project: Path) -> None:
    first, second = (correct(MOVIE, f"twice/{n}", gain="gain.mrc") for n in "ab")
    a, b = (read_mrc(row["rlnMicrographName"])[0] for row in (first, second))
    np.testing.assert_array_equal(a, b)


def test_part_of_the_frames(project: Path) -> None:
    row = correct(MOVIE, "part/a", gain="gain.mrc", first_frame=3, last_frame=6)
    shifts = read_star(row["rlnMicrographMetadata"])["global_shift"]
    used = shifts.rlnMicrographShiftX > -9999
    assert shifts.rlnMicrographFrameNumber[used].tolist() == [3, 4, 5, 6]
    assert shifts.rlnMicrographShiftX[2] == 0
    assert general(row)["rlnMicrographStartFrame"] == 3 and general(row)["rlnImageSizeZ"] == FRAMES
    assert row["rlnAccumMotionEarly"] == 0  # 9 e/Å² are over by then


def test_pre_exposure_of_each_movie_is_added_to_that_of_all(project: Path) -> None:
    """As in RELION: rlnMicrographPreExposure of the row, which other programs may have written as text."""
    quick: dict[str, Any] = {"patches": [1, 1], "power_spectrum": False, "bin_factor": 4.0, "dose_per_frame": 1.0}
    for row, before in (({"rlnMicrographPreExposure": "25.0"}, 15.0), ({}, 0.0)):
        made = correct(MOVIE, "exposed/a", row=row, pre_exposure=before, **quick)
        assert general(made)["rlnMicrographPreExposure"] == before + float(row.get("rlnMicrographPreExposure", 0))
        assert (made["rlnAccumMotionEarly"] == 0.0) == bool(row)  # the first 4 e/Å²
    for wrong in ("None", "nan", "-3", "1e9", "12,5"):
        with pytest.raises(CryosnakeError, match=f"{MOVIE}: rlnMicrographPreExposure is not .*{wrong}"):
            correct(MOVIE, "exposed/bad", row={"rlnMicrographPreExposure": wrong})


def test_binning_by_fourier_crop(project: Path) -> None:
    row = correct(MOVIE, "binned/a", gain="gain.mrc", bin_factor=2.0, dose_weighting=False)
    full = correct(MOVIE, "binned/b", gain="gain.mrc", dose_weighting=False)
    image, pixel = read_mrc(row["rlnMicrographName"])
    assert image.shape == (SIZE[0] // 2, SIZE[1] // 2) and pixel == pytest.approx(2 * PIXEL)
    assert image.mean() == pytest.approx(read_mrc(full["rlnMicrographName"])[0].mean(), rel=1e-3)
    shifts = [read_star(r["rlnMicrographMetadata"])["global_shift"].rlnMicrographShiftX for r in (row, full)]
    np.testing.assert_allclose(shifts[0], shifts[1], atol=1e-5)  # in pixels of the movie
    assert motioncorr.update_optics(OPTICS, options(bin_factor=2.0))["rlnMicrographPixelSize"] == 2 * PIXEL


def test_half_precision_and_no_power_spectrum(project: Path) -> None:
    row = correct(MOVIE, "half/a", gain="gain.mrc", float16=True, power_spectrum=False)
    with mrcfile.open(row["rlnMicrographName"]) as file:
        assert int(file.header.mode) == 12
    assert "rlnCtfPowerSpectrum" not in row and not Path("half/a_PS.mrc").exists()


def test_one_frame_movie(project: Path) -> None:
    write_movie_tiff("one.tiff", read_frames(MOVIE)[:1])
    row = correct("one.tiff", "one/a", gain="gain.mrc", dose_weighting=False)
    assert row["rlnAccumMotionTotal"] == 0 and general(row)["rlnMotionModelVersion"] == 0
    image = read_mrc(row["rlnMicrographName"])[0]
    expected = read_frames("one.tiff")[0] * read_mrc("gain.mrc")[0]
    assert np.mean(np.abs(image - expected) < 1e-3) > 0.999  # all but the bad pixels


def test_a_movie_at_rest_is_its_plain_sum(project: Path) -> None:
    frames = np.repeat(read_frames(MOVIE, 1, 1), 4, axis=0)  # noise and all: every shift is exactly 0
    write_movie_tiff("rest.tiff", frames)
    row = correct("rest.tiff", "rest/a", gain="gain.mrc", dose_weighting=False)
    image, expected = read_mrc(row["rlnMicrographName"])[0], frames.sum(axis=0) * read_mrc("gain.mrc")[0]
    assert row["rlnAccumMotionTotal"] < 3 * 0.01  # steps below 0.01 pixel end the search
    assert np.percentile(np.abs(image - expected), 99.9) < 0.05 * expected.std()


def test_accumulated_motion_is_relions() -> None:
    """The path of movie 00021 of the real project: RELION wrote 2.503 early, from two steps of 1.277 e/Å² frames."""
    shifts = np.array([[0.0, 0.0], [0.960904, -0.81203], [1.954052, -1.56342], [2.548901, -2.10907]])
    total, early, late = accumulated_motion(shifts, 1.277 * np.arange(1, 5), 4.0)
    assert early == pytest.approx(2.503429, abs=1e-5)
    assert total == pytest.approx(early + late)


@pytest.mark.parametrize(("dose", "before", "early"), [
    (1.0, 0.0, 3.0), (2.0, 0.0, 1.0), (3.0, 0.0, 1.0), (6.0, 0.0, 1.0), (6.0, 3.0, 1.0), (6.0, 4.0, 0.0)])
def test_frames_of_much_dose_have_early_motion_too(dose: float, before: float, early: float) -> None:
    shifts = np.array([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0], [3.0, 0.0], [4.0, 0.0]])
    found = accumulated_motion(shifts, before + dose * np.arange(1, 6), 4.0)
    assert found == pytest.approx((4.0, early, 4.0 - early))


def refused(match: str, name: str = MOVIE, optics: dict[str, Any] = OPTICS, **chosen: Any) -> None:
    with pytest.raises(CryosnakeError, match=match):
        correct(name, "refused/a", optics, **chosen)
    assert not list(Path("refused").glob("*")) if Path("refused").exists() else True


def test_gain_of_another_shape(project: Path) -> None:
    write_mrc("other.mrc", np.ones((200, 300), dtype=np.float32), PIXEL)
    refused("other.mrc: the gain has 300 x 200", gain="other.mrc")
    refused("gain_rotation", gain="gain.mrc", gain_rotation=1)
    refused("gain_rotation is 45", gain="gain.mrc", gain_rotation=45)


def test_gain_with_nan(project: Path) -> None:
    data = bytearray(Path("gain.mrc").read_bytes())
    data[1024 + 4000 : 1024 + 4004] = np.float32(np.nan).tobytes()
    Path("nan.mrc").write_bytes(data)
    refused("nan.mrc", gain="nan.mrc")


def test_gain_of_another_session(project: Path) -> None:
    """A gain that leaves a quarter of the camera dark."""
    gain = read_mrc("gain.mrc")[0].copy()
    gain[: SIZE[0] // 4] = 0
    write_mrc("dark.mrc", gain, PIXEL)
    refused("does not belong to this movie", gain="dark.mrc")


def test_truncated_and_missing_movie(project: Path) -> None:
    whole = Path(MOVIE).read_bytes()
    Path("cut.tiff").write_bytes(whole[: len(whole) // 2])
    refused("cut.tiff", name="cut.tiff")
    refused("none.tiff", name="none.tiff")


def test_blank_movie(project: Path) -> None:
    write_movie_tiff("blank.tiff", np.ones((4, 64, 64), dtype=np.uint8))
    refused("blank.tiff: all pixels of the movie have the same value", name="blank.tiff")


def test_frames_that_are_not_there(project: Path) -> None:
    refused("has 8 frames; 9 to -1", first_frame=9)


def test_dose_that_is_missing(project: Path) -> None:
    refused("dose_per_frame is None", dose_per_frame=None)
    refused("needs a dose", dose_per_frame=0.0)


def test_voltage_and_pixel_size_that_are_missing(project: Path) -> None:
    refused("rlnVoltage", optics={k: v for k, v in OPTICS.items() if k != "rlnVoltage"})
    refused("rlnMicrographOriginalPixelSize", optics=OPTICS | {"rlnMicrographOriginalPixelSize": "nan"})
    refused("not for 120", optics=OPTICS | {"rlnVoltage": 120.0})
