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
    # RELION rounds halves away from 0
    whole = np.sign(pixels) * np.floor(np.abs(pixels) + 0.5)
    return positions - whole, (pixels - whole) * pixel_size
