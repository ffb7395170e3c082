"""Isotropic filters of a cubic map in Fourier space (half transform, origin in the corner)."""

from __future__ import annotations

import math
from collections.abc import Callable

from cryosnake.numerics.backend import Array, fft_of, namespace


def frequency_radius(box: int, like: Array) -> Array:
    """Return |k| in Fourier pixels, float32 (box, box, box // 2 + 1), on the device of `like`."""
    xp = namespace(like)
    full = xp.fft.fftfreq(box, 1.0 / box)
    half = xp.arange(box // 2 + 1, dtype=full.dtype)
    squared = full[:, None, None] ** 2 + full[None, :, None] ** 2 + half[None, None, :] ** 2
    return xp.sqrt(squared).astype(xp.float32)


def cosine_edge(radius: Array, centre: float, width: float) -> Array:
    """Return a raised-cosine edge of this width from 1 to 0, ½ at `centre`; a step for width 0."""
    xp = namespace(radius)
    if width <= 0:
        return (radius <= centre).astype(xp.float32)
    position = xp.clip((radius - (centre - 0.5 * width)) / width, 0.0, 1.0)
    return (0.5 + 0.5 * xp.cos(math.pi * position)).astype(xp.float32)


def apply_filter(volume: Array, transfer: Callable[[Array], Array]) -> Array:
    """Return the map (box, box, box) times `transfer`, a function of |k| in Fourier pixels."""
    fft = fft_of(volume)
    box = volume.shape[0]
    transform = fft.rfftn(volume)
    transform *= transfer(frequency_radius(box, volume))
    return fft.irfftn(transform, s=volume.shape).astype(volume.dtype)


def shell_of(resolution: float, box_size: float) -> int:
    """Return the whole shell nearest to a resolution (Å) in a box of `box_size` Å; of two equally near, the lower."""
    return math.ceil(box_size / resolution - 0.5)


def low_pass(volume: Array, resolution: float, pixel_size: float, edge_width: float = 2.0) -> Array:
    """Return the map low-pass filtered at `resolution` (Å); the raised cosine is `edge_width` Fourier pixels wide.

    The cut-off is at the nearest whole shell, as in RELION, so that the same threshold gives the same mask. A
    resolution at or beyond Nyquist (2 × pixel size) leaves the map unchanged.
    """
    if resolution <= 2.0 * pixel_size:
        return volume
    centre = shell_of(resolution, volume.shape[0] * pixel_size)
    return apply_filter(volume, lambda radius: cosine_edge(radius, centre, edge_width))


def interpolate_shells(curve: Array, radius: Array) -> Array:
    """Return a curve per shell, (shells,), interpolated linearly at |k| = `radius`; beyond its end the last value."""
    xp = namespace(radius)
    last = curve.shape[0] - 1
    lower = xp.clip(xp.floor(radius), 0, last - 1).astype(xp.int32)
    fraction = xp.clip(radius - lower, 0.0, 1.0)
    return curve[lower] * (1.0 - fraction) + curve[lower + 1] * fraction
