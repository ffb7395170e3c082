"""Polishing: tracks and weights of frames against those that data were simulated with."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from cryosnake.numerics.polish.frame_weights import damage_weights, fit_falloff, fit_strength
from cryosnake.numerics.polish.prior import MotionScales, motion_prior
from cryosnake.numerics.polish.tracks import fit_tracks, read_correlations
from cryosnake.numerics.polish.training import TrainingMovie, held_out_likelihood, train_scales

SIZE, FRAMES, SHORT, WIDTH = 48, 24, 12, 2.5  # of correlation images; frames, and few; sigma of peaks, pixels
SCALES = MotionScales(velocity=0.5, divergence=3000.0, acceleration=0.1)  # pixels per frame, Å


def simulated_tracks(rng: np.random.Generator, places: np.ndarray) -> np.ndarray:
    """Return tracks that neighbours share, faster at the beginning, (p, f, 2)."""
    prior = motion_prior(places, SCALES)
    speed = 0.3 + np.exp(-np.arange(FRAMES - 1) / 4.0)
    direction = prior.basis @ rng.normal(0.0, 0.7, (prior.basis.shape[1], 2))
    steps = direction[:, None] * speed[:, None]
    moved = np.concatenate([np.zeros((len(places), 1, 2)), np.cumsum(steps, 1)], 1)
    return moved + rng.normal(0.0, 0.5, (len(places), 1, 2))


def correlations(rng: np.random.Generator, tracks: np.ndarray, height: float) -> np.ndarray:
    """Return log-likelihoods: peaks of a height, and the noise that this implies, of the same shape."""
    k = np.fft.fftfreq(SIZE)
    squared = k[:, None] ** 2 + k[None] ** 2
    transfer = np.exp(-2.0 * (np.pi * WIDTH) ** 2 * squared)
    transfer *= height / (transfer.sum() / SIZE**2)
    turns = tracks[..., 0, None, None] * k[None, :] + tracks[..., 1, None, None] * k[:, None]
    noise = np.fft.fft2(rng.standard_normal((*tracks.shape[:2], SIZE, SIZE))) * np.sqrt(transfer)
    return np.fft.ifft2(transfer * np.exp(-2j * np.pi * turns) + noise).real.astype(np.float32)


def test_reading_between_pixels_has_the_right_slopes() -> None:
    rng = np.random.default_rng(1)
    image = correlations(rng, np.zeros((1, 1, 2)), 1.0)
    place = np.array([[[5.3, -7.8]]])
    _, slope = read_correlations(image, place)
    numeric = approx_fprime(place.ravel(), lambda at: read_correlations(image, at.reshape(1, 1, 2))[0][0, 0], 1e-5)
    assert slope.ravel() == pytest.approx(numeric, abs=1e-4)
    assert read_correlations(image, np.array([[[4.0, -3.0]]]))[0][0, 0] == pytest.approx(image[0, 0, -3, 4])


@pytest.mark.parametrize("count", [1, 30])
def test_tracks_are_found_in_noise_that_hides_single_peaks(count: int) -> None:
    rng = np.random.default_rng(2)
    places = rng.uniform(0.0, 4000.0, (count, 2))
    true = simulated_tracks(rng, places)
    images = correlations(rng, true, 6.0 if count > 1 else 30.0)
    found = fit_tracks(images, np.zeros_like(true), motion_prior(places, SCALES))
    error = float(np.sqrt(((found - true) ** 2).sum(-1).mean()))
    peak = images.reshape(count, FRAMES, -1).argmax(-1)
    single = np.stack([peak % SIZE, peak // SIZE], -1).astype(float)
    single -= SIZE * (single > SIZE / 2)
    alone = float(np.sqrt(((single - true) ** 2).sum(-1).mean()))
    assert error < 0.7 and error < 0.4 * alone


def test_without_signal_particles_stay_where_they_start() -> None:
    places = np.random.default_rng(3).uniform(0.0, 4000.0, (5, 2))
    start = np.zeros((5, FRAMES, 2))
    found = fit_tracks(np.zeros((5, FRAMES, 8, 8), np.float32), start, motion_prior(places, SCALES))
    assert np.abs(found).max() < 1e-6


def test_weights_follow_the_fall_of_each_frame() -> None:
    rng, shells = np.random.default_rng(4), np.arange(100)
    amplitude, fall = np.exp(-np.arange(12) / 10.0), np.linspace(1e-4, 5e-4, 12)
    scale = 0.3 * np.exp(-shells / 60.0)
    true = amplitude[:, None] * scale * np.exp(-fall[:, None] * shells**2)
    noisy = true + rng.standard_normal(true.shape) * 0.004 / np.sqrt(np.maximum(shells, 1) / 50.0)
    found = fit_falloff(noisy, 5, 80)
    relative = found.fall - found.fall.min()
    assert relative == pytest.approx(fall - fall.min(), abs=6e-5)
    weights = found.weights_of(12, shells)
    expected = amplitude[:, None] * np.exp(-fall[:, None] * shells**2)
    assert weights.sum(0) == pytest.approx(np.ones(100))
    assert weights[:, 60] == pytest.approx(expected[:, 60] / expected[:, 60].sum(), abs=0.02)
    assert found.b_factors(200.0).max() <= 0
    with pytest.raises(ValueError, match="no frame"):
        fit_falloff(np.zeros((3, 50)), 5, 40)


def test_damage_falls_with_dose_and_frequency() -> None:
    weights = damage_weights(np.array([0.0, 0.1, 0.3]), np.arange(5), 1.0)
    assert weights.shape == (5, 3) and (weights[0] == 1).all()
    assert weights[4, 2] == pytest.approx(np.exp(-4 / (3.40 * 0.3**-1.06 - 0.54)))
    assert (np.diff(weights[:, 1:], axis=0) < 0).all() and weights[4, 0] > 0.99


def test_strength_of_predictions_is_found_in_noise() -> None:
    rng, shells = np.random.default_rng(5), np.arange(60)
    pixels, power = np.maximum(2 * np.pi * shells, 1.0), 50.0 * np.exp(-shells / 20.0) * np.maximum(shells, 1)
    noise = np.full(60, 3.0)
    true = 0.7 * np.exp(-4e-4 * shells**2)
    cross = true * power + rng.standard_normal(60) * np.sqrt(power * noise / 2)
    found = fit_strength(cross, noise * pixels, power, pixels)
    assert found[:40] == pytest.approx(true[:40], abs=0.08)
    assert fit_strength(-power, noise * pixels, power, pixels) == pytest.approx(np.ones(60))
    assert fit_strength(np.zeros(60), np.zeros(60), np.zeros(60), pixels) == pytest.approx(np.ones(60))


def test_tracks_do_not_depend_on_where_correlations_are_centred() -> None:
    rng = np.random.default_rng(6)
    places = rng.uniform(0.0, 4000.0, (12, 2))
    true = simulated_tracks(rng, places)
    centres = np.rint(true)
    images = correlations(rng, true - centres, 20.0)
    prior = motion_prior(places, SCALES)
    found = fit_tracks(images, centres, prior, centres)
    moved = np.stack([[np.roll(image, (int(y), int(x)), (0, 1)) for image, (x, y) in zip(*each, strict=True)]
                      for each in zip(images, centres, strict=True)])
    assert found == pytest.approx(fit_tracks(moved, centres, prior), abs=0.02)


def test_scales_of_motion_are_learnt_from_what_was_held_out() -> None:
    """From a start that is wrong by 3, 2 and 6 times: near those of the truth, and tracks as good as with these."""
    rng, true = np.random.default_rng(7), MotionScales(velocity=0.5, divergence=2000.0, acceleration=0.25)
    movies, tracks = [], []
    for _ in range(4):
        places = rng.uniform(0.0, 4000.0, (12, 2))
        moved = drawn_tracks(rng, places, true)
        tracks.append(moved)
        movies.append(TrainingMovie(places=places, seen=correlations(rng, moved, 6.0),
                                    held_out=correlations(rng, moved, 6.0), steps=1.0))
    start = MotionScales(velocity=1.5, divergence=4000.0, acceleration=1.5)
    found, gain = train_scales(lambda scales: held_out_likelihood(movies, scales), start)
    assert gain > 0
    apart = [scales.velocity**2 / scales.divergence for scales in (found, true)]  # of neighbours: what is determined
    assert 0.5 < apart[0] / apart[1] < 2.0 and 0.5 < found.acceleration / true.acceleration < 2.0

    def error(scales: MotionScales) -> float:
        wrong = [fit_tracks(movie.seen, np.zeros_like(moved), motion_prior(movie.places, scales)) - moved
                 for movie, moved in zip(movies, tracks, strict=True)]
        return float(np.sqrt((np.array(wrong) ** 2).sum(-1).mean()))

    assert error(found) < 1.05 * error(true) and error(found) < error(start)


def drawn_tracks(rng: np.random.Generator, places: np.ndarray, scales: MotionScales) -> np.ndarray:
    """Return tracks (p, f, 2) that are drawn from the prior itself: coefficients of each dimension by Markov steps."""
    prior = motion_prior(places, scales)
    precision = np.eye(SHORT - 1)[None] + prior.steadiness[:, None, None] * _steps()[None]
    spread = np.linalg.cholesky(np.linalg.inv(precision))
    c = np.einsum("mfg,mgd->fmd", spread, rng.standard_normal((len(spread), SHORT - 1, 2)))
    velocities = np.einsum("pm,fmd->pfd", prior.basis, c)
    return np.concatenate([np.zeros((len(places), 1, 2)), np.cumsum(velocities, 1)], 1)


def _steps() -> np.ndarray:
    """Return the matrix (f − 1, f − 1) whose quadratic form is the sum of squared changes."""
    change = np.diff(np.eye(SHORT - 1), axis=0)
    return change.T @ change
