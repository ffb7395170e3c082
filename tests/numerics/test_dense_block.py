"""A block without oversampling as matrix products: against a plain sum over all samples, and against the search."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cryosnake.numerics.refine.grids.bands import full_band
from cryosnake.numerics.refine.grids.grids import PlaneGrid, shift_grid
from cryosnake.numerics.refine.grids.references import class_references
from cryosnake.numerics.refine.grids.samples import Operands
from cryosnake.numerics.refine.kernels.budget import budget_of, use_budget
from cryosnake.numerics.refine.search import dense_block as module
from cryosnake.numerics.refine.search.dense_block import dense_block, slice_parts
from cryosnake.numerics.refine.search.expectation import Kept, coarse_slices, expectation, search_everywhere
from cryosnake.numerics.refine.sums.insertion import empty_sums

BOX, SIZE, COUNT = 24, 12, 7


@pytest.fixture
def problem():
    rng = np.random.default_rng(1)
    axis = np.arange(BOX) - BOX // 2
    averages = (np.exp(-(axis[:, None] ** 2 + axis**2) / 25.0) * rng.normal(size=(3, BOX, BOX))).astype(np.float32)
    reference = class_references(averages, SIZE, PlaneGrid(3, 10, 0.2, 1))
    band, shifts = full_band(BOX).cut(SIZE), shift_grid(2.0, 1.5, 0.1, oversampled=False)
    ctf = rng.uniform(0.3, 1.0, (COUNT, band.kx.size)).astype(np.float32) * 30.0
    true = reference.coarse(rng.integers(reference.grid.size, size=COUNT), band)
    noise = [rng.normal(size=ctf.shape) + 1j * rng.normal(size=ctf.shape) for _ in range(2)]
    masked, raw = (ctf * (ctf * (true[0] + 1j * true[1]) + 0.7 * part) for part in noise)
    operands = Operands(masked.astype(np.complex64), raw.astype(np.complex64), ctf**2,
                        rng.integers(-1, 2, (COUNT, 2)).astype(float), offset_sigma=2.0)
    prior = np.log(rng.dirichlet(np.ones(reference.grid.size))).astype(np.float32)
    return operands, reference, band, shifts, prior


def computed(operands, reference, band, shifts, prior, workers=1):
    """The outcome, and the sums of all parts."""
    slices, parts = slice_parts(reference, band, workers), []
    outcome = dense_block(operands, slices, shifts, prior, lambda part, *sums: parts.append((part, *sums)))
    images, weights = (np.zeros((reference.grid.size, n * band.kx.size), np.float32) for n in (2, 1))
    for part, image, weight in parts:
        images[part] += image
        weights[part] += weight
    return outcome, images, weights


def test_it_is_the_sum_of_the_equation(problem, monkeypatch):
    operands, reference, band, shifts, prior = problem
    monkeypatch.setattr(module, "_SCORES_AT_ONCE", 3 * len(shifts.coarse) * reference.grid.size)  # several chunks
    outcome, images, weights = computed(operands, reference, band, shifts, prior)
    real, imaginary = reference.coarse(np.arange(reference.grid.size), band)
    slices = real.astype(np.float64) + 1j * imaginary
    masked, raw = (part[:, None].astype(np.complex128) * band.phases(shifts.coarse)
                   for part in (operands.masked, operands.raw))
    cross = np.einsum("nsk,ok->nso", masked, slices.conj()).real
    power = operands.ctf2.astype(np.float64) @ (np.abs(slices) ** 2).T
    values = 2 * cross - power[:, None] + operands.shift_prior(shifts.coarse)[:, :, None]
    values += prior
    p = np.exp(values - values.max((1, 2), keepdims=True))
    p /= p.sum((1, 2), keepdims=True)
    assert p.max() < 0.98  # the case is not settled by one sample each

    flat = p.reshape(COUNT, -1)
    np.testing.assert_array_equal(outcome.orientation, flat.argmax(1) % reference.grid.size)
    np.testing.assert_allclose(outcome.shift, shifts.coarse[flat.argmax(1) // reference.grid.size])
    np.testing.assert_allclose(outcome.top_weight, flat.max(1), rtol=2e-3)
    ordered = np.sort(flat, axis=1)[:, ::-1].cumsum(1)
    least = (ordered < 0.999).sum(1)
    assert (outcome.significant >= least).all() and (outcome.significant <= 1.3 * least + 3).all()
    by_shell = np.zeros((2, COUNT, int(band.shell[-1]) + 1))
    agreement = np.einsum("nso,nsk,ok->nk", p, masked, slices.conj()).real
    size = np.einsum("no,ok->nk", p.sum(1), np.abs(slices) ** 2) * operands.ctf2
    for shell in range(by_shell.shape[2]):
        by_shell[:, :, shell] = [part[:, band.shell == shell].sum(1) for part in (agreement, size)]
    np.testing.assert_allclose(outcome.cross, by_shell[0], rtol=2e-3, atol=2e-3 * np.abs(by_shell[0]).max())
    np.testing.assert_allclose(outcome.power, by_shell[1], rtol=2e-3, atol=2e-3 * by_shell[1].max())
    whole = ((operands.offsets[:, None] + shifts.coarse) ** 2).sum(-1)
    np.testing.assert_allclose(outcome.offset_power, (p.sum(2) * whole).sum(1), rtol=2e-3)
    np.testing.assert_allclose(outcome.direction_mass, p.sum((0, 1)).reshape(3, -1).sum(1), rtol=2e-3, atol=1e-3)
    expected = np.einsum("nso,nsk->ok", p, raw)
    found = images[:, : band.kx.size] + 1j * images[:, band.kx.size :]
    np.testing.assert_allclose(found, expected, atol=2e-3 * np.abs(expected).max())
    np.testing.assert_allclose(weights, np.einsum("no,nk->ok", p.sum(1), operands.ctf2), rtol=2e-3,
                               atol=2e-3 * weights.max())


def test_it_agrees_with_search_and_expectation(problem):
    operands, reference, band, shifts, prior = problem
    outcome, images, weights = computed(operands, reference, band, shifts, prior)
    sums = np.zeros((2, 1, *empty_sums(SIZE // 2, (3,), dimensions=2).shape), np.float32)
    numbers, pixels = np.arange(reference.grid.size), band.kx.size
    reference.insert(sums[0], numbers, numbers, (np.ascontiguousarray(images[:, :pixels]),
                                                 np.ascontiguousarray(images[:, pixels:])), weights, band)
    samples = search_everywhere(operands, coarse_slices(reference, band), shifts, prior, kept=Kept(0.9999999))
    searched = expectation(operands, samples, reference, band, shifts, sums[1])
    np.testing.assert_array_equal(outcome.orientation, searched.orientation)
    np.testing.assert_allclose(outcome.log_likelihood, searched.log_likelihood, rtol=1e-3, atol=0.02)
    np.testing.assert_allclose(outcome.power, searched.power, rtol=0.05, atol=0.02 * outcome.power.max())
    np.testing.assert_allclose(sums[0], sums[1], atol=5e-3 * np.abs(sums[1]).max())


def test_a_small_budget_takes_the_orientations_in_parts(problem):
    _, reference, band, _, _ = problem
    whole = computed(*problem)
    with use_budget(replace(budget_of(1 << 30), dense=12 * band.kx.size * 3 * 8, block=1 << 14)):
        assert len(slice_parts(reference, band, 1).parts) == 4
        parts = computed(*problem)
    np.testing.assert_array_equal(parts[0].orientation, whole[0].orientation)
    for name in ("log_likelihood", "cross", "power", "direction_mass", "offset_power"):
        np.testing.assert_allclose(getattr(parts[0], name), getattr(whole[0], name), rtol=1e-4, atol=1e-3)
    for some, everything in zip(parts[1:], whole[1:], strict=True):
        np.testing.assert_allclose(some, everything, atol=1e-4 * np.abs(everything).max())
