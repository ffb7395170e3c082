"""The maximisation step of classes: signal-to-noise ratios of averages and maps, priors of classes and directions."""

from __future__ import annotations

import numpy as np

_PADDING = 2.0  # padding² or padding³ cells of the padded grid share the data of one Fourier pixel or voxel
_NEVER = -1e5  # log prior of an empty class


def class_ssnr(weight: np.ndarray, power: np.ndarray, tau2_fudge: float, dimensions: int) -> np.ndarray:
    """Return the expected signal-to-noise ratio (shells,) of a class's average or map; 0 for one without particles.

    σ² is the inverse of the summed weights; without two halves there is no FSC to measure τ², and the power of the
    present reference takes its place (Scheres 2012, J. Mol. Biol. 415, eqs. 8 and 10). `tau2_fudge` multiplies τ².

    Parameters
    ----------
    weight : (shells,)
        Mean weight of the sums, see `reconstruction.mean_weight`.
    power : (shells,)
        τ², see `maximisation.reference_power`.
    dimensions
        2 for averages, 3 for maps.
    """
    return tau2_fudge * power * weight * _PADDING**dimensions


def equal_classes(prior: np.ndarray, classes: int) -> np.ndarray:
    """Return the prior (classes · directions,) with the same sum for every class that has particles."""
    each = prior.reshape(classes, -1)
    total = each.sum(1, keepdims=True)
    return (each / np.where(total > 0, total, 1.0) / np.count_nonzero(total)).ravel()


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
