"""Positions of the domains of a pseudo-protein: spheres packed around the symmetry axes."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

_SPACING = 1.6  # of touching domains, in radii: less than 2, because real domains are not spheres


def domain_centres(rng: np.random.Generator, count: int, radius: float, group: np.ndarray) -> np.ndarray:
    """Return domain centres (count, 3) in Å, in the order of the chain: the most compact of several packings.

    `radius` is that of one domain, `group` the point group's rotations (g, 3, 3). Domains stay 1.6 radii away from
    each other and from all symmetry mates, their own included, which keeps them off the axes.
    """
    packings = [_packed_spheres(rng, count, radius, group) for _ in range(12)]
    best = min(packings, key=lambda centres: float(np.linalg.norm(centres, axis=1).max()))
    return _threaded(best, group)


def _packed_spheres(rng: np.random.Generator, count: int, radius: float, group: np.ndarray) -> np.ndarray:
    """Return centres (count, 3) of touching spheres, each as close to the origin as it and its mates fit."""
    flattened = np.array([0.85, 1.0, 1.2])  # not a sphere: most complexes have a longest and a shortest axis
    centres: list[np.ndarray] = []
    reach = radius * (2.0 + 1.2 * (count * len(group)) ** (1.0 / 3.0))
    while len(centres) < count:
        trial = rng.uniform(-reach, reach, (1500, 3))
        if len(group) > 1:
            own = np.linalg.norm(np.einsum("gij,nj->gni", group[1:], trial) - trial, axis=2).min(0)
            trial = trial[own > _SPACING * radius]
        if centres and len(trial):
            mates = np.einsum("gij,nj->gni", group, np.array(centres)).reshape(-1, 3)
            trial = trial[cKDTree(mates).query(trial)[0] > _SPACING * radius]
        if len(trial):
            centres.append(trial[np.linalg.norm(trial * flattened, axis=1).argmin()])
    return np.array(centres)


def _threaded(centres: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Return the centres ordered so that each is near the previous one; a centre may be replaced by a mate of it."""
    mates = np.einsum("gij,nj->ngi", group, centres)
    path, left = [centres[-1]], list(range(len(centres) - 1))  # from the outside inwards
    while left:
        distance = np.linalg.norm(mates[left] - path[-1], axis=2)
        index, mate = np.unravel_index(int(distance.argmin()), distance.shape)
        path.append(mates[left[int(index)], mate])
        left.pop(int(index))
    return np.array(path)
