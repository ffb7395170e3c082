"""Two states of one particle: a domain at one end swung out about a hinge."""

from __future__ import annotations

import numpy as np

from cryosnake.numerics.symmetry import rotation_about
from cryosnake.simulation.atoms import Atoms


def end_domain(atoms: Atoms, fraction: float = 0.25) -> np.ndarray:
    """Return a mask (n,) of the `fraction` of the atoms that lies furthest out along the particle's long axis."""
    centred = atoms.positions - atoms.positions.mean(0)
    along = centred @ _axes(atoms)[0]
    return along >= np.quantile(along, 1.0 - fraction)


def swing_domain(atoms: Atoms, degrees: float, fraction: float = 0.25) -> Atoms:
    """Return the atoms with the end domain rotated about a hinge at its border, across the particle's long axis.

    The mass is unchanged, and so nearly is the power of the projections: the two states differ only in shape.
    """
    chosen = end_domain(atoms, fraction)
    long, across = _axes(atoms)
    border = atoms.positions[chosen] @ long
    hinge = atoms.positions[chosen][border <= np.quantile(border, 0.2)].mean(0)
    turned = (atoms.positions[chosen] - hinge) @ rotation_about(across, degrees).T + hinge
    positions = atoms.positions.copy()
    positions[chosen] = turned
    return atoms._replace(positions=positions)


def _axes(atoms: Atoms) -> np.ndarray:
    """Return the longest and the shortest principal axis, (2, 3)."""
    centred = atoms.positions - atoms.positions.mean(0)
    return np.linalg.svd(centred, full_matrices=False)[2][[0, 2]]
