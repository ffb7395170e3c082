"""Members of a class: particles, noise that was aligned to their average, and picks that slid onto a neighbour."""

from __future__ import annotations

import numpy as np
import pytest

from cryosnake.numerics.refine.classes.membership import (
    extents,
    filtered_halves,
    fits,
    given_extent,
    membership,
    particle_radius,
)


def noise_of(rng, shape):
    """Complex Fourier pixels with E|n|² = 1."""
    return ((rng.normal(size=shape) + 1j * rng.normal(size=shape)) * np.sqrt(0.5)).astype(np.complex64)


def test_a_particle_fits_as_expected_and_noise_does_not():
    rng, n, pixels = np.random.default_rng(0), 400, 300
    average = 0.3 * noise_of(rng, (1, pixels)).repeat(n, 0)
    ctf = rng.uniform(-1, 1, (n, pixels)).astype(np.float32)
    noise = noise_of(rng, (n, pixels))
    particle, expected = fits(ctf * (ctf * average + noise), ctf**2, average)
    assert particle.mean() == pytest.approx(expected.mean(), abs=0.2) and expected.mean() > 3
    assert (particle - expected).std() == pytest.approx(1.0, abs=0.1)
    nothing, same = fits(ctf * noise, ctf**2, average)
    assert abs(nothing.mean()) < 0.2 and np.array_equal(same, expected)
    assert fits(ctf * noise, ctf**2, 0 * average)[0].max() == 0.0


def test_halves_that_do_not_agree_are_filtered_away():
    rng = np.random.default_rng(1)
    signal = noise_of(rng, (1, 37, 19)).repeat(2, 0)
    clean, mixed = filtered_halves(signal, 6), filtered_halves(noise_of(rng, (2, 37, 19)), 6)
    assert np.allclose(clean[:, 18 - 8 : 18 + 9, :3], signal[:, 18 - 8 : 18 + 9, :3], atol=1e-5)
    assert (clean[:, :, 14:] == 0).all()  # beyond shell 6 of a plane padded twice
    assert np.abs(mixed).sum() < 0.3 * np.abs(signal).sum()
    fine = filtered_halves(signal, 6, 3)  # without what a lump shows, too
    assert (fine[:, 16:21, :3] == 0).all() and np.array_equal(fine[:, :, 8:], clean[:, :, 8:])


def test_radius_of_balls_discs_and_rods():
    y, x = np.mgrid[:64, :64] - 32
    ball = np.sqrt(np.maximum(15.0**2 - x**2 - y**2, 0.0)).astype(np.float32)
    disc = (np.hypot(x, y) <= 15.0).astype(np.float32)
    rod = ((np.abs(x) <= 15) & (np.abs(y) <= 1)).astype(np.float32)
    images = np.stack([ball, disc, rod])
    for number in range(3):
        assert 13.0 < particle_radius(images, np.eye(3)[number]) < 18.0
    assert particle_radius(images, np.zeros(3)) == 0.0


def test_the_extent_of_an_average_is_about_its_own_centre():
    y, x = np.mgrid[:64, :64] - 32
    ball = [np.sqrt(np.maximum(12.0**2 - (x - shift) ** 2 - y**2, 0.0)) for shift in (0, 9)]
    spread = np.exp(-np.hypot(x, y) / 12.0)
    reach = extents(np.stack([*ball, spread, -spread]).astype(np.float32))
    assert reach[0] == pytest.approx(12.0, rel=0.05) and reach[1] == pytest.approx(reach[0], rel=0.01)
    assert reach[2] > 1.5 * reach[0] and reach[3] == 0.0


def test_members_of_a_class_that_spreads_must_show_more_of_their_own():
    probability = np.array([0.0, 0.6, 0.6, 0.99, 1.0])
    given = given_extent(probability, np.array([1.0, 1.0, 1.25, 1.25, 1.25]))
    assert given[0] == 0.0 and given[1] == pytest.approx(0.6) and given[2] < 0.5 < given[3] < 0.99
    assert given[4] == pytest.approx(1.0)
    assert given_extent(np.array([0.95]), np.array([3.0])) > 0.5  # the side view of a rod among views from its end


def members(rng, signal):
    """Fits, shifts (pixels) and truth of 400 particles, 40 pictures of noise, 20 picks beside a particle."""
    truth = np.repeat([0, 1, 2], [400, 40, 20])
    expected = signal * rng.uniform(0.8, 1.2, len(truth))
    fit = 0.95 * expected + rng.normal(size=len(truth))
    fit[truth == 1] = rng.normal(3.5, 0.8, 40)
    shift = np.hypot(*rng.normal(0.0, 2.0, (2, len(truth))))
    shift[truth == 1] = 13.0 * np.sqrt(rng.uniform(0.0, 1.0, 40))  # anywhere
    shift[truth == 2] = rng.uniform(14.0, 20.0, 20)
    return truth, membership(fit, expected, rng.normal(3.2, 0.8, 300), shift, np.ones(len(truth), bool), 12.0, 40.0)


@pytest.mark.parametrize("signal, lost, noise", [(9.0, 0.01, 0.95), (6.0, 0.05, 0.8)])
def test_noise_and_neighbours_are_told_from_particles(signal, lost, noise):
    truth, score = members(np.random.default_rng(2), signal)
    assert (score[truth == 0] < 0.5).mean() <= lost
    assert (score[truth == 1] < 0.5).mean() >= noise
    assert (score[truth == 2] == 0).all()


def test_without_signal_particles_are_not_thrown_away():
    """Where aligned noise fits as well as particles do, a picture near its pick stays."""
    rng = np.random.default_rng(3)
    fit = rng.normal(3.5, 1.0, 500)
    score = membership(fit, np.full(500, 3.5), rng.normal(3.5, 1.0, 500), np.hypot(*rng.normal(0.0, 2.0, (2, 500))),
                       np.ones(500, bool), 12.0, 40.0)
    assert (score >= 0.5).mean() > 0.95
    none = membership(fit, fit, np.zeros(0), fit, np.zeros(500, bool), 12.0, 40.0)
    assert (none == 1).all()  # no class shows particles: nothing to compare with


def test_well_centred_particles_may_move_a_little():
    rng = np.random.default_rng(4)
    score = membership(rng.normal(9.0, 1.0, 300), np.full(300, 9.0), rng.normal(3.2, 0.8, 300),
                       np.where(np.arange(300) < 290, 0.1, 5.0), np.ones(300, bool), 12.0, 40.0)
    assert (score >= 0.5).mean() > 0.98
