"""HEALPix in its nested scheme: directions of equal area on the sphere, each with four children one order finer.

Method: Górski et al. 2005, Astrophys. J. 622, 759, section 5 (pixel centres) and figure 3 (nested numbering). RELION
uses the same order of pixels for its sampling of directions.
"""

from __future__ import annotations

import numpy as np

from cryosnake.numerics.backend import Array, namespace

# Ring (from the north pole) and longitude of the southern corner of each of the 12 base faces, in units of nside.
_FACE_RING = np.array([2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4])
_FACE_LONGITUDE = np.array([1, 3, 5, 7, 0, 2, 4, 6, 1, 3, 5, 7])


def pixel_count(order: int) -> int:
    """Return the number of pixels, 12 · 4^order."""
    return 12 << (2 * order)


def angular_step(order: int) -> float:
    """Return the angular step in degrees that RELION assigns to an order: 360 / (6 · 2^order)."""
    return 60.0 / (1 << order)


def _even_bits(values: Array) -> Array:
    """Gather every second bit of non-negative integers, starting at the lowest."""
    values = values & 0x5555555555555555
    for shift, mask in ((1, 0x3333333333333333), (2, 0x0F0F0F0F0F0F0F0F), (4, 0x00FF00FF00FF00FF),
                        (8, 0x0000FFFF0000FFFF), (16, 0x00000000FFFFFFFF)):
        values = (values | (values >> shift)) & mask
    return values


def pixel_angles(order: int, pixels: Array | None = None) -> tuple[Array, Array]:
    """Return longitude and colatitude (rot, tilt) in degrees of pixel centres.

    Parameters
    ----------
    order : int
        log2 of nside.
    pixels : (n,) int, optional
        Nested pixel numbers; all of them by default.

    Returns
    -------
    rot, tilt : (n,) float64
        rot in [0, 360), tilt in (0, 180).
    """
    nside = 1 << order
    pixel = np.arange(pixel_count(order)) if pixels is None else pixels
    xp = namespace(pixel)
    face, within = pixel >> (2 * order), pixel & (nside * nside - 1)
    x, y = _even_bits(within), _even_bits(within >> 1)
    ring = xp.asarray(_FACE_RING)[face] * nside - x - y - 1
    north, south = ring < nside, ring > 3 * nside
    per_quarter = xp.where(north, ring, xp.where(south, 4 * nside - ring, nside))
    cap = 1.0 - per_quarter**2 / (3.0 * nside**2)
    z = xp.where(north, cap, xp.where(south, -cap, 2.0 * (2 * nside - ring) / (3.0 * nside)))
    shifted = xp.where(north | south, 0, (ring - nside) & 1)  # every second ring of the belt is shifted by half a pixel
    index = (xp.asarray(_FACE_LONGITUDE)[face] * per_quarter + x - y + 1 + shifted) // 2
    rot = (index - (1.0 + shifted) / 2.0) * 90.0 / per_quarter
    return rot % 360.0, xp.degrees(xp.arccos(z))


def children(pixels: Array) -> Array:
    """Return the numbers (n, 4), one order finer, of the pixels that tile each of `pixels` (n,)."""
    return 4 * pixels[:, None] + namespace(pixels).arange(4)


def directions(rot: np.ndarray, tilt: np.ndarray) -> np.ndarray:
    """Return unit vectors (n, 3), x, y, z, of angles in degrees: the third row of the rotation matrix."""
    rot, tilt = np.radians(rot), np.radians(tilt)
    return np.stack([np.sin(tilt) * np.cos(rot), np.sin(tilt) * np.sin(rot), np.cos(tilt)], -1)
