"""Finding the symmetry axes of a map, and rotating the map so that they are where RELION expects them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from operator import itemgetter

import numpy as np
import scipy.optimize

from cryosnake.numerics.alignment import Alignment, climb, rotation_grid, sample_transform, transform_map
from cryosnake.numerics.projection import padded_transform
from cryosnake.numerics.symmetry import operators, rotation_by

_CANDIDATES = 12
_SAME = 1e-5  # agreements that differ by less are equal


@dataclass(frozen=True)
class Axes:
    """Transform that brings a map onto its symmetry axes, see `transform_map`, and how well the symmetry then holds.

    `agreement` is the mean correlation of the whitened map with its rotated copies: 1 for a perfect symmetry, about 0
    for a map without it.
    """

    alignment: Alignment
    agreement: float


@dataclass(frozen=True)
class _Points:
    points: np.ndarray  # (n, 3) float32, x, y, z in Fourier pixels of the map
    shell: np.ndarray
    box: int


def find_axes(volume: np.ndarray, group: str, radius: int) -> Axes:
    """Return the rotation and centre that bring the axes of a map (box, box, box) to those of a point group.

    Method: for every rotation of a grid, the transform at the group's mates of each Fourier pixel up to `radius`,
    whitened by shell; the power of their mean over the group is largest where the axes coincide. The best rotations
    are refined with halved steps, finally together with the centre (Powell's method, then Newton's with steps wide
    enough to average over the roughness of interpolation, which decides where Powell's stops).

    Raises
    ------
    CryosnakeError
        when the group is unknown
    """
    group_operators = operators(group)
    if len(group_operators) == 1:
        return Axes(Alignment(np.eye(3), np.zeros(3), False, 1.0), 1.0)
    transform, centre = padded_transform(volume), centre_of_mass(volume)
    coarse, fine = _points(max(radius // 2, 3), volume.shape[0]), _points(radius, volume.shape[0])
    step = math.degrees(1.0 / max(radius // 2, 3))
    grid = rotation_grid(step)

    def score(matrix: np.ndarray) -> float:
        return _agreement(transform, matrix, centre, group_operators, coarse)

    scores = np.array([score(matrix) for matrix in grid])
    found = [grid[i] for i in np.argsort(scores)[::-1][:_CANDIDATES]]
    while step > 2.0:
        step /= 2.0
        climbed = sorted((climb(score, matrix, step) for matrix in found), key=itemgetter(0))
        found = [matrix for _, matrix in climbed[-max(len(found) // 2, 3) :]]
    polished = [_polish(transform, matrix, centre, group_operators, fine) for matrix in found]
    best = max(agreement for agreement, _, _ in polished)
    # Among those that differ by one of the axes' own turns, and so by rounding only, the first.
    agreement, matrix, middle = next(each for each in polished if each[0] > best - _SAME)
    return Axes(Alignment(matrix, -matrix.T @ middle, False, agreement), agreement)


def symmetry_agreement(volume: np.ndarray, group: str, radius: int) -> float:
    """Return the mean correlation of a map (box, box, box) with its copies turned by a point group about its origin.

    Whitened by shell, up to `radius` Fourier pixels: 1 for a map that has the symmetry, about its axes.

    Raises
    ------
    CryosnakeError
        when the group is unknown
    """
    group_operators = operators(group)
    if len(group_operators) == 1:
        return 1.0
    return _agreement(padded_transform(volume), np.eye(3), np.zeros(3), group_operators,
                      _points(radius, volume.shape[0]))


def symmetrised(volume: np.ndarray, axes: Axes, group: str) -> np.ndarray:
    """Return the map (box, box, box) float32 brought onto its axes and averaged over the group."""
    total = np.zeros(volume.shape, np.float64)
    for rotation in operators(group):
        placed = Alignment(axes.alignment.matrix @ rotation, rotation.T @ axes.alignment.shift, False, 1.0)
        total += transform_map(volume, placed)
    return (total / len(operators(group))).astype(np.float32)


def centre_of_mass(volume: np.ndarray) -> np.ndarray:
    """Return the centre (x, y, z) of the density above a fifth of its maximum, voxels from box // 2."""
    axis = np.arange(volume.shape[0]) - volume.shape[0] // 2
    dense = np.where(volume > 0.2 * volume.max(), volume, 0.0).astype(np.float64)
    total = max(float(dense.sum()), 1e-30)
    return np.array([dense.sum((0, 1)) @ axis, dense.sum((0, 2)) @ axis, dense.sum((1, 2)) @ axis]) / total


def _points(radius: int, box: int) -> _Points:
    z, y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1, 0 : radius + 1]
    squared = x * x + y * y + z * z
    keep = (squared <= radius * radius) & (squared >= 4)
    points = np.stack([x[keep], y[keep], z[keep]], -1).astype(np.float32)
    return _Points(points, np.rint(np.sqrt(squared[keep])).astype(np.int64), box)


def _agreement(transform: np.ndarray, matrix: np.ndarray, centre: np.ndarray, group: np.ndarray, band: _Points,
               ) -> float:
    """Return the mean correlation of the different copies about a centre: 0 when they have nothing in common."""
    mean, power = np.zeros(len(band.points), np.complex128), np.zeros(len(band.points))
    for rotation in group:
        turned = matrix @ rotation
        values = sample_transform(transform, band.points, turned.astype(np.float32), 2)
        values = values * np.exp(2j * np.pi / band.box * (band.points @ (turned.T @ centre)))
        mean += values
        power += np.abs(values) ** 2
    level = np.bincount(band.shell, power) / np.maximum(np.bincount(band.shell), 1)
    white = np.maximum(level, max(1e-8 * float(level.max()), 1e-30))[band.shell]  # shells without signal do not count
    together = float((np.abs(mean) ** 2 / white).sum()) / float((power / white).sum())  # 1 apart … g together
    return (together - 1.0) / (len(group) - 1.0)


def _polish(transform: np.ndarray, matrix: np.ndarray, centre: np.ndarray, group: np.ndarray, band: _Points,
            ) -> tuple[float, np.ndarray, np.ndarray]:
    def cost(x: np.ndarray) -> float:
        return -_agreement(transform, matrix @ rotation_by(x[:3]), centre + x[3:], group, band)

    found = scipy.optimize.minimize(cost, np.zeros(6), method="Powell", options={"xtol": 1e-2, "ftol": 1e-5,
                                                                                "maxiter": 8})
    angle = 0.25 / band.points.max()  # the phases of the finest points change by a quarter of a radian
    steps = np.repeat([math.degrees(angle), angle * band.box / (2 * math.pi)], 3)
    x = _newton(cost, _newton(cost, found.x, steps), steps)
    return -cost(x), matrix @ rotation_by(x[:3]), centre + x[3:]


def _newton(cost: Callable[[np.ndarray], float], x: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Return where the parabola through x (n,) and points `steps` (n,) away is smallest, at most a step away.

    Directions in which nothing changes, such as along the axis of a cyclic group, are left alone.
    """
    moves = np.diag(steps)
    middle, up, down = cost(x), [cost(x + move) for move in moves], [cost(x - move) for move in moves]
    slope = (np.array(up) - down) / 2
    bend = np.diag(np.array(up) + down - 2 * middle)
    for i, j in zip(*np.triu_indices(len(x), 1), strict=True):
        bend[i, j] = bend[j, i] = cost(x + moves[i] + moves[j]) - up[i] - up[j] + middle
    level, direction = np.linalg.eigh(bend)
    curved = level > 0.01 * level.max()
    there = direction[:, curved] @ (direction[:, curved].T @ slope / level[curved])
    return x - steps * np.clip(there, -1, 1)
