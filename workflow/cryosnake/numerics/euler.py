"""Euler angles, RELION's convention: ZYZ (rot, tilt, psi) in degrees; the rows of the matrix are the image's axes.

Not by scipy's Rotation, which takes no CuPy arrays and gives other angles where tilt is 0 or 180.
"""

from __future__ import annotations

import numpy as np

from cryosnake.numerics.backend import Array, is_gpu, namespace


def euler_to_matrix(rot: Array, tilt: Array, psi: Array) -> Array:
    """Return rotation matrices (..., 3, 3) for angles in degrees.

    The projection of a map V for these angles has, at its Fourier pixel (kx, ky), the map's value at
    kx · A[0] + ky · A[1] (components x, y, z). Method: Heymann, Chagoyen & Belnap 2005, J. Struct. Biol. 151.
    """
    xp = namespace(rot) if is_gpu(rot) else np
    rot, tilt, psi = (xp.radians(xp.asarray(angle, xp.float64)) for angle in (rot, tilt, psi))
    ca, sa, cb, sb, cg, sg = xp.cos(rot), xp.sin(rot), xp.cos(tilt), xp.sin(tilt), xp.cos(psi), xp.sin(psi)
    rows = (
        (cg * cb * ca - sg * sa, cg * cb * sa + sg * ca, -cg * sb),
        (-sg * cb * ca - cg * sa, -sg * cb * sa + cg * ca, sg * sb),
        (sb * ca, sb * sa, cb * xp.ones_like(cg)),
    )
    return xp.stack([xp.stack(row, -1) for row in rows], -2)


def matrix_to_euler(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (rot, tilt, psi) in degrees, tilt in [0, 180], of matrices (..., 3, 3); the inverse of `euler_to_matrix`.

    Where tilt is 0 or 180 only one in-plane angle is defined: rot is 0 there.
    """
    matrix = np.asarray(matrix, np.float64)
    sin_tilt = np.hypot(matrix[..., 2, 0], matrix[..., 2, 1])
    tilt = np.arctan2(sin_tilt, matrix[..., 2, 2])
    polar = sin_tilt < 1e-8
    rot = np.where(polar, 0.0, np.arctan2(matrix[..., 2, 1], matrix[..., 2, 0]))
    psi_polar = np.arctan2(-matrix[..., 1, 0], matrix[..., 1, 1])
    psi = np.where(polar, psi_polar, np.arctan2(matrix[..., 1, 2], -matrix[..., 0, 2]))
    return np.degrees(rot), np.degrees(tilt), np.degrees(psi)


def angular_distance(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the rotation angle in degrees between matrices (..., 3, 3)."""
    trace = np.einsum("...ij,...ij->...", first, second)
    return np.degrees(np.arccos(np.clip((trace - 1.0) / 2.0, -1.0, 1.0)))
