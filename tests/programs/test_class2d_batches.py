"""Mini-batches of Class2D: how many, which particles, how earlier ones fade, and that the sums behind them keep."""

from __future__ import annotations

import numpy as np
import pytest

from cryosnake.numerics.refine.classes.averages import (
    decayed_sums,
    finish_class_sums,
    moved_sums,
    revived,
    sums_of_averages,
)
from cryosnake.numerics.refine.grids.bands import full_band
from cryosnake.numerics.refine.grids.images import fourier_pixels, shift_images
from cryosnake.numerics.refine.grids.references import class_references, insert_planes
from cryosnake.numerics.refine.sums.insertion import empty_sums
from cryosnake.numerics.refine.sums.reconstruction import divide, mean_weight, to_real_space
from cryosnake.programs.class2d.batches import batch_rows, batch_sizes, pays, step_size, updates_until

BOX = 24


@pytest.mark.parametrize(("count", "classes"), [(3000, 12), (20_000, 50), (1_000_000, 100)])
def test_mini_batches_are_a_few_passes_and_end_with_all(count, classes):
    sizes = batch_sizes(count, classes, 25, gradient=True)
    assert sizes.sum() <= 5.8 * count and (sizes[-3:] == count).all() and len(sizes) == 4 * 22 + 3
    assert (np.diff(sizes[1:-3]) >= 0).all() and sizes[0] == 50 * classes
    assert sizes[1] >= min(8 * classes, 2.5 * count / 88) - 1
    assert (batch_sizes(count, classes, 25, gradient=False) == count).all()


def test_few_particles_or_iterations_are_taken_whole():
    assert (batch_sizes(10, 3, 25, gradient=True) <= 10).all() and (batch_sizes(10, 3, 25, gradient=True) >= 1).all()
    assert (batch_sizes(1000, 10, 2, gradient=True) == 1000).all()
    assert not pays(1000, 20, 25) and pays(20_000, 50, 25) and not pays(20_000, 50, 5)


def test_updates_of_iterations():
    assert [updates_until(n, 25, gradient=True) for n in (0, 1, 2, 22, 23, 25)] == [0, 4, 8, 88, 89, 91]
    assert [updates_until(n, 25, gradient=False) for n in (0, 1, 25)] == [0, 1, 25]


def test_a_turn_sees_every_particle_once():
    sizes = np.full(10, 30)
    rows = [batch_rows(100, sizes, number, seed=1) for number in range(1, 11)]
    seen = np.bincount(np.concatenate(rows[:3]), minlength=100)
    assert seen.max() == 1 and seen.sum() == 90
    assert np.unique(np.concatenate(rows[:4])).size == 100
    assert np.array_equal(rows[4], batch_rows(100, sizes, 5, seed=1))
    assert not np.array_equal(rows[4], batch_rows(100, sizes, 5, seed=2))


def test_what_is_remembered_never_exceeds_the_set():
    sizes = batch_sizes(3000, 12, 25, gradient=True)
    steps = np.array([step_size(3000, sizes, number) for number in range(1, len(sizes) + 1)])
    assert steps[0] == 1.0 and (steps[-3:] == 1.0).all()
    memory = 0.0
    for size, step in zip(sizes[:-3], steps, strict=False):
        memory = (1.0 - step) * memory + size
        assert memory <= 3001


@pytest.fixture
def sums():
    """Sums of two classes, of a few images at psi = 0, and the images' averages."""
    rng, band = np.random.default_rng(0), full_band(BOX)
    y, x = np.mgrid[:BOX, :BOX] - BOX // 2
    images = np.stack([np.exp(-((x - 2) ** 2 + y**2) / 8), np.exp(-(x**2 + (y + 3) ** 2) / 12)]).astype(np.float32)
    images = np.repeat(images, 4, 0) + 0.02 * rng.normal(size=(8, BOX, BOX)).astype(np.float32)
    result = empty_sums(BOX // 2, (1, 2), dimensions=2)
    insert_planes(result, np.repeat([0, 1], 4), np.zeros(8), band, fourier_pixels(images, band),
                  np.ones((8, band.kx.size), np.float32))
    return finish_class_sums(result), images.reshape(2, 4, BOX, BOX).mean(1)


def averages(sums):
    return np.stack([to_real_space(divide(plane, BOX // 2, None), BOX) for plane in sums])


def test_sums_move_with_their_averages(sums):
    planes, images = sums
    shifts = np.array([[3, -1], [0, 2]])
    moved = averages(moved_sums(planes, shifts, BOX))
    expected = shift_images(averages(planes), shifts)
    assert np.corrcoef(moved.ravel(), expected.ravel())[0, 1] > 0.99
    assert np.corrcoef(averages(planes).ravel(), images.ravel())[0, 1] > 0.98


def test_old_sums_fade_and_fit_another_size(sums):
    planes, _ = sums
    smaller = np.ones((2, *empty_sums(5, (1,), dimensions=2).shape[1:]), np.float32)
    mixed = decayed_sums(planes, smaller, 0.25)
    centre, inner = planes.shape[1] // 2, smaller.shape[1] // 2
    assert mixed.shape == smaller.shape
    assert mixed[0, inner + 2, 1] == pytest.approx(1.0 + 0.75 * planes[0, centre + 2, 1], rel=1e-5)
    assert decayed_sums(smaller, planes, 0.25).shape == planes.shape


def test_an_empty_class_takes_half_of_the_largest():
    sums = np.arange(3.0)[:, None, None, None] * np.ones((3, 5, 3, 3), np.float32)
    share = np.array([0.0, 0.3, 0.7])
    revived(sums, np.ones_like(sums), share)
    assert share.tolist() == [0.35, 0.3, 0.35]
    assert (sums[2] == 1.0).all() and (sums[0] == 2.0).all() and (sums[1] == 1.0).all()
    before = sums.copy()
    revived(sums, np.ones_like(sums), share)
    assert np.array_equal(before, sums)


def test_sums_are_found_again_from_averages(sums):
    planes, _ = sums
    weight = np.stack([mean_weight(plane, BOX // 2) for plane in planes])
    transforms = class_references(averages(planes), BOX, None).transforms
    again = sums_of_averages(transforms, weight, np.full_like(weight, 1e6))
    assert np.corrcoef(averages(again).ravel(), averages(planes).ravel())[0, 1] > 0.98
