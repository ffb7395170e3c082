"""Interpolation from a coarse periodic grid to every voxel: trilinear, as three matrix products."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cryosnake.numerics.backend import Array, namespace


def interpolation_matrix(points: int, size: int, like: Array) -> Array:
    """Return (size, points) float32: linear weights of voxel i / size of the box on grid points j / points."""
    xp = namespace(like)
    position = np.arange(size) * points / size
    lower = np.floor(position).astype(int)
    matrix = np.zeros((size, points), np.float32)
    rows = np.arange(size)
    matrix[rows, lower % points] += 1.0 - (position - lower)
    matrix[rows, (lower + 1) % points] += position - lower
    return xp.asarray(matrix)


def expand(grid: Array, size: int) -> Array:
    """Return the grid (points, points, points) at the voxels of a box, (size, size, size) float32."""
    xp = namespace(grid)
    matrix = interpolation_matrix(grid.shape[0], size, grid)
    return xp.matmul(_two_axes(grid, matrix), matrix.T)


def add_weighted(total: Array, maps: Sequence[Array], weight: Array) -> None:
    """Add the mean of maps (n, n, n) times the weight (points, points, points) at each voxel to `total`, in place."""
    xp, count = namespace(total), total.shape[0]
    matrix = interpolation_matrix(weight.shape[0], count, weight)
    partly = _two_axes(weight / len(maps), matrix)
    planes = max(1, (1 << 17) // count**2) if xp is np else count  # half a megabyte: it stays in the cache
    for z in range(0, count, planes):
        part = slice(z, z + planes)
        mean = maps[0][part].copy()
        for other in maps[1:]:
            mean += other[part]
        mean *= xp.matmul(partly[part], matrix.T)
        total[part] += mean


def _two_axes(grid: Array, matrix: Array) -> Array:
    """Return the grid interpolated along z and y, (size, size, points)."""
    xp = namespace(grid)
    points = grid.shape[0]
    planes = xp.matmul(matrix, grid.astype(xp.float32).reshape(points, -1)).reshape(-1, points, points)
    return xp.matmul(matrix, planes)
