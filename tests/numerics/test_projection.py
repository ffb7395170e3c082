"""Slices against the projection of Gaussian blobs, whose transform is known in closed form."""

import numpy as np
import pytest

from cryosnake.numerics.euler import euler_to_matrix
from cryosnake.numerics.projection import band_limited_transform, central_slices, half_plane, padded_transform

BOX, SIGMA = 32, 2.0
CENTRES = np.array([[3.0, -2.0, 4.0], [-5.0, 1.5, 0.0], [0.5, 4.0, -3.0]])  # x, y, z from the box's centre


def _map():
    axis = np.arange(BOX) - BOX // 2
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    return sum(np.exp(-((x - c[0]) ** 2 + (y - c[1]) ** 2 + (z - c[2]) ** 2) / (2 * SIGMA**2)) for c in CENTRES)


def _exact(matrices, kx, ky):
    frequency = kx[:, None, None] * matrices[None, :, 0] + ky[:, None, None] * matrices[None, :, 1]  # (p, m, 3)
    phase = np.exp(-2j * np.pi / BOX * frequency @ CENTRES.T).sum(-1)
    radius = kx**2 + ky**2
    envelope = (2 * np.pi * SIGMA**2) ** 1.5 * np.exp(-2 * np.pi**2 * SIGMA**2 * radius / BOX**2)
    return (phase * envelope[:, None]).T


@pytest.fixture(scope="module")
def matrices():
    rng = np.random.default_rng(2)
    return euler_to_matrix(rng.uniform(-180, 180, 9), rng.uniform(0, 180, 9), rng.uniform(-180, 180, 9))


@pytest.mark.parametrize("transform", [padded_transform, lambda v: band_limited_transform(v, 10)])
def test_slices_are_the_transform_of_the_projection(matrices, transform):
    kx, ky = half_plane(20)
    real, imaginary = central_slices(transform(_map()), matrices, kx, ky)
    exact = _exact(matrices, kx, ky)
    # trilinear at padding 2 with gridding correction: 3 % where a frequency falls on the grid, less between
    error = np.abs(real + 1j * imaginary - exact) / np.abs(exact).max()
    assert error.max() < 0.035
    assert np.sqrt((error**2).mean()) < 0.003


def test_the_band_limited_transform_reaches_nyquist(matrices):
    kx, ky = half_plane(BOX)
    real, imaginary = central_slices(band_limited_transform(_map(), BOX // 2), matrices, kx, ky)
    assert np.isfinite(real).all() and np.isfinite(imaginary).all()


def test_half_plane_has_each_friedel_pair_once():
    kx, ky = half_plane(12)
    pixels = set(zip(kx, ky, strict=True))
    mates = {(-x, -y) for x, y in pixels} - {(0.0, 0.0)}
    assert not pixels & mates
    assert len(pixels | mates) == sum(x * x + y * y <= 36 for x in range(-6, 7) for y in range(-6, 7))
    assert (0.0, 0.0) not in set(zip(*half_plane(12, 0.5), strict=True))
