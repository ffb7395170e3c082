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
    """Return coordinates at the refined centre (or at a point of the reference), and the remaining origins (Å).

    The particle is at coordinate - origin / pixel size. Coordinates move by whole pixels, as in RELION, so that the
    rest remains as origin. A point r of the reference is A r away from the centre in the image, where A is the
    rotation matrix of the particle.
    """
    wanted = origins.copy()
    if centre is not None and angles is not None and np.any(centre):
        wanted = wanted - (euler_to_matrix(*angles.T) @ np.asarray(centre, np.float64))[:, :2]
    pixels = wanted / pixel_size
    whole = _rounded(pixels)
    return positions - whole, (pixels - whole) * pixel_size


def at_pixel_size(
    positions: np.ndarray,  # (n, 2) x, y in pixels of the micrograph from which the particles were cut
    origins: np.ndarray,  # (n, 2) rlnOriginXAngst, rlnOriginYAngst
    before: np.ndarray,  # (n,) Å, pixel size of that micrograph
    after: float,  # Å, pixel size of the micrograph to cut from
) -> tuple[np.ndarray, np.ndarray]:
    """Return coordinates and origins (Å) of the same positions on a micrograph of another pixel size.

    Both micrographs have the same first pixel, as after cropping a Fourier transform. The particle is at coordinate -
    origin / pixel size, where the coordinate counts without its fraction, because its box was cut there
    (`cut_boxes`). The new coordinate is whole, and the rounding error goes into the origin.
    """
    real = np.trunc(positions) * (before / after)[:, None]
    whole = _rounded(real)
    return whole, origins + (whole - real) * after


def _rounded(values: np.ndarray) -> np.ndarray:
    """Return whole numbers; halves are rounded away from 0, as in RELION."""
    return np.sign(values) * np.floor(np.abs(values) + 0.5)
