"""RELION's motion model version 1: local motion as a polynomial in time and position.

Zivanov, Nakane & Scheres, IUCrJ 6, 5 (2019), section 2.1, with the order of coefficients as in X.star (determined
from the X.star files of two real projects, tests/numerics/test_motion_local_model.py). For each axis

    shift(x, y, z) = (c0 z + c1 z² + c2 z³) + (c3 z + c4 z² + c5 z³) x + (c6 …) x² + (c9 …) y + (c12 …) y² + (c15 …) xy

with z the frame number after the first frame of the sum (0 there, so the first frame has no local motion), and x, y
the position divided by the image size, minus ½. The 18 coefficients of x come before those of y. Shifts are to be
applied to the frame, in pixels of the movie, in addition to the shift of the whole frame.
"""

from __future__ import annotations

import numpy as np


def spatial_terms(positions: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return 1, x, x², y, y², xy, shape (n, 6), for positions (n, 2) as x, y in pixels of a (ny, nx) image."""
    x, y = (np.asarray(positions, dtype=np.float64) / (shape[1], shape[0]) - 0.5).T
    return np.stack([np.ones_like(x), x, x * x, y, y * y, x * y], axis=1)


def time_terms(frames: np.ndarray) -> np.ndarray:
    """Return z, z², z³, shape (n, 3), for frame numbers counted from 0 at the first frame of the sum."""
    z = np.asarray(frames, dtype=np.float64)
    return np.stack([z, z * z, z * z * z], axis=1)


def local_shifts(coefficients: np.ndarray, frames: np.ndarray, positions: np.ndarray,
                 shape: tuple[int, int]) -> np.ndarray:
    """Evaluate the model.

    Parameters
    ----------
    coefficients
        Shape (36,) or (2, 18).
    frames
        Frame numbers, 0 at the first frame of the sum, shape (f,).
    positions
        x and y in pixels of the movie, shape (p, 2).
    shape
        (ny, nx) of the movie.

    Returns
    -------
    ndarray
        Shifts (f, p, 2) as x, y in pixels.
    """
    table = np.asarray(coefficients, dtype=np.float64).reshape(2, 6, 3)
    return np.einsum("ast,ps,ft->fpa", table, spatial_terms(positions, shape), time_terms(frames))


def mean_motion(coefficients: np.ndarray) -> np.ndarray:
    """Return the mean of the model over the image, as coefficients (2, 3) of z, z² and z³ for x and y.

    Over positions from -½ to ½, x² and y² have the mean 1/12, the other terms with x or y none.
    """
    table = np.asarray(coefficients, dtype=np.float64).reshape(2, 6, 3)
    return np.asarray(table[:, 0] + (table[:, 2] + table[:, 4]) / 12)
