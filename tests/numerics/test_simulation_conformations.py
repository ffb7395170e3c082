"""Two states of a particle: same mass, another shape, and the rest unmoved."""

from __future__ import annotations

import numpy as np
import pytest

from cryosnake.simulation.conformations import end_domain, swing_domain
from cryosnake.simulation.protein import pseudo_protein


def test_the_domain_swings_as_a_rigid_body_and_the_rest_stays() -> None:
    atoms = pseudo_protein("C1", 300, 2)
    moved, chosen = swing_domain(atoms, 40.0), end_domain(atoms)
    assert chosen.mean() == pytest.approx(0.25, abs=0.01)
    assert np.array_equal(moved.positions[~chosen], atoms.positions[~chosen])
    travel = np.linalg.norm(moved.positions - atoms.positions, axis=1)[chosen]
    assert travel.max() > 10.0 and travel.min() < 0.5 * travel.max()  # about a hinge, not a shift

    def distances(positions):
        return np.linalg.norm(positions[None, :50] - positions[:50, None], axis=2)

    np.testing.assert_allclose(distances(moved.positions[chosen]), distances(atoms.positions[chosen]), atol=1e-9)
