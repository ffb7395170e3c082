"""The maximisation step of classes: signal-to-noise ratios of averages and maps, priors of classes and directions."""

from __future__ import annotations

import numpy as np

from cryosnake.numerics.refine.sums.maximisation import reference_power

_PADDING = 2.0  # padding² or padding³ cells of the padded grid share the data of one Fourier pixel or voxel
_NEVER = -1e5  # log prior of an empty class


def class_ssnr(weight: np.ndarray, transform: np.ndarray, tau2_fudge: float) -> np.ndarray:
    """Return the expected signal-to-noise ratio (shells,) of a class's average or map; 0 for one without particles.

    τ² is the power of the present reference, σ² the inverse of the summed weights; without two halves there is no FSC
    to measure it (Scheres 2012, J. Mol. Biol. 415, eqs. 8 and 10). `tau2_fudge` multiplies τ².

    Parameters
    ----------
    weight : (shells,)
        Mean weight of the sums, see `reconstruction.mean_weight`.
    transform : (2m + 1, m + 1) or (2m + 1, 2m + 1, m + 1) complex64
        The present reference, as in `ClassReferences` or `MapReference`.
    """
    return tau2_fudge * reference_power(transform, len(weight)) * weight * _PADDING**transform.ndim


def class_shares(mass: np.ndarray) -> np.ndarray:
    """Return the fraction (classes,) of the summed probabilities (classes, …) in each class."""
    each = mass.reshape(len(mass), -1).sum(1)
    return each / each.sum()


def class_directions(mass: np.ndarray) -> np.ndarray:
    """Return the prior (classes · directions,), sum 1, of summed probabilities (classes, directions).

    Within a class every direction counts one extra particle, so that none is excluded; a class without
    particles keeps none.
    """
    within = mass + 1.0
    within /= within.sum(1, keepdims=True)
    return (class_shares(mass)[:, None] * within).ravel()


def log_shares(shares: np.ndarray) -> np.ndarray:
    """Return log priors, float64; a class (or direction) without any probability is practically excluded."""
    return np.where(shares > 0, np.log(np.where(shares > 0, shares, 1.0)), _NEVER)
