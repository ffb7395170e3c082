import numpy as np
import pytest

from cryosnake.numerics.euler import angular_distance, euler_to_matrix
from cryosnake.numerics.refine.grids.grids import PlaneGrid, shift_grid, sphere_grid
from cryosnake.numerics.symmetry import nearest_mate


def _random_poses(count, seed=1):
    rng = np.random.default_rng(seed)
    return euler_to_matrix(rng.uniform(-180, 180, count), np.degrees(np.arccos(rng.uniform(-1, 1, count))),
                           rng.uniform(-180, 180, count))


@pytest.mark.parametrize(("group", "size"), [("C1", 4608), ("D2", 1152)])
def test_size_is_the_sphere_over_the_group(group, size):
    assert sphere_grid(2, group).size == size


@pytest.mark.parametrize("group", ["C1", "D2", "T"])
def test_every_pose_has_a_grid_point_within_the_step(group):
    grid = sphere_grid(1, group)
    matrices = grid.matrices(np.arange(grid.size))
    poses = _random_poses(50)
    for pose in poses:
        mates = nearest_mate(matrices, np.broadcast_to(pose, matrices.shape), group)
        assert angular_distance(mates, pose).min() < grid.step


def test_children_surround_their_parent_and_are_all_different():
    grid = sphere_grid(2, "D2", perturbation=0.3)
    numbers = np.arange(0, grid.size, 37)
    parents, children = grid.matrices(numbers), grid.child_matrices(numbers)
    distance = angular_distance(children, parents[:, None])
    assert distance.max() < 0.75 * grid.step
    assert distance.min() > 0.2 * grid.step
    whole = grid.child_matrices(np.arange(200)).reshape(-1, 9).round(6)
    assert len(np.unique(whole, axis=0)) == 1600


def test_near_gives_the_gaussian_prior_of_direction_and_psi():
    grid, sigma = sphere_grid(3, "C1", perturbation=-0.4, whole=True), 7.5
    poses = _random_poses(20)
    particle, number, log_prior = grid.near(poses, sigma)
    assert np.all(np.diff(particle) >= 0) and set(particle) == set(range(20))
    distance = angular_distance(grid.matrices(number), poses[particle])
    # the rotation angle is that of the two steps together, to second order
    np.testing.assert_allclose(-2 * sigma**2 * log_prior, distance**2, atol=0.06 * (3 * sigma) ** 2 * 2)
    every = grid.matrices(np.arange(grid.size))
    for i in range(3):
        close = np.flatnonzero(angular_distance(every, poses[i]) < 2.5 * sigma)
        assert set(close) <= set(number[particle == i])


def test_near_gives_at_least_the_nearest():
    grid = sphere_grid(3, "C1", whole=True)
    particle, number, _ = grid.near(_random_poses(10), 0.01)
    assert len(particle) == 10
    assert angular_distance(grid.matrices(number), _random_poses(10)).max() < grid.step


def test_shift_grid_nests():
    grid = shift_grid(4.0, 2.0, perturbation=0.25)
    assert len(grid.coarse) == 13
    np.testing.assert_allclose(grid.fine[grid.sub].mean(1), grid.coarse, atol=1e-12)
    assert len(np.unique(grid.fine.round(6), axis=0)) == 52
    assert len(shift_grid(0.0, 1.0).coarse) == 1


def test_plane_grid():
    grid = PlaneGrid(3, 30, 0.1)
    numbers = np.array([0, 29, 30, 89])
    assert grid.direction_of(numbers).tolist() == [0, 0, 1, 2]
    np.testing.assert_allclose(grid.angles(numbers), [1.2, 349.2, 1.2, 349.2])
    np.testing.assert_allclose(grid.child_angles(numbers).mean(1), grid.angles(numbers))


def test_orientations_of_several_maps_are_runs_of_numbers() -> None:
    one, three = sphere_grid(1, "D2", 0.2), sphere_grid(1, "D2", 0.2, classes=3)
    assert three.size == 3 * one.size
    numbers = np.arange(three.size)
    assert np.array_equal(three.class_of(numbers), numbers // one.size)
    assert np.allclose(three.matrices(numbers), np.tile(one.matrices(np.arange(one.size)), (3, 1, 1)))
    poses = one.matrices(np.array([5, 40]))
    particle, orientation, prior = three.near(poses, 20.0)
    alone = one.near(poses, 20.0)
    assert (np.diff(particle) >= 0).all() and len(particle) == 3 * len(alone[0])
    chosen = three.class_of(orientation) == 2
    assert np.array_equal(orientation[chosen] - 2 * one.size, alone[1]) and np.allclose(prior[chosen], alone[2])
