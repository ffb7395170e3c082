import numpy as np
import pytest
import scipy.fft
import scipy.ndimage

from cryosnake.numerics.motion import summing, warp
from cryosnake.numerics.motion.dose import accumulated_dose
from cryosnake.numerics.motion.local_model import local_shifts
from cryosnake.numerics.motion.summing import make_dose_weights, sum_frames

SHAPE = (160, 136)  # not a multiple of the tile
rng = np.random.default_rng(8)


def smooth(shape: tuple[int, int] = SHAPE, sigma: float = 2.0) -> np.ndarray:
    image = scipy.ndimage.gaussian_filter(rng.normal(size=shape), sigma, mode="wrap")
    return (image / image.std()).astype(np.float32)


def spline_of(image: np.ndarray) -> np.ndarray:
    return scipy.fft.irfft2(scipy.fft.rfft2(image) * warp.spline_prefilter(image.shape), s=image.shape)


def test_compiled_and_array_forms_agree() -> None:
    image, tiles = rng.normal(size=SHAPE).astype(np.float32), warp.tile_centres(SHAPE).shape[:2]
    shifts = rng.normal(size=(*tiles, 2)) * 20  # beyond the edges too
    compiled, by_arrays = np.zeros(SHAPE, dtype=np.float32), np.zeros(SHAPE, dtype=np.float32)
    warp.add_warped(compiled, image, shifts)
    warp._add_by_gathering(by_arrays, image, shifts)
    np.testing.assert_allclose(compiled, by_arrays, atol=2e-5)


def test_constant_shift_is_the_fourier_shift() -> None:
    """Cubic splines interpolate waves longer than five pixels to 1 %."""
    image = smooth()
    shifts = np.broadcast_to([3.3, -5.7], (*warp.tile_centres(SHAPE).shape[:2], 2))
    found = np.zeros(SHAPE, dtype=np.float32)
    warp.add_warped(found, spline_of(image), shifts)
    phase = np.fft.fftfreq(SHAPE[0])[:, None] * -5.7 + np.fft.rfftfreq(SHAPE[1])[None] * 3.3
    expected = scipy.fft.irfft2(scipy.fft.rfft2(image) * np.exp(-2j * np.pi * phase), s=SHAPE)
    assert np.std(found - expected) < 0.01


def test_no_shift_gives_the_image() -> None:
    image = rng.normal(size=SHAPE).astype(np.float32)
    found = np.zeros(SHAPE, dtype=np.float32)
    warp.add_warped(found, spline_of(image), np.zeros((*warp.tile_centres(SHAPE).shape[:2], 2)))
    np.testing.assert_allclose(found, image, atol=1e-4)


def movie(coefficients: np.ndarray, shifts: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Frames that, moved by the model, give the image."""
    ny, nx = image.shape
    y, x = np.mgrid[:ny, :nx].astype(float)
    places = np.stack([x, y], -1).reshape(-1, 2)
    frames = []
    for f, shift in enumerate(shifts):
        local = local_shifts(coefficients, np.array([f]), places, image.shape).reshape(ny, nx, 2)
        # image(p) = frame(p - s(p)); for smooth s also frame(p) = image(p + s(p)) to second order
        frames.append(scipy.ndimage.map_coordinates(
            image, [y + shift[1] + local[..., 1], x + shift[0] + local[..., 0]], order=5, mode="grid-wrap"))
    return scipy.fft.rfft2(np.stack(frames).astype(np.float32))


def test_local_motion_is_undone() -> None:
    image = smooth((320, 320))
    coefficients = np.zeros((2, 18))
    coefficients[0, 3], coefficients[1, 9], coefficients[0, 10] = 0.5, -0.4, 0.05
    shifts = rng.normal(size=(4, 2)) * 3
    spectra = movie(coefficients, shifts, image)
    inside = np.s_[20:-20, 20:-20]
    right = sum_frames(spectra, image.shape, shifts, coefficients) / 4
    assert np.std((right - image)[inside]) < 0.03
    for wrong in (None, -coefficients):
        assert np.std((sum_frames(spectra, image.shape, shifts, wrong) / 4 - image)[inside]) > 0.05


@pytest.mark.parametrize("local", [False, True])
def test_dose_weights_are_those_of_the_frames(local: bool) -> None:
    """A sum of frames of noise has the spectrum of one frame (eq. 6), and each frame has its own dose."""
    frames = rng.normal(size=(12, *SHAPE)).astype(np.float32)
    spectra = scipy.fft.rfft2(frames)
    doses = accumulated_dose(12, 2.0, 5.0)
    weights = make_dose_weights(SHAPE, 1.0, 300.0, 2.0, doses)
    found = sum_frames(spectra, SHAPE, np.zeros((12, 2)), np.zeros((2, 18)) if local else None, weights)
    ky, kx = np.fft.fftfreq(SHAPE[0])[:, None], np.fft.rfftfreq(SHAPE[1])[None]
    with np.errstate(divide="ignore"):
        exposure = 0.245 * np.hypot(ky, kx) ** -1.665 + 2.81
    q = np.exp(-doses[:, None, None] / (2 * exposure))
    expected = scipy.fft.irfft2((spectra * q).sum(axis=0) / np.sqrt((q**2).sum(axis=0)), s=SHAPE)
    np.testing.assert_allclose(found, expected, atol=2e-4)
    assert found.std() == pytest.approx(1.0, abs=0.02)


def test_frames_at_rest_are_warped_together() -> None:
    coefficients = np.zeros((2, 18))
    coefficients[0, 3:6] = 3 * np.array([3.0, -3.0, 1.0]) / 20.0 ** np.array([1, 2, 3])  # 3 (1 - (1 - z / 20)³) x
    groups = summing._groups_at_rest(coefficients, 21, SHAPE)
    assert [f for group in groups for f in group] == list(range(21))
    assert len(groups[0]) == 1 and len(groups[-1]) > 5  # fast at first, then at rest
    assert summing._groups_at_rest(None, 5, SHAPE) == [range(5)]


def test_warping_together_changes_next_to_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    spectra = scipy.fft.rfft2(np.stack([smooth() for _ in range(10)]))
    coefficients = np.zeros((2, 18))
    coefficients[0, 3], coefficients[1, 12] = 0.08, 0.1
    still = np.zeros((10, 2))
    assert 1 < len(summing._groups_at_rest(coefficients, 10, SHAPE)) < 10
    together = sum_frames(spectra, SHAPE, still, coefficients)
    monkeypatch.setattr(summing, "_AT_REST", 0.0)
    assert len(summing._groups_at_rest(coefficients, 10, SHAPE)) == 10
    assert np.std(together - sum_frames(spectra, SHAPE, still, coefficients)) < 0.02 * np.std(together)
