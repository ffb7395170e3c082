"""The dense expectation step against a plain sum over all samples."""

from __future__ import annotations

import numpy as np
import pytest

from cryosnake.numerics.backend import to_numpy
from cryosnake.numerics.projection import band_limited_transform
from cryosnake.numerics.refine.grids.bands import full_band
from cryosnake.numerics.refine.grids.grids import shift_grid, sphere_grid
from cryosnake.numerics.refine.grids.references import MapReference
from cryosnake.numerics.refine.grids.samples import Operands
from cryosnake.numerics.refine.search.dense import dense_expectation, insert_outcome
from cryosnake.numerics.refine.search.expectation import coarse_slices
from cryosnake.numerics.refine.sums.insertion import empty_sums, insert_slices

BOX, RADIUS = 16, 4


@pytest.fixture
def problem():
    rng = np.random.default_rng(1)
    axis = np.arange(BOX) - 8
    ball = np.exp(-(axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2) / 20.0)
    maps = ball * rng.normal(size=(2, BOX, BOX, BOX))
    grid = sphere_grid(1, "D2", 0.2, classes=2)
    reference = MapReference(np.stack([band_limited_transform(v.astype(np.float32), RADIUS) / BOX for v in maps]), grid)
    band, shifts = full_band(BOX).cut(2 * RADIUS), shift_grid(2.0, 1.5, 0.1)
    ctf = rng.uniform(0.3, 1.0, (5, band.kx.size)).astype(np.float32)
    true = reference.coarse(rng.integers(grid.size, size=5), band)
    images = (ctf * (true[0] + 1j * true[1]) + 0.7 * (rng.normal(size=ctf.shape) + 1j * rng.normal(size=ctf.shape)))
    operands = Operands((ctf * images).astype(np.complex64), (ctf * images).astype(np.complex64), ctf**2,
                        rng.integers(-1, 2, (5, 2)).astype(float), offset_sigma=2.0)
    prior = np.log(rng.dirichlet(np.ones(grid.size))).astype(np.float32)
    return operands, reference, band, shifts, prior


def direct(operands, reference, band, shifts, prior, temperature):
    """Probabilities (n, shifts, orientations) float64 and the log of their sum, as the equation says."""
    real, imaginary = reference.coarse(np.arange(reference.grid.size), band)
    slices = real.astype(np.float64) + 1j * imaginary
    moved = operands.masked[:, None].astype(np.complex128) * band.phases(shifts.coarse)
    cross = 2.0 * np.einsum("nsk,ok->nso", moved, slices.conj()).real
    power = operands.ctf2.astype(np.float64) @ (np.abs(slices) ** 2).T
    values = (cross - power[:, None]) / temperature + operands.shift_prior(shifts.coarse)[:, :, None] + prior
    peak = values.max((1, 2), keepdims=True)
    weights = np.exp(values - peak)
    total = weights.sum((1, 2), keepdims=True)
    return weights / total, (peak + np.log(total)).ravel(), moved, slices


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_probabilities_and_sums_are_those_of_the_equation(problem, temperature):
    operands, reference, band, shifts, prior = problem
    slices = coarse_slices(reference, band)
    outcome = dense_expectation(operands, slices, shifts, prior, temperature)
    weights, log_sum, moved, values = direct(*problem, temperature)
    np.testing.assert_allclose(outcome.log_likelihood, log_sum, rtol=1e-4, atol=1e-3)
    flat = weights.reshape(len(operands), -1).argmax(1)
    assert (outcome.shift == flat // reference.grid.size).all()
    assert (outcome.orientation == flat % reference.grid.size).all()
    images = np.einsum("nso,nsk->ok", weights, moved)
    pixels, size = band.kx.size, np.abs(images).max()
    np.testing.assert_allclose(outcome.images[:, :pixels] + 1j * outcome.images[:, pixels:], images, atol=1e-4 * size)
    ctf2 = np.einsum("no,nk->ok", weights.sum(1), operands.ctf2)
    np.testing.assert_allclose(outcome.weights, ctf2, atol=1e-4)
    np.testing.assert_allclose(outcome.mass, weights.sum((0, 1)), atol=1e-4)
    np.testing.assert_allclose(outcome.effective, 1 / (weights.sum(1) ** 2).sum(1), rtol=1e-3)
    whole = ((operands.offsets[:, None] + shifts.coarse) ** 2).sum(-1)
    assert outcome.offset_power == pytest.approx((weights.sum(2) * whole).sum(), rel=1e-4)
    change = ctf2 * np.abs(values) ** 2 - 2.0 * (images * values.conj()).real
    expected = np.bincount(band.shell, change.sum(0))
    np.testing.assert_allclose(outcome.residual(slices), expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())


def test_the_sums_of_a_class_are_its_own_back_projections(problem):
    operands, reference, band, shifts, prior = problem
    outcome = dense_expectation(operands, coarse_slices(reference, band), shifts, prior)
    sums = np.zeros((1, *empty_sums(RADIUS, (2,)).shape), np.float32)
    insert_outcome(sums, outcome, reference.grid, band)
    half, pixels = reference.grid.size // 2, band.kx.size
    for number, mine in enumerate((np.arange(half), np.arange(half, 2 * half))):
        alone = np.zeros((1, *empty_sums(RADIUS, (1,)).shape[1:]), np.float32)
        insert_slices(alone, reference.grid.matrices(mine), band.kx, band.ky, (
            outcome.images[mine, :pixels], outcome.images[mine, pixels:]), outcome.weights[mine])
        np.testing.assert_allclose(sums[0, number], alone[0], atol=1e-4 * np.abs(alone).max())


def test_a_gpu_does_the_same(problem, cupy):
    operands, reference, band, shifts, prior = problem
    there = Operands(*(cupy.asarray(values) for values in (operands.masked, operands.raw, operands.ctf2)),
                     operands.offsets, offset_sigma=operands.offset_sigma)
    results = []
    for block, maps, parts in ((operands, reference.transforms, 3), (there, cupy.asarray(reference.transforms), 4)):
        own = MapReference(maps, reference.grid)
        slices = coarse_slices(own, band)
        outcome = dense_expectation(block, slices, shifts, prior, 2.0)
        shape = (1, *empty_sums(RADIUS, (2,)).shape[:-1], parts)
        sums = np.zeros(shape, np.float32) if parts == 3 else cupy.zeros(shape, cupy.float32)
        insert_outcome(sums, outcome, reference.grid, band)
        results.append((outcome, to_numpy(sums)[..., :3], outcome.residual(slices)))
    (here, sums, residual), (device, device_sums, device_residual) = results
    for name in ("orientation", "shift"):
        np.testing.assert_array_equal(getattr(device, name), getattr(here, name))
    for name in ("top_weight", "log_likelihood", "effective", "mass", "images", "weights", "offset_power"):
        expected = np.asarray(getattr(here, name))
        np.testing.assert_allclose(to_numpy(getattr(device, name)), expected, rtol=1e-4, atol=1e-5 * np.abs(
            expected).max())
    np.testing.assert_allclose(device_sums, sums, atol=1e-4 * np.abs(sums).max())
    np.testing.assert_allclose(device_residual, residual, atol=1e-4 * np.abs(residual).max())
