"""Real-space values near the origin of images that are known by their Fourier pixels."""

from __future__ import annotations

import numpy as np

from cryosnake.numerics.backend import Array, namespace
from cryosnake.numerics.refine.grids.bands import Band


def near_origin(transforms: Array, band: Band, size: int, far: int) -> Array:
    """Return 2 Re Σ X e^{2πi k·d / size} (n, 2 far, 2 far) float32 over the band, for d = 0 … far − 1, −far … −1.

    Two products of matrices, by columns and by rows: of an image that is much larger than what is wanted of it, they
    cost a fraction of its transform. 8 flops for each pixel of the band's half square and each column, and 8 for each
    row and each value.

    Parameters
    ----------
    transforms : (n, pixels) complex64
        At the pixels of `band`, each Friedel pair once.
    size : int
        Of the image of which the values are a part, px.
    far : int
        In each direction, px; at most size // 2.
    """
    xp = namespace(transforms)
    kx, ky = (np.rint(k).astype(np.int64) for k in (band.kx, band.ky))
    columns, low = int(kx.max()) + 1, int(ky.min())
    rows = int(ky.max()) - low + 1
    grid = xp.zeros((len(transforms), rows * columns), xp.complex64)
    grid[:, xp.asarray((ky - low) * columns + kx)] = transforms
    places = np.r_[0:far, -far:0]
    across = xp.asarray(_waves(np.arange(columns), places, size))
    up = _waves(np.arange(low, low + rows), places, size).T
    mixed = (grid.reshape(-1, columns) @ across).reshape(len(transforms), rows, 2 * far)
    parts = xp.concatenate([mixed.real, mixed.imag], axis=1)
    return xp.matmul(xp.asarray(2.0 * np.concatenate([up.real, -up.imag], axis=1)), parts)


def _waves(frequencies: np.ndarray, places: np.ndarray, size: int) -> np.ndarray:
    """Return e^{2πi k d / size}, complex64 (k, d)."""
    return np.exp(2j * np.pi / size * np.outer(frequencies, places)).astype(np.complex64)
