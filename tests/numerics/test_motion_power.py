import numpy as np
import pytest
import scipy.fft

from cryosnake.numerics.motion.power import power_spectrum, spectrum_size


@pytest.mark.parametrize(("image", "pixel_size"), [((3838, 3710), 0.885), ((4092, 5760), 0.65), ((1024, 1000), 1.06)])
def test_both_axes_end_at_the_same_frequency(image: tuple[int, int], pixel_size: float) -> None:
    rows, columns = spectrum_size(image, pixel_size)
    assert rows % 2 == columns % 2 == 0
    assert abs(rows / image[0] / (columns / image[1]) - 1) < 3e-4  # 0.06 % of the defocus
    assert 1.35 < pixel_size * image[1] / columns <= 1.4


def test_coarse_pixels_keep_the_whole_spectrum() -> None:
    assert spectrum_size((700, 800), 1.77) == (700, 800)


@pytest.mark.parametrize("image", [(512, 512), (600, 480), (400, 440)])
def test_a_wave_stands_at_its_frequency(image: tuple[int, int]) -> None:
    """A wave of 1/8 cycles/pixel along x: at 64 pixels of 512 from the centre when the pixel stays."""
    x = np.arange(image[1])
    frames = np.broadcast_to(np.cos(2 * np.pi * x / 8), (2, *image)) + 10.0
    spectrum, pixel = power_spectrum(scipy.fft.rfft2(frames.astype(np.float32)), np.zeros((2, 2)), image, 1.5, [1])
    assert pixel == 1.5 and spectrum.dtype == np.float32
    assert spectrum.argmax() == 256 * 512 + 256
    spectrum[250:263, 250:263] = 0
    row, column = np.unravel_index(spectrum.argmax(), spectrum.shape)
    assert row == 256 and abs(column - 256) == 64


def test_fine_pixels_are_cut_to_about_1_4_angstrom() -> None:
    image, pixel_size = (1024, 1024), 0.7
    frames = np.broadcast_to(np.cos(2 * np.pi * np.arange(1024) / 8), (1, *image))  # 5.6 Å
    spectra = scipy.fft.rfft2(frames.astype(np.float32))
    spectrum, pixel = power_spectrum(spectra, np.zeros((1, 2)), image, pixel_size, [1])
    assert pixel == pytest.approx(1.4, rel=0.03)
    column = abs(int(spectrum[256].argmax()) - 256)
    assert column / (512 * pixel) == pytest.approx(1 / 5.6, rel=0.01)


def test_frames_of_a_group_are_added_before_the_amplitude_and_aligned() -> None:
    noise = np.random.default_rng(0).normal(size=(8, 256, 256)).astype(np.float32)
    spectra, still = scipy.fft.rfft2(noise), np.zeros((8, 2))
    single, _ = power_spectrum(spectra, still, (256, 256), 1.5, [1])
    grouped, _ = power_spectrum(spectra, still, (256, 256), 1.5, [4])
    assert np.median(grouped) / np.median(single) == pytest.approx(0.5, rel=0.03)  # 2 sqrt(4) against 8
    one = np.repeat(noise[:1], 4, axis=0)
    shifts = np.array([[0, 0], [3, -2], [6, 1], [-4, 5]])
    moved = np.stack([np.roll(frame, (-s[1], -s[0]), (0, 1)) for frame, s in zip(one, shifts, strict=True)])
    aligned, _ = power_spectrum(scipy.fft.rfft2(moved), shifts, (256, 256), 1.5, [4])
    expected, _ = power_spectrum(scipy.fft.rfft2(one), np.zeros((4, 2)), (256, 256), 1.5, [4])
    np.testing.assert_allclose(aligned, expected, atol=1e-4 * expected.max())


@pytest.mark.parametrize(("moving", "best"), [(False, 8), (True, 2)])
def test_frames_are_grouped_as_long_as_they_show_the_same(moving: bool, best: int) -> None:
    """Faint ice that stays is best summed over all frames; ice that is another after two frames, over two."""
    rng = np.random.default_rng(3)
    ice = np.repeat(rng.normal(size=(4, 256, 256)), 2, axis=0) if moving else rng.normal(size=(1, 256, 256))
    spectra = scipy.fft.rfft2((0.3 * ice + rng.normal(size=(8, 256, 256))).astype(np.float32))
    still = np.zeros((8, 2))
    chosen, _ = power_spectrum(spectra, still, (256, 256), 1.5, [1, 2, 4, 8])
    expected, _ = power_spectrum(spectra, still, (256, 256), 1.5, [best])
    np.testing.assert_array_equal(chosen, expected)
