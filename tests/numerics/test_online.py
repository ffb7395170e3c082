"""The schedule of mini-batches and the sums that they share."""

from __future__ import annotations

import numpy as np

from cryosnake.numerics.refine.grids.bands import full_band
from cryosnake.numerics.refine.sums.insertion import complete_plane, empty_sums, insert_slices
from cryosnake.numerics.refine.sums.maximisation import regularised_map
from cryosnake.numerics.refine.sums.online import halves_ssnr, random_rotations, resized_sums, stage_at


def test_stages_go_from_coarse_and_hot_to_fine_and_cold():
    stages = [stage_at(part, (40.0, 15.0), (100, 200), 180.0) for part in np.linspace(0, 1, 21)]
    for name in ("resolution", "temperature"):
        values = [getattr(stage, name) for stage in stages]
        assert values == sorted(values, reverse=True)
    for name in ("order", "batch", "decay"):
        values = [getattr(stage, name) for stage in stages]
        assert values == sorted(values)
    first, last = stages[0], stages[-1]
    assert (first.resolution, first.batch, first.order, first.dense) == (40.0, 100, 1, True)
    assert (last.resolution, last.batch, last.temperature) == (15.0, 200, 1.0)
    assert not last.dense  # 15 Å at the rim of a particle of 180 Å need steps below 15 degrees


def test_sums_that_grow_and_shrink_again_are_the_same():
    rng = np.random.default_rng(2)
    sums = rng.normal(size=(2, 3, *empty_sums(4).shape)).astype(np.float32)
    for border in ((..., 0, slice(None), slice(None), slice(None)), (..., -1, slice(None), slice(None), slice(None)),
                   (..., 0, slice(None), slice(None)), (..., -1, slice(None), slice(None)), (..., -1, slice(None))):
        sums[border] = 0.0  # no slice reaches the outermost voxels
    grown = resized_sums(sums, 6)
    assert grown.shape == (2, 3, *empty_sums(6).shape)
    assert np.isclose(grown.sum(dtype=np.float64), sums.sum(dtype=np.float64))
    np.testing.assert_array_equal(resized_sums(grown, 4), sums)


def test_grown_sums_give_the_same_map():
    rng = np.random.default_rng(3)
    band = full_band(16).cut(8)
    sums = empty_sums(4)[None]
    real, imaginary = rng.normal(size=(2, 50, band.kx.size)).astype(np.float32)
    insert_slices(sums, random_rotations(50, rng), band.kx, band.ky, (real, imaginary), np.ones_like(real))
    complete_plane(sums[0])
    np.testing.assert_allclose(regularised_map(resized_sums(sums[0], 6), 4, 16, None),
                               regularised_map(sums[0], 4, 16, None), atol=1e-5)


def test_random_rotations_are_even():
    matrices = random_rotations(20000, np.random.default_rng(4))
    unity = np.broadcast_to(np.eye(3), matrices.shape)
    np.testing.assert_allclose(matrices @ matrices.swapaxes(1, 2), unity, atol=1e-9)
    assert np.abs(matrices.mean(0)).max() < 0.02
    angle = np.degrees(np.arccos(np.clip((matrices.trace(axis1=1, axis2=2) - 1) / 2, -1, 1)))
    assert abs((angle < 60).mean() - (np.pi / 3 - np.sin(np.pi / 3)) / np.pi) < 0.005  # Haar measure


def test_the_ssnr_of_two_halves_falls_with_their_difference():
    rng = np.random.default_rng(5)
    common, noise = rng.normal(size=(1, *empty_sums(6).shape)), rng.normal(size=(2, *empty_sums(6).shape))
    pair = (common + 1.0 * noise).astype(np.float32)
    pair[..., 2] = 1.0
    ssnr = halves_ssnr(pair[0], pair[1], 6, 9, 0.05)
    assert ssnr.shape == (9,) and (ssnr[7:] == 0).all()
    # equal power of signal and noise in each half: two of them give a ratio of 2
    assert 1.0 < np.median(ssnr[3:7]) < 4.0
