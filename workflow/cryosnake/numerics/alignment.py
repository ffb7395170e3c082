"""Rotation, shift and hand that bring one map onto another, and the FSC of a map with a known truth.

Matrices act on (x, y, z) about the map's origin, voxel box // 2; arrays have axes z, y, x.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from operator import itemgetter

import numba as nb
import numpy as np
import scipy.fft
import scipy.ndimage
import scipy.optimize

from cryosnake.numerics.euler import euler_to_matrix
from cryosnake.numerics.filters import cosine_edge
from cryosnake.numerics.fsc import fsc, resolution_at
from cryosnake.numerics.projection import padded_transform
from cryosnake.numerics.symmetry import rotation_about, rotation_by


@dataclass(frozen=True)
class Alignment:
    """Transform of one map onto another: aligned(r) = moving(matrix · (r − shift)), first mirrored in x if `mirrored`.

    `shift` is (x, y, z) in voxels; `correlation` is that of the whitened transforms inside the refined band.
    """

    matrix: np.ndarray
    shift: np.ndarray
    mirrored: bool
    correlation: float


@dataclass(frozen=True)
class ModelFsc:
    """FSC (box // 2 + 1,) of a map with a known truth and the resolution in Å at the threshold."""

    curve: np.ndarray
    resolution: float


@dataclass(frozen=True)
class _Band:
    """Fourier pixels of the half transform up to a radius: (n, 3) as x, y, z; whitened values of the fixed map."""

    points: np.ndarray
    shell: np.ndarray
    fixed: np.ndarray
    box: int  # smallest even box that contains them


def mirror(volume: np.ndarray) -> np.ndarray:
    """Return the map mirrored in x about its origin, voxel box // 2: the other hand."""
    flipped = volume[:, :, ::-1]
    return np.roll(flipped, 1, axis=2) if volume.shape[2] % 2 == 0 else flipped


def transform_map(volume: np.ndarray, alignment: Alignment, order: int = 5) -> np.ndarray:
    """Return the map (box, box, box) float32 rotated and shifted; 0 outside the box.

    Splines of an `order`: quintic ones, or linear ones (1) for masks, which then do not overshoot.
    """
    source = mirror(volume) if alignment.mirrored else volume
    centre = np.full(3, volume.shape[0] // 2, np.float64)
    matrix = alignment.matrix[::-1, ::-1]  # from x, y, z to z, y, x
    offset = centre - matrix @ (centre + alignment.shift[::-1])
    return scipy.ndimage.affine_transform(source.astype(np.float32), matrix, offset, order=order).astype(np.float32)


def align_maps(moving: np.ndarray, fixed: np.ndarray, *, mirror_test: bool = False, search_radius: int = 10,
               refine_radius: int | None = None, angular_step: float = 15.0) -> tuple[np.ndarray, Alignment]:
    """Return `moving` aligned to `fixed`, and the alignment: rotation and shift with the largest correlation.

    Method: every rotation of a grid, its best shift by the fast Fourier transform, on transforms whitened shell by
    shell (so that the few strongest shells do not dominate) up to `search_radius`; the best rotations are refined
    with halved steps, and finally rotation and sub-voxel shift together in the whole band.

    Parameters
    ----------
    moving, fixed : (box, box, box)
        The same box and pixel size. Both are compared inside the box's inscribed sphere.
    mirror_test : bool
        Also try the other hand and use the better one.
    search_radius, refine_radius : int
        Fourier pixels; the second one defaults to two thirds of Nyquist.
    angular_step : float
        Of the first grid, degrees.

    Raises
    ------
    ValueError
        when the shapes differ or are not cubes
    """
    if moving.shape != fixed.shape or len(set(fixed.shape)) != 1:
        raise ValueError(f"alignment needs two maps of the same cubic shape, got {moving.shape} and {fixed.shape}")
    box = fixed.shape[0]
    radius = min(refine_radius or max(search_radius, box // 3), box // 2 - 2)
    bands = [_band(fixed, min(search_radius, radius)), _band(fixed, radius)]
    hands = [(moving, False), (mirror(moving), True)] if mirror_test else [(moving, False)]
    found = [(*_search(padded_transform(_inside_sphere(volume)), bands, angular_step, box), volume, mirrored)
             for volume, mirrored in hands]
    _, matrix, volume, mirrored = max(found, key=lambda entry: entry[0])
    best = _polish(padded_transform(_inside_sphere(volume)), matrix, bands[1], box, mirrored)
    return transform_map(moving, best), best


def model_map_fsc(volume: np.ndarray, truth: np.ndarray, pixel_size: float, mask: np.ndarray | None = None,
                  threshold: float = 0.5) -> ModelFsc:
    """Return the FSC of a map with the truth, both inside `mask`, and the resolution in Å where it falls below 0.5.

    The maps must be aligned (see `align_maps`). The threshold of 0.5 against a noise-free truth corresponds to 0.143
    between two half maps (Rosenthal & Henderson 2003, J. Mol. Biol. 333).
    """
    weight = 1.0 if mask is None else mask
    curve = fsc(volume * weight, truth * weight)
    return ModelFsc(curve, resolution_at(curve, volume.shape[0] * pixel_size, threshold))


def rotation_grid(step: float) -> np.ndarray:
    """Return rotation matrices (n, 3, 3) about `step` degrees apart: a spiral of directions, even in-plane angles."""
    directions = math.ceil(4.0 * math.pi / math.radians(step) ** 2)
    index = np.arange(directions) + 0.5
    tilt = np.degrees(np.arccos(1.0 - 2.0 * index / directions))
    rot = np.degrees(math.pi * (1.0 + math.sqrt(5.0)) * index) % 360.0
    psi = np.arange(math.ceil(360.0 / step)) * (360.0 / math.ceil(360.0 / step))
    grid = np.broadcast_arrays(rot[:, None], tilt[:, None], psi[None, :])
    return euler_to_matrix(*(angle.ravel() for angle in grid))


def _inside_sphere(volume: np.ndarray) -> np.ndarray:
    box = volume.shape[0]
    axis = (np.arange(box, dtype=np.float32) - box // 2) ** 2
    radius = np.sqrt(axis[:, None, None] + axis[None, :, None] + axis[None, None, :])
    return (volume * cosine_edge(radius, box / 2 - 2.0, 4.0)).astype(np.float32)


def _band(fixed: np.ndarray, radius: int) -> _Band:
    z, y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1, 0 : radius + 1]
    squared = x * x + y * y + z * z
    keep = (squared <= radius * radius) & (squared > 0)
    points = np.stack([x[keep], y[keep], z[keep]], -1).astype(np.float32)
    shell = np.rint(np.sqrt(squared[keep])).astype(np.int64)
    values = sample_transform(padded_transform(_inside_sphere(fixed)), points, np.eye(3, dtype=np.float32), 2)
    return _Band(points, shell, _whiten(values, shell), 2 * (radius + 1))


def _whiten(values: np.ndarray, shell: np.ndarray) -> np.ndarray:
    power = np.bincount(shell, np.abs(values) ** 2) / np.maximum(np.bincount(shell), 1)
    white = values / np.sqrt(np.maximum(power, 1e-30))[shell]
    return white / max(float(np.linalg.norm(white)), 1e-30)


@nb.njit(cache=True)
def sample_transform(transform, points, matrix, padding):  # type: ignore[no-untyped-def]
    """Return values (n,) complex64 of a padded half transform at matrix · point; points (n, 3) x, y, z; trilinear."""
    centre = transform.shape[0] // 2
    values = np.empty(points.shape[0], np.complex64)
    for p in range(points.shape[0]):
        x = (matrix[0, 0] * points[p, 0] + matrix[0, 1] * points[p, 1] + matrix[0, 2] * points[p, 2]) * padding
        y = (matrix[1, 0] * points[p, 0] + matrix[1, 1] * points[p, 1] + matrix[1, 2] * points[p, 2]) * padding
        z = (matrix[2, 0] * points[p, 0] + matrix[2, 1] * points[p, 1] + matrix[2, 2] * points[p, 2]) * padding
        conjugate = x < 0
        if conjugate:
            x, y, z = -x, -y, -z
        x0, y0, z0 = math.floor(x), math.floor(y), math.floor(z)
        fx, fy, fz = np.float32(x - x0), np.float32(y - y0), np.float32(z - z0)
        i, j = z0 + centre, y0 + centre
        near = (transform[i, j, x0] * (1 - fx) + transform[i, j, x0 + 1] * fx) * (1 - fy) + (
            transform[i, j + 1, x0] * (1 - fx) + transform[i, j + 1, x0 + 1] * fx) * fy
        far = (transform[i + 1, j, x0] * (1 - fx) + transform[i + 1, j, x0 + 1] * fx) * (1 - fy) + (
            transform[i + 1, j + 1, x0] * (1 - fx) + transform[i + 1, j + 1, x0 + 1] * fx) * fy
        value = near * (1 - fz) + far * fz
        values[p] = value.conjugate() if conjugate else value
    return values


def _search(transform: np.ndarray, bands: list[_Band], step: float, box: int) -> tuple[float, np.ndarray]:
    """Return correlation in the whole band and matrix of the best rotation, to about half a degree."""
    coarse, fine = bands
    grid = rotation_grid(step)
    scores = np.array([_best_shift(transform, matrix, coarse, box)[0] for matrix in grid])
    candidates = [grid[i] for i in np.argsort(scores)[::-1][:12]]

    def climb_all(band: _Band) -> list[tuple[float, np.ndarray]]:
        return sorted((climb(lambda trial: _best_shift(transform, trial, band, box)[0], matrix, step)
                       for matrix in candidates), key=itemgetter(0))

    for count in (4, 2):
        step /= 2.0
        climbed = climb_all(coarse)
        candidates = [matrix for _, matrix in climbed[-count:]]
    while step > 0.5:
        step /= 2.0
        climbed = climb_all(fine)
        candidates = [climbed[-1][1]]
    return climbed[-1]


def _best_shift(transform: np.ndarray, matrix: np.ndarray, band: _Band, box: int) -> tuple[float, np.ndarray]:
    """Return correlation and whole-grid shift (x, y, z) in voxels for one rotation."""
    values = _whiten(sample_transform(transform, band.points, matrix.astype(np.float32), 2), band.shell)
    cross = np.zeros((band.box, band.box, band.box // 2 + 1), np.complex64)
    x, y, z = band.points.astype(np.int64).T
    cross[z % band.box, y % band.box, x] = band.fixed * values.conj()
    peaks = scipy.fft.irfftn(cross, s=(band.box,) * 3)
    index = np.unravel_index(int(np.argmax(peaks)), peaks.shape)
    shift = [((i + band.box // 2) % band.box - band.box // 2) * box / band.box for i in index[::-1]]
    return _correlation(values, band, np.array(shift), box), np.array(shift)


def _correlation(values: np.ndarray, band: _Band, shift: np.ndarray, box: int) -> float:
    ramp = np.exp(-2j * np.pi / box * (band.points @ shift.astype(np.float32)))
    return float(np.vdot(band.fixed, values * ramp).real)


def climb(score: Callable[[np.ndarray], float], matrix: np.ndarray, step: float) -> tuple[float, np.ndarray]:
    """Return the largest score, and its rotation, reached from `matrix` by turns of `step` degrees about the axes."""
    best = score(matrix)
    for _ in range(8):
        trials = [matrix @ rotation_about(axis, sign * step) for axis in np.eye(3) for sign in (-1.0, 1.0)]
        scores = [score(trial) for trial in trials]
        if max(scores) <= best:
            break
        best, matrix = max(scores), trials[int(np.argmax(scores))]
    return best, matrix


def _polish(transform: np.ndarray, matrix: np.ndarray, band: _Band, box: int, mirrored: bool) -> Alignment:
    """Refine rotation and shift together by Powell's method, the shift to a fraction of a voxel."""
    start = np.concatenate([np.zeros(3), _best_shift(transform, matrix, band, box)[1]])

    def cost(x: np.ndarray) -> float:
        turned = (matrix @ rotation_by(x[:3])).astype(np.float32)
        values = _whiten(sample_transform(transform, band.points, turned, 2), band.shell)
        return -_correlation(values, band, x[3:], box)

    found = scipy.optimize.minimize(cost, start, method="Powell", options={"xtol": 1e-3, "ftol": 1e-6, "maxiter": 12})
    return Alignment(matrix @ rotation_by(found.x[:3]), found.x[3:], mirrored, -float(found.fun))
