"""MotionCorr beside RELION 3.1 on the same movies, and RELION as a reader of its metadata."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.fft

from cryosnake.io.movies import write_movie_tiff
from cryosnake.io.mrc import read_mrc, write_mrc
from cryosnake.io.star import read_star, write_star
from cryosnake.jobs.options import MotionCorrOptions
from cryosnake.numerics.motion.local_model import local_shifts
from cryosnake.programs.micrographs import motioncorr
from cryosnake.programs.simulate.project import simulate_project

pytestmark = pytest.mark.relion

PIXEL, DOSE, FRAMES, SIZE, MOVIES = 1.5, 2.5, 16, 576, 4
OPTICS = {"rlnOpticsGroupName": "opticsGroup1", "rlnOpticsGroup": 1, "rlnMicrographOriginalPixelSize": PIXEL,
          "rlnVoltage": 300.0, "rlnSphericalAberration": 2.7, "rlnAmplitudeContrast": 0.1}


def run(folder: Path, *command: str) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"


def ours(folder: Path, movies: list[str], **chosen: object) -> list[dict[str, object]]:
    options = MotionCorrOptions(**{"dose_per_frame": DOSE, "device": "cpu"} | chosen)
    before = Path.cwd()
    os.chdir(folder)
    try:
        state = motioncorr.prepare(options, OPTICS, {})
        return [motioncorr.process({"rlnMicrographMovieName": name, "rlnOpticsGroup": 1}, OPTICS, state,
                                   Path("ours") / Path(name).with_suffix("")) for name in movies]
    finally:
        os.chdir(before)


def theirs(folder: Path, movies: list[str], *more: str) -> None:
    write_star(folder / "movies.star", {"optics": pd.DataFrame([OPTICS]), "movies": pd.DataFrame(
        {"rlnMicrographMovieName": movies, "rlnOpticsGroup": 1})})
    run(folder, "relion_run_motioncorr", "--i", "movies.star", "--o", "theirs/", "--use_own", "--j", "1",
        "--bfactor", "150", "--dose_per_frame", str(DOSE), "--dose_weighting", "--save_noDW", *more)


@pytest.fixture(scope="module")
def project(relion: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four movies, each with motion, particles and noise of its own, corrected by both."""
    folder = tmp_path_factory.mktemp("beside")
    simulate_project(folder, movies=MOVIES, size=(SIZE, SIZE), frames=FRAMES, pixel_size=PIXEL, dose_per_frame=DOSE,
                     particles_per_movie=16, residues=480, box_pixel_size=3.0, contaminated=0.25, seed=7)
    movies = [f"Movies/movie_{n:04d}.tiff" for n in range(1, MOVIES + 1)]
    ours(folder, movies, gain="gain.mrc")
    theirs(folder, movies, "--gainref", "gain.mrc", "--patch_x", "5", "--patch_y", "5", "--grouping_for_ps", "2")
    return folder


def tracks(star: Path, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the whole frames' shifts (f, 2) and those at places (f, p, 2) of a movie's metadata."""
    blocks = read_star(star)
    whole = blocks["global_shift"][["rlnMicrographShiftX", "rlnMicrographShiftY"]].to_numpy()
    general = blocks["general"].iloc[0]
    local = np.zeros((len(whole), len(places), 2))
    if "local_motion_model" in blocks:
        shape = (int(general.rlnImageSizeY), int(general.rlnImageSizeX))
        coefficients = blocks["local_motion_model"].rlnMotionModelCoeff.to_numpy()
        local = local_shifts(coefficients, np.arange(len(whole)), places, shape)
    return whole, whole[:, None] + local


def truth_of(star: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the particles' places (p, 2) and true shifts (f, p, 2)."""
    blocks = read_star(star)
    whole = blocks["global_shift"][["rlnMicrographShiftX", "rlnMicrographShiftY"]].to_numpy()
    table = blocks["local_shift"]
    local = table[["rlnMicrographShiftX", "rlnMicrographShiftY"]].to_numpy().reshape(-1, len(whole), 2)
    places = table[["rlnCoordinateX", "rlnCoordinateY"]].to_numpy()[:: len(whole)]
    return places, whole[:, None] + local.transpose(1, 0, 2)


def rmse(found: np.ndarray, truth: np.ndarray) -> float:
    """Pixels; a shift of all frames together is no error."""
    difference = found - truth
    difference = difference - difference.mean(axis=0)
    return float(np.sqrt(np.mean(np.sum(difference**2, axis=-1))))


def test_tracks_are_no_worse_than_relions(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whole-frame shifts against the mean true motion, and tracks at the particles, over all movies."""
    errors: dict[str, list[float]] = {f"{who} {what}": [] for who in ("ours", "theirs") for what in ("whole", "local")}
    for n in range(1, MOVIES + 1):
        places, truth = truth_of(project / f"truth/motion/movie_{n:04d}.star")
        for who in ("ours", "theirs"):
            whole, local = tracks(project / who / f"Movies/movie_{n:04d}.star", places)
            errors[f"{who} whole"].append(rmse(whole[:, None], truth.mean(axis=1, keepdims=True)))
            errors[f"{who} local"].append(rmse(local, truth))
    mean = {name: float(np.sqrt(np.mean(np.square(values)))) for name, values in errors.items()}
    with capsys.disabled():
        for what in ("whole", "local"):
            print(f"\nmotion, {what}: RMSE ours {mean['ours ' + what]:.3f} px, RELION {mean['theirs ' + what]:.3f} px; "
                  f"per movie {np.round(errors['ours ' + what], 3)} and {np.round(errors['theirs ' + what], 3)}")
    assert mean["ours whole"] <= mean["theirs whole"]
    assert mean["ours local"] <= mean["theirs local"]
    assert mean["ours local"] < 0.5  # and good in itself: 0.75 Å


def test_columns_and_files_are_relions(project: Path) -> None:
    for n in range(1, MOVIES + 1):
        mine, other = (read_star(project / who / f"Movies/movie_{n:04d}.star") for who in ("ours", "theirs"))
        assert list(mine["general"].columns) == list(other["general"].columns)
        for block in ("global_shift", "local_shift", "hot_pixels"):
            assert list(mine[block].columns) == list(other[block].columns)
        for suffix in (".mrc", "_PS.mrc"):
            (a, pixel), (b, other_pixel) = (read_mrc(project / who / f"Movies/movie_{n:04d}{suffix}")
                                            for who in ("ours", "theirs"))
            assert a.shape == b.shape and pixel == pytest.approx(other_pixel, rel=1e-4)


def test_sums_and_spectrum_of_a_movie_at_rest(relion: Path, tmp_path: Path) -> None:
    """Without motion nothing but scale and dose weights is left, and these are RELION's."""
    rng = np.random.default_rng(3)
    size = 512
    specimen = scipy.fft.irfft2(scipy.fft.rfft2(rng.normal(size=(size, size))) * np.exp(
        -200 * (np.fft.fftfreq(size)[:, None] ** 2 + np.fft.rfftfreq(size)[None] ** 2)), s=(size, size))
    frames = rng.poisson(20 * (1 + 0.5 * specimen / specimen.std()).clip(0.1), (6, size, size)).astype(np.uint8)
    write_movie_tiff(tmp_path / "rest.tiff", frames)
    ours(tmp_path, ["rest.tiff"], patches=[1, 1], save_unweighted=True, power_spectrum_dose=2 * DOSE, pre_exposure=2.0)
    theirs(tmp_path, ["rest.tiff"], "--grouping_for_ps", "2", "--preexposure", "2")
    assert np.abs(tracks(tmp_path / "theirs/rest.star", np.zeros((1, 2)))[0]).max() < 0.1
    for suffix, least in (("_noDW.mrc", 0.999), (".mrc", 0.999)):
        mine, other = (read_mrc(tmp_path / who / f"rest{suffix}")[0] for who in ("ours", "theirs"))
        assert mine.mean() == pytest.approx(other.mean(), rel=1e-4)
        assert np.corrcoef(mine.ravel(), other.ravel())[0, 1] > least
        assert np.linalg.norm(mine - mine.mean()) == pytest.approx(np.linalg.norm(other - other.mean()), rel=0.01)
    mine, other = (read_mrc(tmp_path / who / "rest_PS.mrc")[0] for who in ("ours", "theirs"))
    inside = np.hypot(*(np.mgrid[:512, :512] - 256)) < 250
    np.testing.assert_allclose(mine[inside], other[inside], rtol=0.02, atol=0.01 * float(np.median(other)))


def test_relion_polishes_from_our_metadata(project: Path) -> None:
    """relion_motion_refine takes movies, gain and tracks from our STAR files; its tracks stay near the truth."""
    particles = read_star(project / "truth/particles.star")["particles"]
    particles["rlnMicrographName"] = "ours/" + particles.rlnMicrographName
    particles["rlnImageName"] = [f"{i + 1:06d}@none.mrcs" for i in range(len(particles))]
    particles["rlnRandomSubset"] = np.arange(len(particles)) % 2 + 1
    box = 64
    image_optics = {**OPTICS, "rlnImagePixelSize": 3.0, "rlnImageSize": box, "rlnImageDimensionality": 2}
    write_star(project / "particles.star", {"optics": pd.DataFrame([image_optics]), "particles": particles})
    names = sorted(set(particles.rlnMicrographName))
    write_star(project / "corrected.star", {
        "optics": pd.DataFrame([{**OPTICS, "rlnMicrographPixelSize": PIXEL}]),
        "micrographs": pd.DataFrame({"rlnMicrographName": names, "rlnOpticsGroup": 1, "rlnMicrographMetadata": [
            name.replace(".mrc", ".star") for name in names]})})
    density, pixel = read_mrc(project / "truth/map.mrc")
    assert pixel == pytest.approx(3.0) and density.shape[0] == box
    rng = np.random.default_rng(0)
    for half in (1, 2):
        noisy = density + 2 * density.std() * rng.normal(size=density.shape)
        write_mrc(project / f"half{half}_class001_unfil.mrc", noisy.astype(np.float32), pixel)
    write_mrc(project / "mask.mrc", np.clip(density / density.max() * 20, 0, 1).astype(np.float32), pixel)
    (project / "post").mkdir()
    run(project, "relion_postprocess", "--i", "half1_class001_unfil.mrc", "--i2", "half2_class001_unfil.mrc",
        "--mask", "mask.mrc", "--o", "post/postprocess", "--angpix", str(pixel))
    run(project, "relion_motion_refine", "--i", "particles.star", "--f", "post/postprocess.star",
        "--m1", "half1_class001_unfil.mrc", "--m2", "half2_class001_unfil.mrc", "--angpix_ref", str(pixel),
        "--corr_mic", "corrected.star", "--first_frame", "1", "--last_frame", "-1", "--o", "polish/",
        "--s_vel", "0.2", "--s_div", "5000", "--s_acc", "2", "--j", "1")
    for n in range(1, MOVIES + 1):
        _, truth = truth_of(project / f"truth/motion/movie_{n:04d}.star")
        blocks = read_star(next((project / "polish").rglob(f"movie_{n:04d}_tracks.star")))
        polished = np.stack([blocks[str(p)].to_numpy() for p in range(truth.shape[1])], axis=1) / PIXEL
        assert rmse(-polished, truth) < 0.6  # RELION's tracks are origins: minus the shift
        assert rmse(np.zeros_like(truth), truth) > 1.5
