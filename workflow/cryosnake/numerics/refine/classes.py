"""The maximisation step of Class2D: class averages from sums, their priors, and their centring."""

from __future__ import annotations

import numpy as np

from cryosnake.numerics.backend import Array, to_numpy
from cryosnake.numerics.refine.insertion import complete_plane
from cryosnake.numerics.refine.maximisation import last_shell_above, reference_power
from cryosnake.numerics.refine.reconstruction import divide, mean_weight, to_real_space

_CELLS = 4.0  # padding² cells of the padded grid share what one Fourier pixel gets


def finish_class_sums(sums: Array) -> np.ndarray:
    """Return sums (classes, 2m + 1, m + 1, 3) in host memory from those of the threads (threads, classes, …)."""
    total = to_numpy(sums.sum(0) if len(sums) > 1 else sums[0, ..., :3].copy())
    for plane in total:
        complete_plane(plane)
    return total


def class_ssnr(sums: np.ndarray, transforms: Array, radius: int, tau2_fudge: float) -> np.ndarray:
    """Return the expected signal-to-noise ratio (classes, radius + 1) of class averages.

    τ² is the power of the present reference, σ² the inverse of the summed weights; without two halves there is no FSC
    to measure it (Scheres 2012, J. Mol. Biol. 415, eqs. 8 and 10). `tau2_fudge` multiplies τ².
    """
    weight = np.stack([mean_weight(plane, radius) for plane in sums]) * _CELLS
    power = np.stack([reference_power(transform, radius + 1) for transform in to_numpy(transforms)])
    return tau2_fudge * power * weight


def class_averages(sums: np.ndarray, radius: int, box: int, ssnr: np.ndarray) -> np.ndarray:
    """Return the averages (classes, box, box) float32; zeros for classes without particles."""
    return np.stack([to_real_space(divide(plane, radius, curve), box) for plane, curve in zip(sums, ssnr, strict=True)])


def class_shells(ssnr: np.ndarray) -> np.ndarray:
    """Return the last shell (classes,) in which each class holds more signal than noise, at least 1."""
    return np.array([max(last_shell_above(curve, 1.0), 1) for curve in ssnr])


def centre_of_mass(averages: np.ndarray) -> np.ndarray:
    """Return the centre of positive density (classes, 2), x and y, pixels from the box's centre; 0 for empty ones."""
    box = averages.shape[1]
    axis = np.arange(box) - box // 2
    positive = np.maximum(averages, 0.0).astype(np.float64)
    total = positive.sum((1, 2))
    safe = np.where(total > 0, total, 1.0)
    return np.stack([(positive.sum(1) @ axis) / safe, (positive.sum(2) @ axis) / safe], -1)


def random_seeds(count: int, classes: int, rng: np.random.Generator) -> np.ndarray:
    """Return a class for each of `count` particles: at random, equally many in each."""
    return rng.permutation(count) % classes
