"""Normalisation of particle images: ramp subtracted, background mean 0, standard deviation 1, dust replaced."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from cryosnake.numerics.backend import Array, namespace


@dataclass(frozen=True)
class DustLimits:
    """Pixels more than this many background standard deviations above or below the mean are dust; None is off."""

    white: float | None = None
    black: float | None = None


def default_background_radius(box: int, size: int) -> int:
    """Return RELION's radius of the particle's circle in pixels of the rescaled image: ¾ of half the box."""
    return math.floor(0.75 * box / 2.0 * size / box)


def background(size: int, radius: float) -> np.ndarray:
    """Return the pixels (size, size) bool outside a circle of `radius` pixels about pixel size // 2.

    Raises
    ------
    ValueError
        when the circle leaves fewer than 16 pixels
    """
    y, x = np.mgrid[:size, :size] - size // 2
    pixels = x * x + y * y > radius * radius
    if pixels.sum() < 16:
        raise ValueError(f"a circle of {2 * radius:g} px leaves no background in a box of {size} px")
    return np.asarray(pixels)


def normalise(
    images: Array,  # (n, size, size)
    pixels: np.ndarray,  # (size, size) bool, background
    dust: DustLimits,
    rng: np.random.Generator,
) -> Array:
    """Return images with a background of mean 0 and standard deviation 1, after subtracting a plane fitted to it.

    First, as RELION does, dust is replaced by Gaussian noise of the background's mean and standard deviation. An image
    with a constant background keeps its grey scale, with mean 0.
    """
    xp = namespace(images)
    flat = images.reshape(len(images), -1)
    chosen = xp.asarray(np.flatnonzero(pixels))
    if dust.white is not None or dust.black is not None:
        flat = _without_dust(flat, *_statistics(flat[:, chosen]), dust, rng)
    basis = _plane(pixels.shape[0])
    solve = xp.asarray(np.linalg.pinv(basis[pixels.ravel()]).astype(np.float32))  # (3, background)
    # Large grey values (counts) would cost the float32 fit its precision.
    flat = flat - flat[:, chosen].astype(xp.float64).mean(1)[:, None].astype(xp.float32)
    flat = flat - (flat[:, chosen] @ solve.T) @ xp.asarray(basis.T)
    mean, deviation = _statistics(flat[:, chosen])
    return ((flat - mean) / xp.where(deviation > 0, deviation, 1.0)).reshape(images.shape).astype(xp.float32)


def _plane(size: int) -> np.ndarray:
    """Return the columns 1, x, y (size², 3) of a plane, scaled so that float32 sums stay exact."""
    y, x = (np.mgrid[:size, :size] - size // 2) / size
    return np.stack([np.ones_like(x), x, y], -1).reshape(-1, 3).astype(np.float32)


def _statistics(values: Array) -> tuple[Array, Array]:
    xp = namespace(values)
    wide = values.astype(xp.float64)
    return wide.mean(1)[:, None].astype(xp.float32), wide.std(1)[:, None].astype(xp.float32)


def _without_dust(flat: Array, mean: Array, deviation: Array, dust: DustLimits, rng: np.random.Generator) -> Array:
    xp = namespace(flat)
    bad = xp.zeros(flat.shape, dtype=bool)
    if dust.white is not None:
        bad |= flat - mean > dust.white * deviation
    if dust.black is not None:
        bad |= flat - mean < -dust.black * deviation
    noise = xp.asarray(rng.standard_normal(flat.shape, dtype=np.float32))
    return xp.where(bad, mean + deviation * noise, flat)
