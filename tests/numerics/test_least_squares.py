"""Maps by weighted least squares: the truth from perfect slices, and closer to it than division from noisy ones."""

from __future__ import annotations

import numpy as np
import pytest

from cryosnake.numerics.euler import euler_to_matrix
from cryosnake.numerics.fsc import fsc
from cryosnake.numerics.projection import band_limited_transform, central_slices
from cryosnake.numerics.refine.grids.bands import full_band
from cryosnake.numerics.refine.grids.images import soft_disc
from cryosnake.numerics.refine.sums.insertion import empty_sums, insert_slices
from cryosnake.numerics.refine.sums.least_squares import least_squares_map
from cryosnake.numerics.refine.sums.maximisation import finish_sums, regularised_map
from cryosnake.numerics.symmetry import operators

BOX, RADIUS = 32, 14


@pytest.fixture(scope="module")
def truth():
    rng = np.random.default_rng(1)
    axis = np.arange(BOX) - BOX // 2
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    return sum(np.exp(-((x - c[0]) ** 2 + (y - c[1]) ** 2 + (z - c[2]) ** 2) / 2.0)
               for c in rng.normal(0, 4, (20, 3))).astype(np.float32)


def sums_of(volume, count, noise, seed=1):
    rng = np.random.default_rng(seed)
    tilt = np.degrees(np.arccos(rng.uniform(-1, 1, count)))
    matrices = euler_to_matrix(rng.uniform(-180, 180, count), tilt, rng.uniform(-180, 180, count))
    band = full_band(BOX).cut(2 * RADIUS)
    slices = central_slices(band_limited_transform(volume, RADIUS) / BOX**2, matrices, band.kx, band.ky)
    ctf = rng.uniform(0.1, 1.0, slices[0].shape).astype(np.float32)
    spread = noise * np.sqrt(np.mean(slices[0] ** 2))
    data = [ctf * (ctf * part + spread * rng.normal(size=part.shape).astype(np.float32)) for part in slices]
    sums = empty_sums(RADIUS)[None]
    insert_slices(sums, matrices, band.kx, band.ky, data, ctf**2)
    return finish_sums(sums, operators("C1"))


def agreement(volume, truth):
    ball = soft_disc(BOX, 0.35 * BOX, 3.0, 3)
    return fsc(volume * ball, truth * ball)[1:RADIUS].mean()


def test_perfect_slices_give_the_map(truth):
    sums = sums_of(truth, 2000, 0.0)
    found = least_squares_map(sums, RADIUS, BOX)
    assert found.dtype == np.float32 and found.shape == truth.shape
    assert agreement(found, truth) > 0.999
    assert (found * truth).sum() / (truth**2).sum() == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("ssnr", [None, 20.0 * np.exp(-np.arange(BOX) / 6.0)])
def test_noisy_slices_give_a_better_map_than_division(truth, seed, ssnr):
    sums = sums_of(truth, 80, 1.0, seed)
    assert agreement(least_squares_map(sums, RADIUS, BOX, ssnr), truth) > agreement(
        regularised_map(sums, RADIUS, BOX, ssnr), truth) + 0.003


def test_the_prior_damps_what_is_noise(truth):
    sums = sums_of(truth, 80, 1.0)
    weak = np.where(np.arange(BOX) > 8, 1e-3, 1e3)
    power = [np.abs(np.fft.fftn(least_squares_map(sums, RADIUS, BOX, ssnr)))[0, 0, 10] for ssnr in (None, weak)]
    assert power[1] < 0.05 * power[0]


def test_nothing_gives_nothing():
    assert not least_squares_map(empty_sums(RADIUS), RADIUS, BOX).any()
