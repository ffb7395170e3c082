"""What a learned picker sees of each pixel's surroundings: numbers that do not change when the micrograph is turned."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from cryosnake.numerics.backend import Array, fft_of, namespace
from cryosnake.numerics.picking.background import frequency_squared, reflect

ACROSS = 16.0  # pixels across a particle: enough for its outline, and for nothing that a picker can use
_RINGS = (0.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0)  # radii; these lengths are in sixteenths of the diameter
_WIDTH = 1.0  # standard deviation of a ring
_HARMONICS = 6
_BLOBS = (1.0, 1.5, 2.2, 3.2, 4.5, 6.0, 8.0)  # sigmas of Laplacians of Gaussians
_POOLED = 2  # half the side of the square over which each number is averaged as well


def feature_maps(
    image: Array,  # (h, w) float32, normalised
    diameter: float,  # pixels, about `ACROSS`
) -> Array:
    """Return the features of each pixel, (n, h, w) float32.

    Means over rings around the pixel, and the amplitudes of their circular harmonics (which do not depend on where
    the angle starts); Laplacians of Gaussians. Each is there twice: by itself, and as a mean over a small square.
    Local power and slope are left out: they tell one micrograph's ice from another's.
    """
    unit = diameter / ACROSS
    xp = namespace(image)
    own = xp.concatenate([part.astype(xp.float32) for part in _parts(image, unit)])
    return xp.concatenate([own, _pooled(own, max(1, round(_POOLED * unit)))])


def _parts(image: Array, unit: float) -> Iterator[Array]:
    xp, fft = namespace(image), fft_of(image)
    reach = math.ceil((_RINGS[-1] + 2.0 * _WIDTH) * unit)
    margin = min(reach, min(image.shape) - 1)
    padded, shape = reflect(image, margin)
    transform, squared = fft.rfft2(padded), frequency_squared(shape, image)

    def back(product: Array) -> Array:
        found = fft.irfft2(product, s=shape)
        return found[..., margin : margin + image.shape[0], margin : margin + image.shape[1]]

    for kernels in _ring_kernels(reach, unit):
        sums = back(transform * _transform_of(xp.asarray(kernels), shape))
        yield sums[:1]
        if len(kernels) > 1:
            yield xp.sqrt(sums[1::2] ** 2 + sums[2::2] ** 2)
    for sigma in _BLOBS:
        exponent = 2.0 * (math.pi * sigma * unit) ** 2 * squared
        yield back(transform * (-2.0 * exponent * xp.exp(-exponent)))[None]


def _ring_kernels(reach: int, unit: float) -> Iterator[np.ndarray]:
    """Yield for each ring its window, and that times cosine and sine of each harmonic, (k, side, side) float32."""
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    radius, angle = np.hypot(x, y) / unit, np.arctan2(y, x)
    for ring in _RINGS:
        window = np.exp(-0.5 * ((radius - ring) / _WIDTH) ** 2)
        window /= window.sum()
        orders = [m for m in range(1, _HARMONICS + 1) if ring >= max(2.0, m - 1.0)]
        waves = [wave for m in orders for wave in (np.cos(m * angle), np.sin(m * angle))]
        yield np.stack([window, *(window * wave for wave in waves)]).astype(np.float32)


def _transform_of(kernels: Array, shape: tuple[int, int]) -> Array:
    """Return half transforms of kernels (k, side, side) whose middle is the origin of an image of this shape."""
    xp, fft = namespace(kernels), fft_of(kernels)
    reach = kernels.shape[1] // 2
    placed = xp.zeros((len(kernels), *shape), dtype=xp.float32)
    placed[:, : kernels.shape[1], : kernels.shape[2]] = kernels
    return fft.rfft2(xp.roll(placed, (-reach, -reach), axis=(1, 2)))


def _pooled(maps: Array, reach: int) -> Array:
    """Return each map's mean over a square of 2 `reach` + 1 pixels; edges are repeated."""
    xp = namespace(maps)
    for axis in (1, 2):
        pad = [(0, 0), (0, 0), (0, 0)]
        pad[axis] = (reach, reach)
        padded, size = xp.pad(maps, pad, mode="edge"), maps.shape[axis]
        parts = [padded[:, k : k + size] if axis == 1 else padded[:, :, k : k + size] for k in range(2 * reach + 1)]
        maps = sum(parts) / xp.float32(len(parts))
    return maps
