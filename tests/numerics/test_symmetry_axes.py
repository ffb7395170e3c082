"""Symmetry axes of maps that were turned away from them."""

from __future__ import annotations

import numpy as np
import pytest

from cryosnake.numerics.alignment import Alignment, transform_map
from cryosnake.numerics.euler import euler_to_matrix
from cryosnake.numerics.symmetry import operators
from cryosnake.numerics.symmetry_axes import find_axes, symmetrised

BOX = 32


def blobs(group, count=6, seed=1):
    """A map of Gaussian blobs at random places, and at their symmetry mates."""
    rng = np.random.default_rng(seed)
    places = (operators(group) @ rng.uniform(-8, 8, (count, 3)).T).transpose(0, 2, 1).reshape(-1, 3)
    axis = np.arange(BOX) - BOX // 2
    parts = [np.exp(-0.5 * ((axis[None] - place[:, None]) / 1.7) ** 2) for place in places]
    return sum(np.einsum("i,j,k->kji", *part) for part in parts).astype(np.float32)


@pytest.mark.parametrize("group", ["C3", "D2", "O"])
def test_the_axes_of_a_turned_map_are_found(group):
    truth = blobs(group, 3 if group == "O" else 6)
    away = Alignment(euler_to_matrix(33.0, 71.0, 108.0), np.array([1.2, -0.7, 0.4]), False, 1.0)
    found = find_axes(transform_map(truth, away), group, 9)
    assert found.agreement > 0.95
    # the map is symmetric about the places that the group says: it is the truth up to its normaliser
    result = symmetrised(transform_map(truth, away), found, group)
    for rotation in operators(group)[1:3]:
        turned = transform_map(result, Alignment(rotation, np.zeros(3), False, 1.0))
        assert np.corrcoef(turned.ravel(), result.ravel())[0, 1] > 0.99
    assert result.std() > 0.9 * truth.std()  # nothing was averaged away


def test_a_map_without_symmetry_is_told_apart():
    assert find_axes(blobs("C1", 12), "D2", 9).agreement < 0.4
    nothing = find_axes(blobs("C1"), "C1", 9)
    assert nothing.agreement == 1.0 and (nothing.alignment.matrix == np.eye(3)).all()
