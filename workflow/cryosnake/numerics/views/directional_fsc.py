"""The Fourier shell correlation of two half maps in cones about directions on all sides."""

from __future__ import annotations

import numpy as np
import scipy.fft

from cryosnake.numerics import healpix
from cryosnake.numerics.fsc import shell_index

HALF_ANGLE = 20.0  # degrees, of a cone
_ORDER = 1  # HEALPix: 48 directions, of which one in two is the opposite of another


def axes() -> np.ndarray:
    """Return the unit vectors (24, 3), x, y, z, of the cones; the first half of the sphere is enough."""
    every = healpix.directions(*healpix.pixel_angles(_ORDER, np.arange(healpix.pixel_count(_ORDER))))
    opposite = (every @ every.T).argmin(1)
    return every[np.arange(len(every)) < opposite]


def directional_fsc(first: np.ndarray, second: np.ndarray, last_shell: int) -> np.ndarray:
    """Return the FSC (24, last_shell + 1) of two maps (box, box, box) in a cone about each of `axes`.

    Method: Dang et al. 2017, Nature 552, 426; Tan et al. 2017, Nat. Methods 14, 793 ("3DFSC"), with cones of 20
    degrees. Each frequency and its opposite are in the same cone.
    """
    box = first.shape[0]
    shells = shell_index(box)
    inside = np.flatnonzero((shells <= last_shell).ravel() & (shells > 0).ravel())
    one, other = (scipy.fft.rfftn(np.asarray(volume, np.float32)).ravel()[inside] for volume in (first, second))
    shell, where = shells.ravel()[inside], _unit_vectors(box, inside)
    products = (one * other.conj()).real.astype(np.float64), np.abs(one) ** 2.0, np.abs(other) ** 2.0
    limit, curves = np.cos(np.radians(HALF_ANGLE)), np.empty((len(axes()), last_shell + 1))
    for curve, axis in zip(curves, axes(), strict=True):
        cone = np.abs(where @ axis.astype(np.float32)) > limit
        sums = [np.bincount(shell[cone], product[cone], last_shell + 1) for product in products]
        power = np.sqrt(sums[1] * sums[2])
        curve[:] = np.where(power > 0, sums[0] / np.where(power > 0, power, 1.0), 1.0)
    return curves


def _unit_vectors(box: int, pixels: np.ndarray) -> np.ndarray:
    """Return the directions (n, 3), x, y, z, of pixels of a half transform, float32."""
    z, y, x = np.unravel_index(pixels, (box, box, box // 2 + 1))
    vectors = np.stack([x, *(np.where(part > box // 2, part - box, part) for part in (y, z))], 1).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
