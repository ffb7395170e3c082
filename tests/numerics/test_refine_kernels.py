"""Compiled kernels against plain NumPy."""

from types import SimpleNamespace

import numba as nb
import numpy as np
import pytest

from cryosnake.numerics.refine.grids.bands import full_band
from cryosnake.numerics.refine.grids.grids import shift_grid
from cryosnake.numerics.refine.kernels import scores as kernels
from cryosnake.numerics.refine.kernels import selection

CHILDREN = 2


@pytest.fixture
def case():
    rng = np.random.default_rng(3)
    band = full_band(16).cut(10)
    shifts = shift_grid(2.0, 2.0)
    n, orientations, pixels = 4, 5, band.kx.size

    def plane(rows):
        return rng.normal(size=(rows, pixels)).astype(np.float32)

    # samples sorted by (orientation, particle, shift)
    keys = np.sort(rng.choice(orientations * n * len(shifts.coarse), 40, replace=False))
    orientation, rest = np.divmod(keys, n * len(shifts.coarse))
    particle, shift = np.divmod(rest, len(shifts.coarse))
    phase = band.phases(shifts.fine)
    return SimpleNamespace(
        band=band, shifts=shifts, n=n, orientations=orientations, orientation=orientation, particle=particle,
        shift=shift, starts=np.searchsorted(orientation, np.arange(orientations + 1)),
        slices=plane(orientations * CHILDREN) + 1j * plane(orientations * CHILDREN), image=plane(n) + 1j * plane(n),
        raw=plane(n) + 1j * plane(n), ctf2=plane(n) ** 2, phase=phase)


def _split(values):
    return np.ascontiguousarray(values.real, np.float32), np.ascontiguousarray(values.imag, np.float32)


def _score(case):
    out = np.empty((len(case.particle), CHILDREN, 4), np.float32)
    kernels.score(*_split(case.slices), case.starts, case.particle, case.shift, *_split(case.image), case.ctf2,
                  *_split(case.phase), case.shifts.sub, out)
    return out


def test_score_is_the_log_likelihood(case):
    expected = np.empty((len(case.particle), CHILDREN, 4))
    for s, (o, i, t) in enumerate(zip(case.orientation, case.particle, case.shift, strict=True)):
        for c in range(CHILDREN):
            projection = case.slices[o * CHILDREN + c]
            norm = (case.ctf2[i] * np.abs(projection) ** 2).sum()
            for u in range(4):
                moved = case.phase[case.shifts.sub[t, u]] * case.image[i]
                expected[s, c, u] = 2 * (moved * projection.conj()).real.sum() - norm
    np.testing.assert_allclose(_score(case), expected, rtol=1e-4, atol=1e-3)


def test_score_of_eight_children_at_one_shift(case):
    rng = np.random.default_rng(4)
    children, pixels = 8, case.band.kx.size
    slices = rng.normal(size=(2, case.orientations * children, pixels)).astype(np.float32)
    sub = np.arange(len(case.shifts.fine))[:, None]
    out = np.empty((len(case.particle), children, 1), np.float32)
    kernels.score(*slices, case.starts, case.particle, case.shift, *_split(case.image), case.ctf2, *_split(case.phase),
                  sub, out)
    projection = (slices[0] + 1j * slices[1]).reshape(case.orientations, children, pixels)[case.orientation]
    moved = case.phase[sub[case.shift]] * case.image[case.particle][:, None, :]  # (samples, 1, pixels)
    cross = np.einsum("sup,scp->scu", moved, projection.conj()).real
    norm = np.einsum("sp,scp->sc", case.ctf2[case.particle], np.abs(projection) ** 2)
    np.testing.assert_allclose(out, 2 * cross - norm[:, :, None], rtol=1e-4, atol=2e-3)


def test_accumulate_sums_weighted_images_and_noise_terms(case):
    rng = np.random.default_rng(5)
    weights = rng.random((len(case.particle), CHILDREN, 4)).astype(np.float32)
    weights[rng.random(weights.shape) < 0.5] = 0.0
    weights[case.particle == 0] = 0.0  # rows that nothing falls on
    sampled = np.where(rng.random(weights.shape) < 0.3, weights * 2, 0).astype(np.float32)
    shell_starts = np.append(case.band.shell_starts(), case.band.kx.size)
    shells, rows = len(shell_starts) - 1, case.orientations * CHILDREN
    data = [np.full((rows, case.band.kx.size), 7.0, np.float32) for _ in range(3)]
    cross = np.zeros((nb.get_num_threads(), case.n, shells), np.float32)
    power = np.zeros_like(cross)
    kernels.accumulate(*_split(case.slices), case.starts, case.particle, case.shift, weights, sampled,
                       *_split(case.image), *_split(case.raw), case.ctf2, *_split(case.phase), case.shifts.sub,
                       shell_starts, *data, cross, power)
    expected_data = np.zeros((rows, case.band.kx.size), complex)
    expected_weight = np.zeros((rows, case.band.kx.size))
    expected_cross, expected_power = np.zeros((case.n, shells)), np.zeros((case.n, shells))
    for s, (o, i, t) in enumerate(zip(case.orientation, case.particle, case.shift, strict=True)):
        for c in range(CHILDREN):
            row = o * CHILDREN + c
            for u in range(4):
                w, phase = weights[s, c, u], case.phase[case.shifts.sub[t, u]]
                expected_data[row] += w * phase * case.raw[i]
                expected_weight[row] += w * case.ctf2[i]
                x = sampled[s, c, u] * (phase * case.image[i] * case.slices[row].conj()).real
                a = sampled[s, c, u] * case.ctf2[i] * np.abs(case.slices[row]) ** 2
                expected_cross[i] += np.bincount(case.band.shell, x, shells)
                expected_power[i] += np.bincount(case.band.shell, a, shells)
    filled = expected_weight.any(1)
    np.testing.assert_allclose((data[0] + 1j * data[1])[filled], expected_data[filled], atol=1e-4)
    np.testing.assert_allclose(data[2][filled], expected_weight[filled], atol=1e-4)
    assert (data[2][~filled] == 7.0).all()
    np.testing.assert_allclose(cross.sum(0), expected_cross, atol=1e-3)
    np.testing.assert_allclose(power.sum(0), expected_power, rtol=1e-4, atol=1e-3)


def test_dense_selection_keeps_the_samples_that_hold_the_mass():
    rng = np.random.default_rng(8)
    cross = rng.normal(0, 3, (3, 5, 40)).astype(np.float32)
    norm, prior = rng.normal(0, 1, (3, 40)).astype(np.float32), rng.normal(0, 1, (3, 5)).astype(np.float32)
    cuts, counts = np.empty(3, np.float32), np.empty(3, np.int64)
    selection.find_cuts(cross, norm, prior, 0.999, cuts, counts)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    orientation, shift = np.full(offsets[-1], -1), np.full(offsets[-1], -1)
    selection.gather_samples(cross, norm, prior, cuts, offsets, orientation, shift)
    logs = cross - norm[:, None, :] + prior[:, :, None]
    for i in range(3):
        weights = np.exp(logs[i] - logs[i].max())
        kept = np.zeros(weights.shape, bool)
        kept[shift[offsets[i] : offsets[i + 1]], orientation[offsets[i] : offsets[i + 1]]] = True
        assert kept.sum() == counts[i]
        assert weights[kept].min() > weights[~kept].max()
        assert weights[kept].sum() >= 0.999 * weights.sum()
        # no more than the smallest such set and one bin of the histogram (2.5 % in weight)
        smallest = np.sort(weights.ravel())[::-1]
        needed = np.searchsorted(np.cumsum(smallest), 0.999 * weights.sum())
        assert weights[kept].min() >= smallest[needed] * np.exp(-25 / 1024) * 0.999


def test_normalise_gives_probabilities_of_each_particle():
    rng = np.random.default_rng(9)
    particle = np.array([0, 1, 0, 1, 1])
    values = rng.normal(0, 2, (5, 2, 4)).astype(np.float32)
    original = values.astype(np.float64)
    order = np.argsort(particle, kind="stable")
    best, significant, top, log_sum = np.zeros(2, int), np.zeros(2, int), np.zeros(2), np.zeros(2)
    sampled = np.empty_like(values)
    selection.normalise(values, order, np.array([0, 2, 5]), 1.0, 64, np.arange(2), sampled, best, top,
                        significant, log_sum)
    assert np.array_equal(sampled, values)  # no more samples than are drawn
    for i in range(2):
        weights = np.exp(original[particle == i])
        np.testing.assert_allclose(values[particle == i], weights / weights.sum(), rtol=1e-4)
        assert top[i] == pytest.approx(weights.max() / weights.sum(), rel=1e-5)
        assert log_sum[i] == pytest.approx(np.log(weights.sum()), rel=1e-5)
        assert original.ravel()[best[i]] == original[particle == i].max()
        assert significant[i] == weights.size


def test_drawn_weights_are_few_and_unbiased():
    rng = np.random.default_rng(10)
    samples = 400
    values = rng.normal(0, 1, (samples, 2, 4)).astype(np.float32)
    order, quantity = np.arange(samples), rng.normal(size=values.shape)
    best, significant, top, log_sum = np.zeros(8, int), np.zeros(8, int), np.zeros(8), np.zeros(8)
    starts, sampled = np.arange(0, samples + 1, 50), np.empty_like(values)
    selection.normalise(values, order, starts, 0.999, 64, np.arange(8), sampled, best, top, significant, log_sum)
    by_particle = sampled.reshape(8, -1)
    assert ((by_particle > 0).sum(1) <= 64).all() and (sampled[values == 0] == 0).all()
    np.testing.assert_allclose(by_particle.sum(1), 1.0, atol=1.01 / 64)
    difference = ((sampled - values) * quantity).reshape(8, -1).sum(1)
    assert abs(difference.mean()) < 3 * np.sqrt(1 / 64 / 8)  # 64 independent draws for each of 8 particles at most


def test_all_shifts_of_one_orientation_at_once_score_as_one_by_one(case):
    shifts = len(case.shifts.fine)
    whole = np.unique(np.stack([case.orientation, case.particle]), axis=1)
    starts = np.searchsorted(whole[0], np.arange(case.orientations + 1))
    slices = [part[::CHILDREN].copy() for part in _split(case.slices)]
    arguments = (*slices, starts, whole[1], np.zeros(len(whole[1]), int), *_split(case.image), case.ctf2,
                 *_split(case.phase))
    together = np.empty((len(whole[1]), 1, shifts), np.float32)
    kernels.score(*arguments, np.arange(shifts)[None], together)
    alone = np.empty((len(whole[1]), 1, 1), np.float32)
    for shift in range(shifts):
        kernels.score(*arguments, np.array([[shift]]), alone)
        np.testing.assert_allclose(together[:, :, shift], alone[:, :, 0], rtol=1e-4, atol=1e-3)
