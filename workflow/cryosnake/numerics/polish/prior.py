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


def motion_prior(places: np.ndarray, velocity: float, divergence: float, acceleration: float) -> MotionPrior:
    """Return the prior of particles at `places` (p, 2).

    Covariance of the velocities of two particles: velocity² exp(−distance / divergence); its eigenvectors, times the
    roots of the eigenvalues, are the basis. Method: Zivanov, Nakane & Scheres 2019, IUCrJ 6, 5-17.

    Parameters
    ----------
    places, divergence
        In the same unit, Å or pixels.
    velocity, acceleration
        Pixels per frame and its change per frame; acceleration ≤ 0 lets velocities change freely.
    """
    apart = np.linalg.norm(places[:, None] - places[None], axis=-1)
    values, vectors = np.linalg.eigh(velocity**2 * np.exp(-apart / divergence))
    keep = values > _LEAST
    values, vectors = values[keep], vectors[:, keep]
    steadiness = values / acceleration**2 if acceleration > 0 else np.zeros_like(values)
    return MotionPrior(vectors * np.sqrt(values), steadiness)
