"""Point groups C, D, T, O, I in RELION's settings, and the directions that are sufficient for a symmetric map.

Settings: Heymann, Chagoyen & Belnap 2005, J. Struct. Biol. 151, 196-207. C and D have their n-fold axis on z, D a
two-fold on x; T has a three-fold on z; O its four-folds on x, y, z; I (= I2), I1, I3, I4 as `relion_refine
--print_symmetry_ops` prints them.
"""

from __future__ import annotations

import math
import re

import numpy as np

from cryosnake.errors import CryosnakeError

_GOLDEN = (1.0 + math.sqrt(5.0)) / 2.0
_LONG, _SHORT = _GOLDEN / math.sqrt(2.0 + _GOLDEN), 1.0 / math.sqrt(2.0 + _GOLDEN)  # 0.8507, 0.5257
_Z = (0.0, 0.0, 1.0)
_AXES: dict[str, list[tuple[int, tuple[float, float, float]]]] = {
    "T": [(3, _Z), (2, (0.0, math.sqrt(2.0 / 3.0), math.sqrt(1.0 / 3.0)))],
    "O": [(4, _Z), (3, (1.0, 1.0, 1.0))],
    "I1": [(2, _Z), (5, (_LONG, 0.0, -_SHORT))],
    "I2": [(2, _Z), (5, (_SHORT, 0.0, _LONG))],
    "I3": [(5, _Z), (2, (-_SHORT, 0.0, _LONG))],
    "I4": [(5, _Z), (2, (_SHORT, 0.0, _LONG))],
}
_AXES["I"] = _AXES["I2"]
# A direction in general position: on no axis or mirror plane of any of the groups.
_CENTRE = np.array([0.5414, 0.2087, 0.8145])


def rotation_about(axis: tuple[float, float, float] | np.ndarray, angle: float) -> np.ndarray:
    """Return the matrix (3, 3) that rotates vectors by `angle` degrees about `axis` (Rodrigues' formula)."""
    x, y, z = np.asarray(axis, np.float64) / np.linalg.norm(axis)
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    radians = math.radians(angle)
    return np.eye(3) + math.sin(radians) * cross + (1.0 - math.cos(radians)) * (cross @ cross)


def rotation_by(vector: np.ndarray) -> np.ndarray:
    """Return the matrix (3, 3) that rotates vectors about `vector` by its length in degrees."""
    angle = float(np.linalg.norm(vector))
    return rotation_about(vector, angle) if angle > 0 else np.eye(3)


def _generators(group: str) -> list[np.ndarray]:
    name = group.strip().upper()
    cyclic = re.fullmatch(r"([CD])(\d+)", name)
    if cyclic and int(cyclic[2]) > 0:
        axes = [(int(cyclic[2]), _Z)] + ([(2, (1.0, 0.0, 0.0))] if cyclic[1] == "D" else [])
    elif name in _AXES:
        axes = _AXES[name]
    else:
        raise CryosnakeError(f"symmetry: {group!r} is not a known point group; use Cn, Dn, T, O, I, I1, I2, I3 or I4, "
                             "for example C1, D2 or O.")
    return [rotation_about(axis, 360.0 / fold) for fold, axis in axes if fold > 1]


def operators(group: str) -> np.ndarray:
    """Return the group's rotations (n, 3, 3) float64, the identity first.

    A map V of this symmetry has V(R x) = V(x); a projection of it from the orientation A equals that from A · R.

    Raises
    ------
    CryosnakeError
        when the name is unknown

    Examples
    --------
    >>> len(operators("D2")), len(operators("I"))
    (4, 60)
    """
    generators, found = _generators(group), [np.eye(3)]
    for matrix in found:  # the list grows during the loop, until products give nothing new
        for generator in generators:
            product = matrix @ generator
            if not any(np.allclose(product, other, atol=1e-6) for other in found):
                found.append(product)
    stack = np.stack(found)
    exact = np.rint(stack)
    return np.where(np.abs(stack - exact) < 1e-9, exact, stack)


def asymmetric_unit(directions: np.ndarray, group: str) -> np.ndarray:
    """Return which of `directions` (n, 3) lie in one asymmetric unit of the group, as booleans (n,).

    The unit is the Dirichlet cell of a direction in general position: all directions nearer to it than to its
    symmetry mates. Directions on the cell's edge (on symmetry axes) are kept.
    """
    mates = operators(group) @ _CENTRE  # (g, 3)
    score = directions @ mates.T
    return score[:, 0] >= score.max(1) - 1e-9


def nearest_mate(matrices: np.ndarray, reference: np.ndarray, group: str) -> np.ndarray:
    """Return, of all symmetry mates of each matrix (n, 3, 3), the one nearest to `reference` (n, 3, 3)."""
    mates = np.einsum("nij,gjk->ngik", matrices, operators(group))
    best = np.einsum("ngij,nij->ng", mates, reference).argmax(1)
    return mates[np.arange(len(mates)), best]
