from __future__ import annotations

import numpy as np
import pytest

from cryosnake.numerics.filters import low_pass
from cryosnake.numerics.masking import (
    PROTEIN_VOLUME,
    automatic_threshold,
    drop_small_parts,
    enclosed_mass,
    extend,
    inscribed_sphere,
    soft_edge,
    solvent_mask,
    threshold_for_mass,
)

BOX, PIXEL_SIZE = 48, 3.0


def ball(radius: float, centre: tuple[float, float, float] = (24, 24, 24)) -> np.ndarray:
    grid = np.mgrid[:BOX, :BOX, :BOX]
    return sum((axis - c) ** 2 for axis, c in zip(grid, centre, strict=True)) <= radius**2


def noisy_ball(sigma: float, radius: float = 12.0) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, sigma, (BOX,) * 3)
    return low_pass((ball(radius) + noise).astype(np.float32), 15.0, PIXEL_SIZE)


def test_mask_is_one_inside_zero_outside_and_a_cosine_between() -> None:
    mask = solvent_mask(ball(0.5), 4.0, 6.0)
    line = mask[24, 24, 24:40]
    expected = [1, 1, 1, 1] + [0.5 + 0.5 * np.cos(np.pi * d / 6) for d in range(1, 6)] + [0] * 7
    assert np.allclose(line, expected, atol=1e-6)  # "nearer than 4 voxels" is 0 to 3
    assert mask.dtype == np.float32


def test_window_of_the_distance_transform_changes_nothing() -> None:
    binary = ball(5, (10, 24, 40))
    whole = soft_edge(extend(binary, 3.0), 5.0)
    assert np.array_equal(solvent_mask(binary, 3.0, 5.0), whole)


def test_shrinking() -> None:
    shrunk = solvent_mask(ball(10), -4.0, 0.0) > 0
    assert shrunk.sum() < ball(10).sum()
    assert (shrunk & ~ball(6.5)).sum() == 0 and (ball(5.5) & ~shrunk).sum() == 0
    assert not solvent_mask(ball(3), -9.0, 2.0).any()


def test_small_parts_are_left_out() -> None:
    two = ball(10) | ball(2.5, (5, 5, 5))
    kept, dropped = drop_small_parts(two, 0.1)
    assert dropped == 1 and np.array_equal(kept, ball(10))
    assert drop_small_parts(two, 0.0) == (two, 0)
    twins = ball(6, (12, 24, 24)) | ball(6, (36, 24, 24))
    assert drop_small_parts(twins, 0.5)[1] == 0
    assert drop_small_parts(twins, 1.0)[1] == 1


@pytest.mark.parametrize("sigma", [0.0, 0.5, 1.0])
def test_automatic_threshold_finds_the_ball_in_noise(sigma: float) -> None:
    volume = noisy_ball(sigma)
    threshold = automatic_threshold(volume, PIXEL_SIZE)
    mask, _ = drop_small_parts(volume > threshold.value, 0.1)
    overlap = (mask & ball(12)).sum() / (mask | ball(12)).sum()
    # A low-pass moves the edge of a ball of 12 voxels by less than half a voxel: 12 % of its volume.
    assert overlap > 0.88


def test_strong_noise_does_not_swell_the_mask_nor_cut_the_particle() -> None:
    volume = noisy_ball(1.5)
    binary, _ = drop_small_parts(volume > automatic_threshold(volume, PIXEL_SIZE).value, 0.1)
    mask = solvent_mask(binary, 3.0, 6.0) > 0.5
    assert not (ball(12) & ~mask).any()
    assert (mask & ~ball(16)).sum() < ball(12).sum()  # without the limit of 2.5 σ it is 2.3 times that


def test_flattened_solvent_does_not_pull_the_threshold_down() -> None:
    volume = noisy_ball(0.5)
    volume[~inscribed_sphere(BOX, volume)] = 0
    assert automatic_threshold(volume, PIXEL_SIZE).value == pytest.approx(
        automatic_threshold(noisy_ball(0.5), PIXEL_SIZE).value, rel=0.02)


def test_threshold_from_the_mass_encloses_it() -> None:
    volume = noisy_ball(0.2)
    mass = ball(12).sum() * PIXEL_SIZE**3 / PROTEIN_VOLUME
    threshold = threshold_for_mass(volume, mass, PIXEL_SIZE)
    assert enclosed_mass(volume, threshold.value, PIXEL_SIZE) == pytest.approx(mass, rel=0.01)


def test_impossible_mass_is_refused() -> None:
    with pytest.raises(ValueError, match="kDa"):
        threshold_for_mass(noisy_ball(0.2), 1e6, PIXEL_SIZE)


def test_empty_binary_map_gives_an_empty_mask() -> None:
    assert not solvent_mask(np.zeros((8, 8, 8), bool), 3.0, 3.0).any()
