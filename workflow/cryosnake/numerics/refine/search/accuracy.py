"""Accuracy of orientations and shifts at the current resolution and noise."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.spatial.transform import Rotation

from cryosnake.numerics.backend import Array, namespace, to_numpy
from cryosnake.numerics.projection import central_slices
from cryosnake.numerics.refine.grids.bands import Band
from cryosnake.numerics.refine.grids.references import ClassReferences

_LIKELIHOOD_RATIO = np.log(100.0)  # two poses are distinguished when one is a hundred times more likely
_ANGLES = np.geomspace(0.05, 30.0, 20)  # degrees
_SHIFTS = np.geomspace(0.02, 10.0, 20)  # pixels


def estimate_accuracy(transform: Array, poses: np.ndarray, ctf: Array, band: Band, rng: np.random.Generator,
                      ) -> tuple[float, float]:
    """Return the mean smallest rotation (degrees) and shift (pixels) that changes the likelihood a hundredfold.

    Parameters
    ----------
    transform : (2m + 1, 2m + 1, m + 1) complex64
        The reference.
    poses : (n, 3, 3)
        A hundred particles or so are enough.
    ctf : (n, pixels) float32
        CTFs over the square root of the noise power.
    band : Band
    rng : Generator
        Draws the axis and direction of each particle's disturbance.

    Notes
    -----
    Σ c² |P − P'|² is the expected log-likelihood ratio of the true pose to the disturbed one (Scheres 2012,
    J. Struct. Biol. 180, section 2.5).
    """
    true = _complex(transform, poses, band)
    axes = rng.normal(size=(len(poses), 3))
    return _accuracies(true, lambda angles: _complex(transform, _turned(poses, axes, angles), band), ctf, band, rng)


def estimate_plane_accuracy(references: ClassReferences, number: int, psi: np.ndarray, ctf: np.ndarray, band: Band,
                            rng: np.random.Generator) -> tuple[float, float]:
    """Return what `estimate_accuracy` does for members at psi (n,) degrees of the class average `number`."""
    classes = np.full(len(psi), number)
    true = references.at(classes, psi, band)
    return _accuracies(true, lambda angles: references.at(classes, psi + angles, band), ctf, band, rng)


def _accuracies(true: Array, turned: Callable[[np.ndarray], Array], ctf: Array, band: Band, rng: np.random.Generator,
                ) -> tuple[float, float]:
    """Return both estimates: `turned` gives the slices (n, pixels) of poses turned by angles (n,), degrees.

    Shifts have a random direction for each particle.
    """
    heading = rng.uniform(0, 2 * np.pi, len(true))
    unit = np.stack([np.cos(heading), np.sin(heading)], -1)

    def shifted(lengths: np.ndarray) -> Array:
        return true * band.phases(unit * lengths[:, None], true)

    return (_crossing(lambda angles: _distance(true, turned(angles), ctf), _ANGLES, len(true)),
            _crossing(lambda lengths: _distance(true, shifted(lengths), ctf), _SHIFTS, len(true)))


def _complex(transform: Array, poses: np.ndarray, band: Band) -> Array:
    real, imaginary = central_slices(transform, poses, *band.frequencies(transform))
    return real + 1j * imaginary


def _turned(poses: np.ndarray, axes: np.ndarray, angles: np.ndarray) -> np.ndarray:
    unit = axes / np.linalg.norm(axes, axis=1, keepdims=True)
    return Rotation.from_rotvec(angles[:, None] * unit, degrees=True).as_matrix() @ poses


def _distance(first: Array, second: Array, ctf: Array) -> np.ndarray:
    return to_numpy((namespace(first).abs(ctf * (first - second)) ** 2).sum(1))


def _crossing(errors_at: Callable[[np.ndarray], np.ndarray], sizes: np.ndarray, count: int) -> float:
    """Return the mean size at which the errors of `count` particles first pass the likelihood ratio.

    `errors_at` gives the errors (n,) of disturbances (n,), which increase with them: the size is found by halving.
    Particles whose errors never pass the ratio count with the largest size, those whose errors always do with the
    smallest.
    """
    low, high = np.zeros(count, np.int64), np.full(count, len(sizes))
    while (low < high).any():
        middle = np.minimum((low + high) // 2, len(sizes) - 1)
        above = errors_at(sizes[middle]) > _LIKELIHOOD_RATIO
        high, low = np.where(above, middle, high), np.where(above, low, middle + 1)
    first = np.minimum(high, len(sizes) - 1)
    before = np.maximum(first - 1, 0)
    below, beyond = (np.log(np.maximum(errors_at(sizes[k]), 1e-12)) for k in (before, first))
    part = np.clip((np.log(_LIKELIHOOD_RATIO) - below) / np.maximum(beyond - below, 1e-6), 0.0, 1.0)
    return float(np.exp(np.log(sizes[before]) * (1 - part) + np.log(sizes[first]) * part).mean())
