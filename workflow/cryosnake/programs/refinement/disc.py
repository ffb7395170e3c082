"""The disc in which a particle lies."""

from __future__ import annotations

import numpy as np

from cryosnake.numerics.refine.grids.images import soft_disc
from cryosnake.programs.refinement.particles import Particles

MASK_EDGE = 5.0  # pixels


def image_mask(particles: Particles, diameter: float) -> np.ndarray:
    """Return the soft disc about the particle; no larger than the box."""
    radius = min(diameter / 2.0 / particles.pixel_size, particles.box / 2 - 1.0)
    return soft_disc(particles.box, radius, MASK_EDGE)
