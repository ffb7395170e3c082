import numpy as np
import pytest
import scipy.fft

from cryosnake.numerics.fourier_crop import binned_shape, resample_half_spectrum, resample_image


def waves(shape: tuple[int, int]) -> np.ndarray:
    """A few periods over the whole field: exactly representable at any size that holds them."""
    y, x = np.arange(shape[0])[:, None] / shape[0], np.arange(shape[1])[None] / shape[1]
    return (5 + np.cos(2 * np.pi * (2 * x + 3 * y)) + 0.5 * np.sin(2 * np.pi * (4 * x - 5 * y))).astype(np.float32)


@pytest.mark.parametrize("new", [(24, 20), (64, 80), (24, 80), (31, 27)])
def test_resampling_keeps_what_both_sizes_hold(new: tuple[int, int]) -> None:
    np.testing.assert_allclose(resample_image(waves((48, 40)), new), waves(new), atol=1e-5)


def test_frequencies_beyond_the_new_size_are_gone() -> None:
    y = np.arange(48)[:, None]
    fine = np.cos(2 * np.pi * 20 * y / 48) + np.zeros((48, 40))
    assert np.abs(resample_image(fine, (24, 20))).max() < 1e-12


def test_spectra_of_many_images_at_once() -> None:
    images = np.stack([waves((48, 40)), 2 * waves((48, 40))])
    cropped = resample_half_spectrum(scipy.fft.rfft2(images), 40, (24, 20))
    np.testing.assert_allclose(scipy.fft.irfft2(cropped, s=(24, 20))[1], 2 * waves((24, 20)), atol=1e-5)


def test_binned_shape_is_even_and_rounded_down_as_relion_does() -> None:
    assert binned_shape((3838, 3710), 2) == (1918, 1854)
    assert binned_shape((3838, 3710), 1) == (3838, 3710)
    with pytest.raises(ValueError, match="must be 1 or more"):
        binned_shape((100, 100), 0.5)
    with pytest.raises(ValueError, match="nothing is left"):
        binned_shape((100, 100), 80)


def test_cropped_image_keeps_grey_values_and_the_first_pixel() -> None:
    y, x = np.mgrid[:60, :80]
    wave = (3.0 + np.cos(2 * np.pi * (3 * x / 80 + 2 * y / 60))).astype(np.float32)
    cropped = resample_image(wave, (30, 40))
    np.testing.assert_allclose(cropped, wave[::2, ::2], atol=1e-5)
