import numpy as np
import pytest
import scipy.fft

from cryosnake.numerics.motion import correlation as c

IMAGE = (96, 80)
rng = np.random.default_rng(5)


def scene(n_frames: int = 4, bfactor: float = 20.0) -> tuple[np.ndarray, c.WeightedBand]:
    frames = rng.normal(size=(n_frames, *IMAGE)).astype(np.float32) + 2 * rng.normal(size=IMAGE).astype(np.float32)
    band = c.make_band(IMAGE, bfactor)
    return c.narrow(scipy.fft.rfft2(frames), c.make_band(IMAGE, 0.0), band), band


def value(spectra: np.ndarray, shifts: np.ndarray, band: c.WeightedBand, f: int, at: np.ndarray) -> float:
    """The definition: the weighted correlation of frame f, moved to `at`, with the sum of the other frames."""
    others = np.delete(np.arange(len(spectra)), f)
    rest = sum(c.shift_spectrum(spectra[i], shifts[i], band) for i in others)
    moved = c.shift_spectrum(spectra[f], at, band)
    return float(np.sum(band.weight * (np.conj(moved).astype(complex) * rest).real))


def test_moments_are_value_slopes_and_curvatures() -> None:
    spectra, band = scene()
    shifts = rng.normal(size=(4, 2)) * 2
    found = c.moments(spectra, c.shifted_sum(spectra, shifts, band), shifts, band)
    f, h = 2, 0.05

    def at(dx: float, dy: float) -> float:
        return value(spectra, shifts, band, f, shifts[f] + (dx, dy))

    expected = [at(0, 0), (at(h, 0) - at(-h, 0)) / (2 * h), (at(0, h) - at(0, -h)) / (2 * h),
                (at(h, 0) - 2 * at(0, 0) + at(-h, 0)) / h**2,
                (at(h, h) - at(h, -h) - at(-h, h) + at(-h, -h)) / (4 * h * h),
                (at(0, h) - 2 * at(0, 0) + at(0, -h)) / h**2]
    # Central differences of step h are off by h² k² / 6 relative to the largest curvature, 0.1 %; float32 adds to it.
    np.testing.assert_allclose(found[f], expected, atol=0.01 * np.abs(expected[3:]).max(), rtol=0.01)


def test_compiled_and_array_forms_agree() -> None:
    spectra, band = scene()
    shifts = rng.normal(size=(4, 2)) * 3
    rows, columns = c._phases(band, shifts)
    total = c.shifted_sum(spectra, shifts, band)
    np.testing.assert_allclose(c._shifted_sum_by_arrays(spectra, rows, columns), total, atol=1e-5 * np.abs(total).max())
    compiled = c.moments(spectra, total, shifts, band)
    by_arrays = c._moments_by_arrays(spectra, total, rows, columns, band)
    np.testing.assert_allclose(by_arrays, compiled, atol=1e-5 * np.abs(compiled).max(axis=0).max())


@pytest.mark.gpu
def test_gpu_agrees(gpu: object) -> None:
    spectra, band = scene()
    shifts = rng.normal(size=(4, 2)) * 3
    there = gpu.asarray(spectra)  # type: ignore[attr-defined]
    band_there = c.make_band(IMAGE, 20.0, like=there)
    total, total_there = c.shifted_sum(spectra, shifts, band), c.shifted_sum(there, shifts, band_there)
    compiled = c.moments(spectra, total, shifts, band)
    np.testing.assert_allclose(c.moments(there, total_there, shifts, band_there), compiled,
                               atol=1e-4 * np.abs(compiled).max())


def test_correlation_map_is_highest_at_the_missing_shift() -> None:
    image = scipy.fft.rfft2(rng.normal(size=IMAGE).astype(np.float32))
    band = c.make_band(IMAGE, 0.0)
    frames = np.stack([image, c.shift_spectrum(image, np.array([-5, 3]), band)])
    shifts = np.zeros((2, 2))
    found = c.correlation_map(frames[1], c.shifted_sum(frames, shifts, band), shifts[1], band)
    y, x = np.unravel_index(found.argmax(), found.shape)
    assert (x, y) == (5, IMAGE[0] - 3)  # to be moved by (5, -3); negative shifts stand at the end


def test_band_leaves_out_zero_and_low_frequencies_and_nyquist() -> None:
    band = c.make_band(IMAGE, 0.0, low=0.03)
    squared = band.ky[:, None] ** 2 + band.kx[None] ** 2
    assert band.shape == IMAGE
    assert not band.weight[squared <= 0.03**2].any()
    assert not band.weight[IMAGE[0] // 2].any() and not band.weight[:, -1].any()
    assert band.weight[1, 20] == 2 and band.weight[20, 0] == 1
