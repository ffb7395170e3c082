import numpy as np

from cryosnake.numerics.euler import euler_to_matrix
from cryosnake.numerics.projection import band_limited_transform
from cryosnake.numerics.refine.grids.bands import full_band
from cryosnake.numerics.refine.grids.grids import shift_grid
from cryosnake.numerics.refine.search.accuracy import estimate_accuracy
from cryosnake.numerics.refine.search.schedule import (
    Convergence,
    Sampling,
    after_iteration,
    at_floor,
    coarse_size,
    invisible_step,
    last_sampling,
    next_sampling,
)

STALLED = Convergence(best_shell=20, without_gain=1, without_change=1, smallest_rotation=2.0, smallest_offset=1.0)
FINE = {"accuracy_offset": 0.5, "offset_change": 0.3, "local_order": 4}


def test_counters():
    start = after_iteration(Convergence(), 10, 5.0, 3.0)
    assert (start.best_shell, start.without_gain, start.without_change) == (10, 0, 0)
    assert not start.stalled
    better = after_iteration(start, 12, 4.0, 2.0)
    assert (better.without_gain, better.without_change) == (0, 0)
    same = after_iteration(better, 12, 4.0, 2.0)
    assert same.stalled and same.best_shell == 12


def test_nothing_changes_before_it_stalls():
    sampling = Sampling(2, 5.0, 2.0)
    assert next_sampling(sampling, Convergence(), accuracy_rotation=1.0, **FINE) == (sampling, Convergence())


def test_finer_when_stalled_and_local_from_its_order_on():
    finer, progress = next_sampling(Sampling(2, 5.0, 2.0), STALLED, accuracy_rotation=1.0, **FINE)
    assert finer.order == 3 and finer.sigma == 0 and finer.offset_step < 2.0 and finer.offset_range < 5.0
    assert (progress.without_gain, progress.without_change) == (0, 0)
    local, _ = next_sampling(Sampling(3, 5.0, 2.0), STALLED, accuracy_rotation=1.0, **FINE)
    assert local.order == 4 and local.sigma == 3.75  # twice the oversampled step of 1.875 degrees


def test_shifts_reach_whatever_images_may_tell_however_the_grid_is_turned():
    sampling = Sampling(4, 1.5, 0.6, 3.75)
    for _ in range(4):  # changes tell little of the range that is wanted: a tight one keeps them small
        sampling, _ = next_sampling(sampling, STALLED, accuracy_rotation=0.1, accuracy_offset=0.2, offset_change=0.05,
                                    local_order=4)
    angle = np.radians(np.arange(0, 360, 5))
    wanted = 4 * 0.2 * np.stack([np.cos(angle), np.sin(angle)], -1)
    for perturbation in (-0.5, 0.0, 0.5):
        fine = shift_grid(sampling.offset_range, sampling.offset_step, perturbation).fine
        nearest = np.linalg.norm(wanted[:, None] - fine, axis=-1).min(1)
        assert nearest.max() <= np.sqrt(2) * sampling.offset_step / 4 + 1e-6
    assert len(shift_grid(sampling.offset_range, sampling.offset_step).coarse) < 100


def test_last_iteration_is_as_fine_as_the_accuracy_asks():
    seen = Sampling(5, 1.5, 0.6, 1.9)  # fine enough to be seen, 0.94 degrees
    assert last_sampling(seen, accuracy_rotation=0.5, **FINE).order == 6
    assert last_sampling(seen, accuracy_rotation=1.3, **FINE) == seen
    whole = Sampling(5, 1.5, 0.6)
    assert last_sampling(whole, accuracy_rotation=0.5, **FINE) == whole, "searches over all orientations stay"


def test_fine_enough_at_three_quarters_of_the_accuracy_then_converged():
    sampling, progress = next_sampling(Sampling(4, 5.0, 2.0), STALLED, accuracy_rotation=2.6, **FINE)
    assert sampling.order == 4 and progress.fine_enough and progress.converged


def test_no_finer_than_can_be_seen():
    """The signal of a ball's points at the resolution, moved as the rounding of orientations about two axes does."""
    step, radius = invisible_step(6.0, 180.0), 90.0
    rng = np.random.default_rng(2)
    points = rng.uniform(-radius, radius, (200_000, 3))
    points = points[(points**2).sum(1) < radius**2]
    turns = np.radians(rng.uniform(-step / 2, step / 2, (len(points), 2)))
    moved = points[:, 0] * turns[:, 0] + points[:, 1] * turns[:, 1]  # along z, by turns about y and x
    assert 0.95 < np.cos(2 * np.pi * moved / 6.0).mean() < 0.99
    sampling = Sampling(5, 5.0, 2.0, 1.9)  # 0.94 degrees
    for invisible, order in ((0.93, 6), (0.95, 5)):
        finer, progress = next_sampling(sampling, STALLED, accuracy_rotation=0.5, invisible=invisible, **FINE)
        assert (finer.order, progress.fine_enough) == (order, order == 5)
    finer, progress = next_sampling(Sampling(3, 5.0, 2.0), STALLED, accuracy_rotation=0.5, invisible=4.0, **FINE)
    assert finer.sigma > 0 and not progress.fine_enough, "global searches go on to local ones"


def test_changes_that_images_cannot_tell_are_none():
    local = Sampling(5, 5.0, 1.0, 1.9)  # 0.94 degrees, 0.5 pixels
    assert at_floor(local, 0.7, 0.29, (0.5, 0.1)), "what two grids differ by"
    assert not at_floor(local, 0.7, 0.4, (0.5, 0.1))
    assert at_floor(local, 0.7, 0.4, (0.5, 0.6))
    assert not at_floor(local, 0.7, 0.4, (0.4, 0.6)), "the sampling is not yet as fine as the accuracy"
    assert not at_floor(Sampling(5, 5.0, 1.0), 0.7, 0.4, (0.5, 0.6)), "nor does it hold for global searches"


def test_coarse_size_as_relion_has_it():
    # 15 degrees, 200 Å, box 64 of 3.54 Å: relion_refine takes 22 pixels in the coarse pass
    assert coarse_size(15.0, 200.0, 3.54, 64, 64, two_dimensional=False) == 22
    assert coarse_size(1.0, 200.0, 3.54, 64, 60, two_dimensional=False) == 60


def test_accuracy_is_finer_with_less_noise():
    rng = np.random.default_rng(1)
    box = 24
    axis = np.arange(box) - box // 2
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    centres = rng.normal(0, 4, (10, 3))
    volume = sum(np.exp(-((x - c[0]) ** 2 + (y - c[1]) ** 2 + (z - c[2]) ** 2) / 4.0) for c in centres)
    band = full_band(box).cut(20)
    poses = euler_to_matrix(*rng.uniform(0, 180, (3, 30)))
    transform = band_limited_transform(volume, 10) / box**2
    results = [estimate_accuracy(transform, poses, np.full((30, band.kx.size), weight, np.float32), band,
                                 np.random.default_rng(0)) for weight in (30.0, 120.0)]
    assert results[1][0] < 0.5 * results[0][0] and results[1][1] < 0.5 * results[0][1]
    # the shift error of an image follows from its power: Σ c²|P|²(2πk·s/N)² = ln 100 on average
    assert 0.005 < results[1][1] < 1.0
