"""Maps and masks at another box and pixel size; the origin stays where it is, voxel box // 2.

One matrix per axis takes the old voxels to the new ones. Maps: the Fourier series of the old box, without what either
box cannot hold, at the positions of the new voxels. That is a Fourier crop or pad, for any ratio of pixel sizes. Masks:
a triangle of the larger voxel's width (linear interpolation, or averaging), which neither overshoots nor rings.
"""

from __future__ import annotations

import math

import numpy as np

from cryosnake.numerics.backend import Array, namespace


def resample_map(volume: Array, box: int) -> Array:
    """Return the map (box, box, box) float32 of the same extent in Å.

    Densities keep their values. The frequencies at the smaller Nyquist limit and beyond are left out.
    """
    return refit_map(volume, 1.0, box, volume.shape[0] / box)


def refit_map(volume: Array, pixel_size: float, box: int, new_pixel_size: float) -> Array:
    """Return a map of `pixel_size` Å as (box, box, box) float32 of `new_pixel_size` Å, cropped, or padded with 0.

    Densities keep their values. Where the pixel size changes, the frequencies at the smaller Nyquist limit and beyond
    are left out.
    """
    ratio = new_pixel_size / pixel_size
    if same_size(ratio, 1.0):
        return crop_or_pad(volume, box)
    old = volume.shape[0]
    position, voxel = _positions(old, box, ratio)
    reach = math.ceil(min(old, old / ratio) / 2.0 - 1e-6) - 1
    phase = (2.0 * np.pi / old) * (position[:, None] - voxel[None, :])
    matrix = (1.0 + 2.0 * sum(np.cos(k * phase) for k in range(1, reach + 1))) / old
    return _along_axes(volume, _inside(matrix, position, old))


def refit_mask(mask: Array, pixel_size: float, box: int, new_pixel_size: float) -> Array:
    """Return a mask of `pixel_size` Å as (box, box, box) float32 of `new_pixel_size` Å; values stay in their range."""
    ratio = new_pixel_size / pixel_size
    if same_size(ratio, 1.0):
        return crop_or_pad(mask, box)
    old = mask.shape[0]
    position, voxel = _positions(old, box, ratio)
    matrix = np.maximum(1.0 - np.abs(position[:, None] - voxel[None, :]) / max(ratio, 1.0), 0.0)
    matrix /= np.maximum(matrix.sum(1, keepdims=True), 1e-12)
    return _along_axes(mask, _inside(matrix, position, old))


def same_size(pixel_size: float, other: float) -> bool:
    """Return whether two pixel sizes are the same but for the rounding of headers: to 1e-5."""
    return abs(pixel_size / other - 1.0) < 1e-5


def crop_or_pad(volume: Array, box: int) -> Array:
    """Return the map (box, box, box) float32 of the same pixel size, cropped or padded with 0 about its origin."""
    xp, old = namespace(volume), volume.shape[0]
    if old == box:
        return xp.asarray(volume, xp.float32)
    first = old // 2 - box // 2
    if first >= 0 and first + box <= old:
        kept = slice(first, first + box)
        return xp.ascontiguousarray(volume[kept, kept, kept], xp.float32)
    result = xp.zeros((box, box, box), xp.float32)
    filled = slice(-first, old - first)
    result[filled, filled, filled] = volume
    return result


def _positions(old: int, box: int, ratio: float) -> tuple[np.ndarray, np.ndarray]:
    """Return where the new voxels (box,) and the old ones (old,) are along an axis, in old voxels from the origin."""
    return (np.arange(box) - box // 2) * ratio, np.arange(old) - old // 2


def _inside(matrix: np.ndarray, position: np.ndarray, old: int) -> np.ndarray:
    """Return the matrix with 0 for positions outside the old box."""
    outside = (position < -old / 2 - 1e-6) | (position > old / 2 - 1e-6)
    return np.where(outside[:, None], 0.0, matrix).astype(np.float32)


def _along_axes(volume: Array, matrix: np.ndarray) -> Array:
    """Return the volume with a matrix (new, old) applied along each of its axes."""
    xp = namespace(volume)
    result, weights = xp.asarray(volume, xp.float32), xp.asarray(matrix)
    for _ in range(3):  # each takes the first axis away and appends the new one
        result = xp.tensordot(result, weights, axes=(0, 1))
    return xp.ascontiguousarray(result)
