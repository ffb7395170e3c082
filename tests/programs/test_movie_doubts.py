"""Movies that contradict their description are said, healthy ones are not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cryosnake.io.movies import read_frames
from cryosnake.io.mrc import read_mrc
from cryosnake.jobs.options import MotionCorrOptions
from cryosnake.numerics.motion.frame_order import jumps
from cryosnake.programs.micrographs import motioncorr
from cryosnake.programs.micrographs.movie_doubts import MovieDoubts
from cryosnake.programs.simulate.project import simulate_project

PIXEL, DOSE, SIZE, FRAMES = 1.77, 3.0, 448, 12


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("doubts")
    simulate_project(folder, movies=3, size=(SIZE, SIZE), frames=FRAMES, particles_per_movie=8, residues=240,
                     pixel_size=PIXEL, dose_per_frame=DOSE, contaminated=0.0, drift=30.0)
    return folder


@pytest.fixture(scope="module")
def movies(made: Path) -> list[np.ndarray]:
    return [read_frames(made / f"Movies/movie_{number:04d}.tiff") for number in (1, 2, 3)]


@pytest.fixture(scope="module")
def gain(made: Path) -> np.ndarray:
    return read_mrc(made / "gain.mrc")[0]


def said(capsys: pytest.CaptureFixture[str], movies: list[np.ndarray], applied: np.ndarray | None,
         pixel_size: float = PIXEL, rotation: int = 0, **chosen: Any) -> list[str]:
    options = MotionCorrOptions(**{"dose_per_frame": DOSE, "gain": "gain.mrc"} | chosen)
    doubts = MovieDoubts(options=options, rotation=rotation, pixel_size=pixel_size)
    for number, movie in enumerate(movies, 1):
        doubts.look_at(f"m{number}", movie, applied)
    return capsys.readouterr().out.splitlines()


def test_nothing_is_said_of_healthy_movies(capsys: pytest.CaptureFixture[str], movies: list[np.ndarray],
                                           gain: np.ndarray) -> None:
    assert not said(capsys, movies, gain)
    corrected = [movie * gain for movie in movies]
    assert not said(capsys, corrected, None, gain="")
    assert not said(capsys, [movies[0]] * 3, None, gain="")  # one movie under three names shows no pattern of a camera


@pytest.mark.parametrize("rotation", [0, 1, 3])
@pytest.mark.parametrize("flip", [0, 1, 2])
def test_a_turned_gain_is_named_with_what_is_right(capsys: pytest.CaptureFixture[str], movies: list[np.ndarray],
                                                   gain: np.ndarray, rotation: int, flip: int) -> None:
    if rotation == flip == 0:
        return
    turned = np.rot90(gain, -rotation)
    turned = turned[::-1] if flip == 1 else turned[:, ::-1] if flip == 2 else turned
    lines = said(capsys, movies, np.ascontiguousarray(turned), rotation=rotation, gain_flip=flip)
    assert len(lines) == 1
    assert "gain.mrc is turned" in lines[0] and "gain_rotation: 0, gain_flip: 0" in lines[0]


def test_other_gains_are_named(capsys: pytest.CaptureFixture[str], movies: list[np.ndarray], gain: np.ndarray) -> None:
    (reciprocal,) = said(capsys, movies, 1 / gain)
    assert "shows its reciprocal" in reciprocal
    (both,) = said(capsys, movies, 1 / gain[::-1])
    assert "of its reciprocal with gain_rotation: 0, gain_flip: 1" in both
    other = np.random.default_rng(3).normal(1.0, 0.04, gain.shape).astype(np.float32)
    (foreign,) = said(capsys, movies, other)
    assert "does not show its pattern in any orientation" in foreign
    (twice,) = said(capsys, [movie * gain for movie in movies], gain)
    assert "or none if the frames are corrected already" in twice
    (missing,) = said(capsys, movies, None, gain="")
    assert "they were not corrected" in missing
    assert not said(capsys, movies, np.ones_like(gain))  # a gain without a pattern says nothing


@pytest.mark.parametrize(("pixel_size", "dose"), [(PIXEL, 10 * DOSE), (PIXEL, DOSE / 10), (2 * PIXEL, DOSE),
                                                  (PIXEL / 2, DOSE)])
def test_dose_and_pixel_size_are_held_against_the_electrons(
        capsys: pytest.CaptureFixture[str], movies: list[np.ndarray], gain: np.ndarray, pixel_size: float, dose: float,
) -> None:
    (line,) = said(capsys, movies, gain, pixel_size, dose_per_frame=dose)
    assert "electrons in a pixel" in line and f"{dose:g} e/Å² at {pixel_size:g} Å" in line
    scaled = [20 * movie.astype(np.int16) for movie in movies]  # no counts of electrons
    assert not said(capsys, scaled, gain, pixel_size, dose_per_frame=dose)


def test_one_dark_movie_is_no_wrong_dose(capsys: pytest.CaptureFixture[str], movies: list[np.ndarray],
                                         gain: np.ndarray) -> None:
    dark = np.random.default_rng(1).poisson(0.2, movies[0].shape).astype(np.uint8)
    assert not said(capsys, [movies[0], dark, movies[1]], np.ones_like(gain))


@pytest.mark.parametrize("highest", [255, 1000, 60])
def test_inverted_movies_are_named(capsys: pytest.CaptureFixture[str], movies: list[np.ndarray], gain: np.ndarray,
                                   highest: int) -> None:
    inverted = [(highest - movie.astype(np.int16)).astype(np.float32) for movie in movies]
    assert any("contrast is inverted" in line for line in said(capsys, inverted, np.ones_like(gain)))


def test_shuffled_frames_are_named(capsys: pytest.CaptureFixture[str], made: Path, movies: list[np.ndarray],
                                   monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(made)
    optics = {"rlnOpticsGroup": 1, "rlnVoltage": 300.0, "rlnMicrographOriginalPixelSize": PIXEL}
    options = MotionCorrOptions(dose_per_frame=DOSE, gain="gain.mrc", device="cpu", patches=(1, 1))
    order = np.random.default_rng(2).permutation(FRAMES)
    for frames, lines in ((movies[0], 0), (movies[0][order], 1)):
        monkeypatch.setattr(motioncorr, "read_frames", lambda *_, frames=frames, **__: frames.copy())
        state = motioncorr.prepare(options, optics, {})
        assert "Optics group 1: 300 kV, 1.77 Å per pixel, 3 e/Å² per frame" in capsys.readouterr().out
        motioncorr.process({"rlnMicrographMovieName": "Movies/movie_0001.tiff"}, optics, state, tmp_path / "a")
        out = capsys.readouterr().out.splitlines()
        assert len(out) == lines and all("jump to and fro" in line for line in out)


@pytest.mark.parametrize("shape", ["straight", "early", "turning", "still", "few"])
def test_tracks_of_healthy_movies_do_not_jump(shape: str) -> None:
    t = np.linspace(0.0, 1.0, 24)
    x = {"straight": 20 * t, "early": 30 * (1 - np.exp(-6 * t)), "turning": 8 * np.cos(5 * t), "still": 0 * t,
         "few": 20 * t[:6]}[shape]
    rng = np.random.default_rng(4)
    for _ in range(50):
        assert not jumps(np.stack([x, 0.3 * x], axis=1) + rng.normal(0.0, 0.4, (len(x), 2)))
