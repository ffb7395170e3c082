"""Zernike terms, beam tilt, and images resampled to another magnification."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cryosnake.numerics.aberrations import even_phase, odd_phase, zernike
from cryosnake.numerics.ctf import Microscope
from cryosnake.numerics.image_geometry import resampled, without_phase
from cryosnake.simulation.aberrations import Aberrations

MICROSCOPE = Microscope(300.0, 2.7, 0.1)
RNG = np.random.default_rng(4)
KX, KY = RNG.uniform(-0.4, 0.4, (2, 200))


@pytest.mark.parametrize(("m", "n", "radial"), [
    (-1, 1, lambda r: r), (1, 3, lambda r: 3 * r**3 - 2 * r), (-3, 3, lambda r: r**3),
    (0, 4, lambda r: 6 * r**4 - 6 * r**2 + 1),
    (2, 4, lambda r: 4 * r**4 - 3 * r**2), (-1, 5, lambda r: 10 * r**5 - 12 * r**3 + 3 * r)])
def test_a_term_is_the_radial_polynomial_times_a_wave_in_azimuth(m, n, radial):
    angle = np.arctan2(KY, KX)
    wave = np.cos(m * angle) if m >= 0 else np.sin(-m * angle)
    np.testing.assert_allclose(zernike(m, n, KX, KY), radial(np.hypot(KX, KY)) * wave, atol=1e-12)


def test_terms_stand_in_relions_order_and_agree_with_the_polynomials_of_the_simulation():
    odd, even, tilt = RNG.normal(size=6), RNG.normal(size=9), (0.4, -0.7)
    simulated = Aberrations(odd=tuple(odd), even=tuple(even), beam_tilt=tilt)
    np.testing.assert_allclose(odd_phase(odd, tilt, MICROSCOPE, KX, KY), simulated.odd_phase(KX, KY, MICROSCOPE),
                               atol=1e-9)
    np.testing.assert_allclose(even_phase(even, KX, KY), simulated.even_phase(KX, KY), atol=1e-12)


def test_beam_tilt_is_the_zernike_coma_that_relion_writes_for_it():
    """rlnBeamTilt = −3 Z(±1, 3) / s with s = 2·10⁴ π Cs λ², and twice its Z in the terms of first order."""
    x, y = 0.3, -0.2
    z = np.array([y, x]) * (-2e4 * math.pi * MICROSCOPE.cs * MICROSCOPE.wavelength**2) / 3
    coefficients = (2 * z[0], 2 * z[1], 0.0, z[0], z[1], 0.0)
    np.testing.assert_allclose(odd_phase((), (x, y), MICROSCOPE, KX, KY),
                               odd_phase(coefficients, (0.0, 0.0), None, KX, KY), atol=1e-9)


def waves(box, matrix, pixel):
    """A sum of waves and a Gaussian envelope, at the places matrix · x · pixel: known everywhere."""
    axis = (np.arange(box) - box // 2) * pixel
    place = np.stack(np.broadcast_arrays(axis[None, :], axis[:, None]))
    x, y = np.einsum("ij,jyx->iyx", matrix, place)
    rng = np.random.default_rng(2)
    kx, ky = rng.uniform(-0.15, 0.15, (2, 12, 1, 1))
    return (np.cos(2 * np.pi * (kx * x + ky * y) + rng.uniform(0, 6, (12, 1, 1))).sum(0)
            * np.exp(-(x**2 + y**2) / 2 / 6.5**2)).astype(np.float32)


@pytest.mark.parametrize(("matrix", "box"), [
    (((1.06, 0.03), (-0.02, 0.95)), 64), (((0.8, 0.0), (0.0, 0.8)), 72), (((1.25, 0.0), (0.0, 1.25)), 48)])
def test_images_are_resampled_exactly(matrix, box):
    matrix = np.array(matrix)
    image, wanted = waves(64, np.eye(2), 1.0), waves(box, matrix, 1.0)
    found = resampled(np.stack([image, 2 * image]), matrix, box)
    np.testing.assert_allclose(found[1], 2 * found[0], atol=1e-5)
    assert np.abs(found[0] - wanted * math.sqrt(np.linalg.det(matrix))).max() < 2e-3 * wanted.max()


def test_white_noise_keeps_its_power():
    noise = np.random.default_rng(1).standard_normal((40, 48, 48)).astype(np.float32)
    assert resampled(noise, np.array([[1.05, 0.0], [0.02, 1.01]]), 48).var() == pytest.approx(1.0, abs=0.08)
    assert resampled(noise, 1.5 * np.eye(2), 32).var() == pytest.approx(1.0, abs=0.08)


def test_a_phase_is_taken_from_the_transform():
    image = waves(32, np.eye(2), 2.0)[None]
    ky, kx = np.broadcast_arrays(np.fft.fftfreq(32)[:, None], np.fft.rfftfreq(32)[None])
    moved = without_phase(image, -2 * np.pi * (3 * kx - 2 * ky))  # back by a shift of −3, 2
    np.testing.assert_allclose(moved[0], np.roll(image[0], (2, -3), (0, 1)), atol=1e-4)
