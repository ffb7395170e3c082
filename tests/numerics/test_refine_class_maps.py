"""Priors of classes and directions, and the signal-to-noise ratio of class maps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cryosnake.numerics.refine.classes.class_maps import (
    class_directions,
    class_shares,
    class_ssnr,
    equal_classes,
    log_shares,
)
from cryosnake.numerics.refine.grids.grids import sphere_grid
from cryosnake.numerics.refine.grids.references import map_reference
from cryosnake.numerics.refine.sums.insertion import empty_sums
from cryosnake.numerics.refine.sums.maximisation import reference_power
from cryosnake.numerics.refine.sums.reconstruction import mean_weight


def test_a_class_without_particles_keeps_no_share() -> None:
    mass = np.array([[30.0, 0.0, 10.0], [0.0, 0.0, 0.0], [0.0, 60.0, 0.0]])
    np.testing.assert_allclose(class_shares(mass), [0.4, 0.0, 0.6])
    prior = class_directions(mass).reshape(3, 3)
    np.testing.assert_allclose(prior.sum(1), [0.4, 0.0, 0.6])
    assert (prior[[0, 2]] > 0).all() and not prior[1].any()
    logs = log_shares(prior)
    assert np.isfinite(logs).all() and (logs[1] < -1e4).all()
    np.testing.assert_allclose(np.exp(logs[0]), prior[0])


def test_ssnr_is_signal_power_times_the_number_of_measurements() -> None:
    volume = np.zeros((1, 16, 16, 16), np.float32)
    volume[0, 8, 8, 8] = 3.0 * 16**2  # a point: the same power, 3², at all frequencies in the scale of slices
    transform = map_reference(volume, 12, sphere_grid(0, "C1")).transforms[0]
    sums = empty_sums(6, (1,))[0]
    sums[..., 2] = 5.0 / 8.0  # padding³ cells share the weight of one Fourier voxel
    ssnr = class_ssnr(mean_weight(sums, 6), reference_power(transform, 7), 4.0, 3)
    np.testing.assert_allclose(ssnr[1:], 4.0 * 9.0 * 5.0, rtol=0.02)
    assert not class_ssnr(np.zeros(7), reference_power(transform, 7), 4.0, 3).any()


def test_classes_are_equally_likely_but_for_the_dead() -> None:
    prior = class_directions(np.array([[3.0, 1.0, 0.0], [0.0, 0.0, 0.0], [16.0, 0.0, 2.0]]))
    equal = equal_classes(prior, 3).reshape(3, 3)
    np.testing.assert_allclose(equal.sum(1), [0.5, 0.0, 0.5])
    np.testing.assert_allclose(equal[0], np.array([4.0, 2.0, 1.0]) / 14.0)
    np.testing.assert_allclose(equal_classes(np.array([0.75, 0.25]), 2), [0.5, 0.5])


def test_local_searches_know_the_classes_shares() -> None:
    plain = sphere_grid(1, "C1", whole=True, classes=2)
    grid = replace(plain, log_shares=(-1.0, -2.0))
    poses = plain.matrices(np.array([7]))
    _, numbers, prior = grid.near(poses, 20.0)
    _, same, without = plain.near(poses, 20.0)
    assert np.array_equal(numbers, same)
    np.testing.assert_allclose(prior - without, np.where(grid.class_of(numbers) == 0, -1.0, -2.0), atol=1e-5)
    mass = np.arange(2.0 * len(plain.pixels))
    np.testing.assert_allclose(grid.class_mass(mass), mass.reshape(2, -1).sum(1))
    np.testing.assert_allclose(grid.class_mass(mass[:3]), [mass[:3].sum(), 0.0])
