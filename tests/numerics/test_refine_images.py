import numpy as np

from cryosnake.numerics.ctf import Microscope
from cryosnake.numerics.image_geometry import centre_of_mass
from cryosnake.numerics.refine.grids.bands import full_band
from cryosnake.numerics.refine.grids.grids import PlaneGrid
from cryosnake.numerics.refine.grids.images import ctf_at, fourier_pixels, shell_power, shift_images, soft_disc
from cryosnake.numerics.refine.grids.references import class_references
from cryosnake.numerics.refine.sums.maximisation import group_scales, low_pass

BOX = 16


def _images(count=3, seed=0):
    return np.random.default_rng(seed).normal(size=(count, BOX, BOX)).astype(np.float32)


def test_a_band_is_a_prefix_in_order_of_radius():
    band = full_band(BOX)
    radius = band.kx**2 + band.ky**2
    assert np.all(np.diff(radius) >= 0)
    assert band.cut(8).kx.size == (radius <= 16).sum()
    assert np.all(np.diff(band.shell_starts()) > 0)


def test_shifts_in_real_and_fourier_space_agree():
    images = np.zeros((2, BOX, BOX), np.float32)
    images[:, 5:11, 5:11] = _images(2)[:, 5:11, 5:11]
    shifts = np.array([[3, -2], [-4, 4]])
    band = full_band(BOX)
    moved = fourier_pixels(shift_images(images, shifts), band)
    np.testing.assert_allclose(moved, fourier_pixels(images, band) * band.phases(shifts), atol=1e-6)


def test_nothing_comes_in_from_the_other_side():
    moved = shift_images(np.ones((1, BOX, BOX), np.float32), np.array([[5, 0]]))
    assert moved[0, :, :5].sum() == 0 and moved[0, :, 5:].min() == 1


def test_shell_power_is_parseval():
    images, band = _images(), full_band(BOX)
    power = shell_power(fourier_pixels(images, band), band)
    full = np.abs(np.fft.fft2(images) / BOX**2) ** 2
    k = np.fft.fftfreq(BOX) * BOX
    inside = np.rint(np.hypot(k[:, None], k)) < BOX // 2  # Nyquist pixels are their own mates
    expected = 0.5 * ((full * inside).sum((1, 2)) + full[:, 0, 0])  # each Friedel pair once, the origin once
    np.testing.assert_allclose(power[:, : BOX // 2].sum(1), expected, rtol=1e-4)


def test_soft_disc_falls_from_radius_to_edge():
    disc = soft_disc(32, 8.0, 4.0)
    assert disc[16, 24] == 1.0 and disc[16, 28] == 0.0 and abs(disc[16, 26] - 0.5) < 1e-6
    assert soft_disc(32, 8.0, 4.0, 3).shape == (32, 32, 32)


def test_ctf_options():
    band = full_band(64)
    columns = {"u": [12000.0], "v": [11000.0], "angle": [30.0], "phase_shift": [0.0], "b_factor": [0.0], "scale": [1.0]}
    optics = 3.0, Microscope(300.0, 2.7, 0.1)
    plain = ctf_at(band, columns, *optics)
    assert abs(plain[0, 0] - 0.1) < 1e-5  # positive at the origin: the sine of asin(amplitude contrast)
    intact = ctf_at(band, columns, *optics, intact_first_peak=True)
    assert np.all(intact[0, band.shell <= 5] == 1.0)  # the first peak is at shell 9: sin² = 1 where π λ Δf k² ≈ π/2
    high = band.shell > 16
    np.testing.assert_array_equal(intact[0, high], plain[0, high])
    half = ctf_at(band, columns | {"scale": [0.5], "b_factor": [100.0]}, *optics)
    frequency = (band.kx**2 + band.ky**2) / (64 * 3.0) ** 2
    np.testing.assert_allclose(half[0], 0.5 * plain[0] * np.exp(-25.0 * frequency), atol=1e-6)


def test_class_slices_are_turned_averages():
    # a quarter turn maps the pixel grid onto itself: the slice at psi = 90 is the transform of the turned image
    image = np.zeros((1, BOX, BOX), np.float32)
    image[0, 4:12, 4:12] = _images(1, 4)[0, 4:12, 4:12]
    grid = PlaneGrid(1, 4, 0.0)
    band = full_band(BOX).cut(10)
    real, imaginary = class_references(image, 10, grid).coarse(np.array([1]), band)
    kx, ky = band.kx.astype(int), band.ky.astype(int)
    transform = np.fft.fft2(np.fft.ifftshift(image[0])) / BOX**2
    expected = transform[kx, -ky]  # x' = −ky, y' = kx
    np.testing.assert_allclose(real[0] + 1j * imaginary[0], expected, atol=0.04 * np.abs(expected).max())  # trilinear


def test_low_pass_keeps_the_low_and_removes_the_high():
    volume = np.random.default_rng(1).normal(size=(BOX,) * 3).astype(np.float32)
    power = np.abs(np.fft.rfftn(low_pass(volume, 2.0, 8.0))[0, 0]) / np.abs(np.fft.rfftn(volume)[0, 0])
    np.testing.assert_allclose(power[:3], 1.0, atol=1e-3)
    np.testing.assert_allclose(power[6:], 0.0, atol=1e-3)


def test_group_scales_are_least_squares_with_mean_one():
    group, true = np.repeat([0, 1, 2], 50), np.array([0.8, 1.0, 1.2])
    power = np.random.default_rng(2).uniform(1, 2, 150)
    scales = group_scales(true[group] * power, power, group, np.ones(3))
    np.testing.assert_allclose(scales, true, rtol=1e-6)
    assert np.array_equal(group_scales(-power, power, group, np.ones(3)), np.ones(3))  # no signal: left alone


def test_centre_of_mass_ignores_empty_images():
    images = np.zeros((2, BOX, BOX), np.float32)
    images[0, 10, 5] = 2.0
    np.testing.assert_allclose(centre_of_mass(images), [[-3.0, 2.0], [0.0, 0.0]])
