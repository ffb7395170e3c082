"""New coordinates of refined particles."""

from __future__ import annotations

import numpy as np

from cryosnake.numerics.euler import euler_to_matrix


def recentred(
    positions: np.ndarray,  # (n, 2) x, y in pixels of the micrograph
    origins: np.ndarray,  # (n, 2) rlnOriginXAngst, rlnOriginYAngst
    pixel_size: float,  # Å, of the micrograph
    centre: np.ndarray | None = None,  # (3,) Å in the reference, from its middle
    angles: np.ndarray | None = None,  # (n, 3) rot, tilt, psi
) -> tuple[np.ndarray, np.ndarray]:
    """Return coordinates on the refined centre (or on a point of the reference), and the origins (Å) that are left.

    The particle lies at coordinate - origin / pixel size. Coordinates move by whole pixels, as RELION moves them, so
    that the rest stays as origin. A point r of the reference lies A r from the centre in the image, A the rotation
    matrix of the particle.
    """
    wanted = origins.copy()
    if centre is not None and angles is not None and np.any(centre):
        wanted = wanted - (euler_to_matrix(*angles.T) @ np.asarray(centre, np.float64))[:, :2]
    pixels = wanted / pixel_size
    whole = _rounded(pixels)
    return positions - whole, (pixels - whole) * pixel_size


def at_pixel_size(
    positions: np.ndarray,  # (n, 2) x, y in pixels of the micrograph that the particles were cut from
    origins: np.ndarray,  # (n, 2) rlnOriginXAngst, rlnOriginYAngst
    before: np.ndarray,  # (n,) Å, pixel size of that micrograph
    after: float,  # Å, pixel size of the micrograph to cut from
) -> tuple[np.ndarray, np.ndarray]:
    """Return coordinates and origins (Å) of the same places on a micrograph of another pixel size.

    Both micrographs have their first pixel in common, as cropping a Fourier transform leaves it. The particle lies at
    coordinate - origin / pixel size, where the coordinate counts without its fraction: there its box was cut
    (`cut_boxes`). The new coordinate is whole, and what rounding takes from it goes into the origin.
    """
    real = np.trunc(positions) * (before / after)[:, None]
    whole = _rounded(real)
    return whole, origins + (whole - real) * after


def _rounded(values: np.ndarray) -> np.ndarray:
    """Return whole numbers; halves go away from 0, as in RELION."""
    return np.sign(values) * np.floor(np.abs(values) + 0.5)
