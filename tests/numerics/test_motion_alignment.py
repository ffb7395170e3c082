"""Whole frames, patches and the joint local model on scenes with a known truth."""

import numpy as np
import pytest
import scipy.fft
import scipy.ndimage

from cryosnake.numerics.motion.correlation import make_band, narrow
from cryosnake.numerics.motion.local_model import local_shifts, mean_motion
from cryosnake.numerics.motion.patches import frame_groups, patch_grid
from cryosnake.numerics.motion.track import AlignmentSettings, MovieMotion, track_motion
from cryosnake.numerics.motion.whole_frame import align_frames


def scene(shape: tuple[int, int], seed: int, smooth: float = 2.5) -> np.ndarray:
    image = scipy.ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), smooth, mode="wrap")
    return image / image.std()


def moved(image: np.ndarray, shift_x: np.ndarray | float, shift_y: np.ndarray | float) -> np.ndarray:
    """The frame that has to be shifted by (x, y), which may differ from place to place, to give `image`."""
    y, x = np.mgrid[: image.shape[0], : image.shape[1]].astype(float)
    return scipy.ndimage.map_coordinates(image, [y + shift_y, x + shift_x], order=3, mode="grid-wrap")


def in_band(frames: np.ndarray, bfactor: float = 150.0) -> tuple[np.ndarray, object]:
    shape = frames.shape[1:]
    band = make_band(shape, bfactor)
    return narrow(scipy.fft.rfft2(frames.astype(np.float32)), make_band(shape, 0.0), band), band


def error(found: np.ndarray, truth: np.ndarray) -> float:
    """Root mean square error of tracks (f, ...) without the part that is the same for all frames."""
    difference = found - truth
    difference = difference - difference.mean(axis=0)
    return float(np.sqrt(np.mean(np.sum(difference**2, axis=-1))))


@pytest.mark.parametrize("shape", [(256, 256), (192, 320)])
def test_whole_frames_without_noise_are_exact(shape: tuple[int, int]) -> None:
    truth = np.random.default_rng(2).normal(size=(8, 2)).cumsum(axis=0) * 3
    frames = np.stack([moved(scene(shape, 1), *s) for s in truth])
    spectra, band = in_band(frames)
    found = align_frames(spectra, band, shape, 150.0, 50.0)
    assert not found[0].any()
    assert error(found, truth) < 0.01  # the convergence criterion


def test_whole_frames_in_noise() -> None:
    rng = np.random.default_rng(3)
    truth = np.stack([12 * (1 - np.exp(-np.arange(20) / 5)), -0.4 * np.arange(20)], axis=1)
    frames = np.stack([moved(scene((384, 384), 4), *s) for s in truth]) + rng.normal(size=(20, 384, 384)) * 4
    spectra, band = in_band(frames)
    # Every frame has a signal-to-noise ratio of 1/16 per pixel; the Cramér-Rao bound for this scene is about 0.04.
    assert error(align_frames(spectra, band, (384, 384), 150.0, 50.0), truth) < 0.12


def test_one_frame_has_no_motion() -> None:
    frames = scene((128, 128), 1)[None]
    spectra, band = in_band(frames)
    motion = track_motion(spectra, band, (128, 128), AlignmentSettings())  # type: ignore[arg-type]
    assert motion.coefficients is None and not motion.shifts.any() and motion.shifts.shape == (1, 2)


def test_patches_of_small_movies_are_fewer() -> None:
    assert patch_grid((4096, 5760), (7, 5)) == (7, 5)
    assert patch_grid((400, 480), (5, 5)) == (5, 4)
    assert patch_grid((250, 1000), (5, 5)) == (1, 1)
    assert patch_grid((4096, 4096), (1, 1)) == (1, 1)


def test_groups_are_relions() -> None:
    """RELION 3.1.3 prints | 3 4 5 6 | 7 8 9 10 | 11 … 15 | 16 … 20 | for 18 frames in groups of 4."""
    assert [len(group) for group in frame_groups(18, 4)] == [4, 4, 5, 5]
    assert [list(group) for group in frame_groups(3, 5)] == [[0, 1, 2]]


def local_truth(shape: tuple[int, int], count: int) -> np.ndarray:
    """Coefficients of a doming that reaches two pixels in the corners, fast at first."""
    amplitude = np.array([[4.0, -5.0, 1.5, 3.0, -2.5], [-2.5, 3.0, 4.0, -3.0, 1.5]])
    last = count - 1
    time = np.array([3.0 / last, -3.0 / last**2, 1.0 / last**3])  # 1 - (1 - z / last)³
    return np.concatenate([np.zeros((2, 3)), (amplitude[:, :, None] * time).reshape(2, 15)], axis=1)


def local_movie(noise: float, seed: int, count: int = 12, size: int = 512) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return frames, whole-frame shifts and true local coefficients."""
    shape, rng = (size, size), np.random.default_rng(seed)
    coefficients = local_truth(shape, count)
    whole = rng.normal(size=(count, 2)).cumsum(axis=0) * 0.7
    image = scene(shape, seed)
    pixels = np.stack(np.meshgrid(np.arange(size), np.arange(size)), -1).reshape(-1, 2)
    frames = np.empty((count, *shape), dtype=np.float32)
    for f in range(count):
        local = local_shifts(coefficients, np.array([f]), pixels, shape).reshape(*shape, 2)
        frames[f] = moved(image, whole[f, 0] + local[..., 0], whole[f, 1] + local[..., 1])
    return frames + rng.normal(size=frames.shape).astype(np.float32) * noise, whole, coefficients


def tracks(motion: MovieMotion, places: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    whole = motion.shifts[:, None]
    if motion.coefficients is None:
        return np.repeat(whole, len(places), axis=1)
    return whole + local_shifts(motion.coefficients, np.arange(len(whole)), places, shape)


PLACES = np.random.default_rng(9).uniform(40, 472, (40, 2))


def truth_at(whole: np.ndarray, coefficients: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    return whole[:, None] + local_shifts(coefficients, np.arange(len(whole)), PLACES, shape)


@pytest.mark.parametrize(("noise", "limit"), [(0.0, 0.08), (4.0, 0.25)])
def test_local_motion(noise: float, limit: float) -> None:
    """Patches average over motion within themselves, which leaves 0.05 pixel; whole frames alone leave 0.5."""
    frames, whole, coefficients = local_movie(noise, 11)
    spectra, band = in_band(frames)
    truth = truth_at(whole, coefficients, (512, 512))
    motion = track_motion(spectra, band, (512, 512), AlignmentSettings(patches=(4, 4)))  # type: ignore[arg-type]
    assert motion.coefficients is not None
    assert error(tracks(motion, PLACES, (512, 512)), truth) < limit
    np.testing.assert_allclose(mean_motion(motion.coefficients), 0, atol=1e-12)  # the shifts have all of it
    rigid = track_motion(spectra, band, (512, 512), AlignmentSettings(patches=(1, 1)))  # type: ignore[arg-type]
    assert error(tracks(rigid, PLACES, (512, 512)), truth) > 0.4


def test_groups_of_frames_give_the_same_model() -> None:
    frames, whole, coefficients = local_movie(2.0, 12)
    spectra, band = in_band(frames)
    settings = AlignmentSettings(patches=(4, 4), group_frames=2)
    motion = track_motion(spectra, band, (512, 512), settings)  # type: ignore[arg-type]
    assert motion.measured.shape == (6, 16, 2)
    assert error(tracks(motion, PLACES, (512, 512)), truth_at(whole, coefficients, (512, 512))) < 0.25


def test_a_patch_that_moves_otherwise_is_distrusted() -> None:
    """One patch holds a strong pattern that stays with the camera; elsewhere the model must not follow it."""
    frames, whole, coefficients = local_movie(1.0, 13)
    dirty = frames.copy()
    dirty[:, 272:368, 272:368] += 4 * scene((96, 96), 99)  # neighbouring windows reach to 269 and 371
    elsewhere = ~np.all((PLACES > 236) & (PLACES < 404), axis=1)
    truth = truth_at(whole, coefficients, (512, 512))[:, elsewhere]
    errors = []
    for movie in (frames, dirty):
        spectra, band = in_band(movie)
        motion = track_motion(spectra, band, (512, 512), AlignmentSettings(patches=(4, 4)))  # type: ignore[arg-type]
        errors.append(error(tracks(motion, PLACES[elsewhere], (512, 512)), truth))
    assert motion.trust[:, 10].mean() < 0.3  # patch (2, 2) of 4 x 4
    assert errors[1] < errors[0] + 0.25  # 0.6 when every patch counts


def test_noise_alone_gives_no_local_motion() -> None:
    frames = np.random.default_rng(21).normal(size=(12, 512, 512)).astype(np.float32)
    spectra, band = in_band(frames)
    motion = track_motion(spectra, band, (512, 512), AlignmentSettings(patches=(5, 5)))  # type: ignore[arg-type]
    assert motion.coefficients is not None
    local = local_shifts(motion.coefficients, np.arange(12), PLACES, (512, 512))
    assert np.sqrt(np.mean(local**2)) < 4.0  # two expected amplitudes; peaks of single patches lie tens of pixels off
