from __future__ import annotations

import numpy as np
import pytest
import scipy.fft

from cryosnake.numerics.filters import apply_filter, cosine_edge, frequency_radius
from cryosnake.numerics.fsc import fsc, fsc_weight
from cryosnake.numerics.postprocessing import (
    correct_for_mask,
    fit_guinier,
    fsc_curves,
    mean_amplitudes,
    randomise_phases,
    sharpen,
    single_particle_fsc,
)

BOX, PIXEL_SIZE = 64, 1.5
SHELLS = np.arange(BOX // 2 + 1)
FREQUENCY = SHELLS / (BOX * PIXEL_SIZE)


def white(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((BOX,) * 3).astype(np.float32)


def soft_ball(radius: float, edge: float = 6.0) -> np.ndarray:
    grid = np.mgrid[:BOX, :BOX, :BOX] - BOX // 2
    return cosine_edge(np.sqrt((grid**2).sum(axis=0)), radius + edge / 2, edge)


def falling(seed: int, b_factor: float) -> np.ndarray:
    """White noise times exp(−B s² / 4): the Guinier plot of a perfect map with this B-factor."""
    return apply_filter(white(seed), lambda k: np.exp(-0.25 * b_factor * (k / (BOX * PIXEL_SIZE)) ** 2))


def test_fsc_of_noisy_copies_is_that_of_theory() -> None:
    signal = falling(0, 80.0)
    first, second = signal + 0.5 * white(1), signal + 0.5 * white(2)
    curves = fsc_curves(first, second, np.ones_like(signal))
    snr = np.exp(-0.5 * 80.0 * FREQUENCY**2) / 0.25
    theory = snr / (1 + snr)
    # Scatter of a shell of n independent coefficients: (1 − FSC²) / √n, n = 2 π s²; four of it, at most 1 in 16,000.
    scatter = (1 - theory[4:] ** 2) / np.sqrt(2 * np.pi * SHELLS[4:] ** 2)
    assert (np.abs(curves.unmasked[4:] - theory[4:]) < 4 * scatter).all()


def test_phase_randomisation_takes_away_what_a_mask_adds() -> None:
    """Two maps that agree below shell 12 only, in a tight mask with a hard edge: the masked FSC alone lies."""
    signal = apply_filter(white(0), lambda k: cosine_edge(k, 12.0, 2.0)) * soft_ball(12)
    first, second = signal + 0.05 * white(1), signal + 0.05 * white(2)
    rng = np.random.default_rng(5)
    mask = (soft_ball(12, 0.0) * (rng.random((BOX,) * 3) > 0.3)).astype(np.float32)  # a mask with detail of its own
    curves = fsc_curves(first, second, mask)
    beyond = SHELLS >= 18
    assert curves.masked[beyond].mean() > 0.5
    assert abs(curves.corrected[beyond].mean()) < 0.1
    assert (curves.corrected[2:9] > 0.9).all()
    assert curves.randomise_from is not None and curves.randomise_from <= 14


def test_no_correction_where_the_unmasked_fsc_never_falls() -> None:
    curves = fsc_curves(white(0), white(0) + 1e-3 * white(1), soft_ball(20))
    assert curves.randomise_from is None
    assert np.array_equal(curves.corrected, curves.masked)


def test_randomised_phases_keep_amplitudes_and_make_a_real_map() -> None:
    transform = scipy.fft.rfftn(white(3)).astype(np.complex64)
    radius = frequency_radius(BOX, transform.real)
    random = randomise_phases(transform, radius, 10.0, np.random.default_rng(0))
    again = scipy.fft.rfftn(scipy.fft.irfftn(random, s=(BOX,) * 3))
    inside = (radius > 0) & (radius < BOX // 2)
    assert np.allclose(np.abs(again)[inside], np.abs(transform)[inside], rtol=1e-3, atol=1e-2)
    curve = fsc(scipy.fft.irfftn(random, s=(BOX,) * 3), white(3))
    assert np.allclose(curve[:10], 1.0, atol=1e-4) and (np.abs(curve[12:]) < 0.15).all()


def test_correction_formula() -> None:
    masked, random = np.array([1.0, 0.9, 0.8, 0.7, 0.6, 0.1]), np.array([1.0, 0.9, 0.5, 0.5, 0.2, 0.4])
    assert np.allclose(correct_for_mask(masked, random, 1), [1.0, 0.9, 0.8, 0.4, 0.5, 0.0])


def test_particle_fsc_undoes_the_solvent() -> None:
    """A particle in 1/f of the box: the unmasked FSC is diluted by the noise of all of it."""
    particle = np.array([0.9, 0.5, 0.143])
    diluted = particle / (particle + 8.0 * (1 - particle))
    assert np.allclose(single_particle_fsc(diluted, 8.0), particle)


@pytest.mark.parametrize("b_factor", [40.0, 120.0])
def test_known_b_factor_is_found(b_factor: float) -> None:
    volume = falling(7, b_factor)
    fit = fit_guinier(FREQUENCY, np.log(mean_amplitudes(volume)), low=10.0, high=3.2)
    assert fit is not None
    assert fit.b_factor == pytest.approx(-b_factor, abs=2.0)  # about four standard errors of the fit
    assert fit.standard_error < 0.6
    assert fit.correlation < -0.95


def test_too_few_shells_are_not_fitted() -> None:
    assert fit_guinier(FREQUENCY, -(FREQUENCY**2), low=10.0, high=9.0) is None


def test_sharpening_undoes_the_fall() -> None:
    sharp = sharpen(falling(7, 100.0), PIXEL_SIZE, np.ones(SHELLS.size), -100.0, low_pass_shell=28)
    amplitudes = mean_amplitudes(sharp)
    flat = mean_amplitudes(white(7))
    assert np.allclose(amplitudes[1:26] / flat[1:26], 1.0, atol=0.02)
    assert (amplitudes[30:] < 1e-3 * flat[30:]).all()


def test_weights_are_those_of_rosenthal_and_henderson() -> None:
    assert np.allclose(fsc_weight(np.array([1.0, 0.5, 0.143, 0.0, -0.2])), [1.0, 0.8165, 0.5002, 0.0, 0.0], atol=1e-4)
