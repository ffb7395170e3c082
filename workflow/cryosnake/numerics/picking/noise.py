"""Regions to avoid in picking (crystals, carbon, dirt), and limits on the background around a pick."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.signal import fftconvolve

from cryosnake.numerics.backend import Array, to_numpy
from cryosnake.numerics.picking.background import near, smooth

# Densities relative to a typical particle of the same micrograph: a seed, and how far the region grows from it; then by
# a margin in diameters, so that its edge isn't picked. A wide one loses the particles beside ice, which are good.
_SEED, _GROWTH = 3.0, 1.5
_MARGIN = 0.2
_ENOUGH = 5  # peaks needed to estimate the typical particle


@dataclass(frozen=True)
class NoiseLimits:
    """Limits on the ring around a pick (1 to 2 radii), in s.d. of the micrograph; None is off."""

    max_stddev: float | None = None
    min_average: float | None = None


def contaminated(
    image: Array,  # (h, w), trend taken out
    pixels: np.ndarray,  # (n, 2) rows and columns of peaks, most of them particles
    diameter: float,  # pixels
) -> np.ndarray:
    """Return where the micrograph is darker or brighter than particles could make it, bool (h, w).

    Pixels three times as dense as a typical particle are seeds (a layer of particles is as dense as one); regions grow
    to 1.5 times this density and by a fifth of the diameter. The particle's density is the median over the peaks found.
    """
    density = to_numpy(smooth(image, 0.25 * diameter))
    density = density - np.median(density)
    none = np.zeros(density.shape, np.bool_)
    if len(pixels) < _ENOUGH:
        return none
    typical = -np.median(density[pixels[:, 0], pixels[:, 1]])
    # Noise alone must not seed a region if the particles are faint.
    spread = 1.4826 * np.median(np.abs(density))
    seed = np.abs(density) > max(_SEED * typical, 6.0 * spread)
    if not seed.any():
        return none
    labels, _ = ndimage.label(np.abs(density) > max(_GROWTH * typical, 3.0 * spread))
    grown = np.isin(labels, np.unique(labels[seed])) & (labels > 0)
    return near(grown, _MARGIN * diameter)


def ring_statistics(image: Array, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation (h, w) between `radius` and 2 `radius` pixels around each pixel."""
    reach = int(np.ceil(2.0 * radius))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    distance = np.hypot(y, x)
    ring = ((distance >= radius) & (distance <= 2.0 * radius)).astype(np.float32)
    ring /= ring.sum()
    host = to_numpy(image)
    pad = [(reach, reach)] * 2
    mean = fftconvolve(np.pad(host, pad, mode="symmetric"), ring, "valid")
    square = fftconvolve(np.pad(host * host, pad, mode="symmetric"), ring, "valid")
    return mean, np.sqrt(np.maximum(square - mean * mean, 0.0))


def within_limits(image: Array, pixels: np.ndarray, diameter: float, limits: NoiseLimits) -> np.ndarray:
    """Return which picks (n,) have a quiet background: the image is first scaled to mean 0, s.d. 1 as a whole."""
    if limits.max_stddev is None and limits.min_average is None:
        return np.ones(len(pixels), np.bool_)
    host = to_numpy(image)
    middle, spread = np.median(host), 1.4826 * np.median(np.abs(host - np.median(host)))
    mean, deviation = ring_statistics((host - middle) / max(float(spread), 1e-12), 0.5 * diameter)
    rows, columns = pixels.T
    keep = np.ones(len(pixels), np.bool_)
    if limits.max_stddev is not None:
        keep &= deviation[rows, columns] <= limits.max_stddev
    if limits.min_average is not None:
        keep &= mean[rows, columns] >= limits.min_average
    return keep
