"""What is known of the particles' motion beforehand: neighbours move alike, and steadily."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_LEAST = 1e-10  # eigenvalues below are dropped


@dataclass(frozen=True)
class MotionPrior:
    """Gaussian process of the velocities of p particles.

    Attributes
    ----------
    basis : (p, m)
        Velocities in pixels per frame are basis · c, with c of variance 1 in each of m dimensions.
    steadiness : (m,)
        How much a change of c from one frame to the next costs: ½ |Δc|² times it; 0 for nothing.
    """

    basis: np.ndarray
    steadiness: np.ndarray


@dataclass(frozen=True, kw_only=True)
class MotionScales:
    """How particles move.

    Attributes
    ----------
    velocity, acceleration : float
        Standard deviations along x or y of the velocity, and of its change from frame to frame; Å, or pixels, per
        e/Å², or per frame. With acceleration ≤ 0 velocities change freely.
    divergence : float
        Å: over which distance velocities differ.
    """

    velocity: float
    divergence: float
    acceleration: float

    def per_frame(self, steps: float) -> MotionScales:
        """Return them in other units, velocity and acceleration times `steps`."""
        return MotionScales(velocity=self.velocity * steps, divergence=self.divergence,
                            acceleration=self.acceleration * steps)


def motion_prior(places: np.ndarray, scales: MotionScales) -> MotionPrior:
    """Return the prior of particles at `places` (p, 2), in the unit of the divergence; scales in pixels per frame.

    Covariance of the velocities of two particles: velocity² exp(−distance / divergence); its eigenvectors, times the
    roots of the eigenvalues, are the basis. Method: Zivanov, Nakane & Scheres 2019, IUCrJ 6, 5-17.
    """
    apart = np.linalg.norm(places[:, None] - places[None], axis=-1)
    values, vectors = np.linalg.eigh(scales.velocity**2 * np.exp(-apart / scales.divergence))
    keep = values > _LEAST
    values, vectors = values[keep], vectors[:, keep]
    steady = scales.acceleration > 0
    steadiness = values / scales.acceleration**2 if steady else np.zeros_like(values)
    return MotionPrior(vectors * np.sqrt(values), steadiness)
