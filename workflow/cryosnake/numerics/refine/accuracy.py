"""How finely orientations and shifts can be told apart at the present resolution and noise."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from cryosnake.numerics.backend import Array, namespace, to_numpy
from cryosnake.numerics.projection import central_slices
from cryosnake.numerics.refine.bands import Band
from cryosnake.numerics.refine.references import ClassReferences

_LIKELIHOOD_RATIO = np.log(100.0)  # two poses are told apart when one is a hundred times more likely
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
    angle_errors = np.stack([_distance(true, _complex(transform, _turned(poses, axes, angle), band), ctf)
                             for angle in _ANGLES], 1)
    heading = rng.uniform(0, 2 * np.pi, len(poses))
    unit = np.stack([np.cos(heading), np.sin(heading)], -1)
    shift_errors = np.stack([_distance(true, true * band.phases(unit * length, true), ctf) for length in _SHIFTS], 1)
    return _crossing(angle_errors, _ANGLES), _crossing(shift_errors, _SHIFTS)


def estimate_plane_accuracy(references: ClassReferences, number: int, psi: np.ndarray, ctf: np.ndarray, band: Band,
                            rng: np.random.Generator) -> tuple[float, float]:
    """Return what `estimate_accuracy` does for members at psi (n,) degrees of the class average `number`."""
    classes = np.full(len(psi), number)
    true = references.at(classes, psi, band)
    angle_errors = np.stack([_distance(true, references.at(classes, psi + angle, band), ctf) for angle in _ANGLES], 1)
    heading = rng.uniform(0, 2 * np.pi, len(psi))
    unit = np.stack([np.cos(heading), np.sin(heading)], -1)
    shift_errors = np.stack([_distance(true, true * band.phases(unit * length), ctf) for length in _SHIFTS], 1)
    return _crossing(angle_errors, _ANGLES), _crossing(shift_errors, _SHIFTS)


def _complex(transform: Array, poses: np.ndarray, band: Band) -> Array:
    real, imaginary = central_slices(transform, poses, *band.frequencies(transform))
    return real + 1j * imaginary


def _turned(poses: np.ndarray, axes: np.ndarray, angle: float) -> np.ndarray:
    unit = axes / np.linalg.norm(axes, axis=1, keepdims=True)
    return Rotation.from_rotvec(angle * unit, degrees=True).as_matrix() @ poses


def _distance(first: Array, second: Array, ctf: Array) -> np.ndarray:
    return to_numpy((namespace(first).abs(ctf * (first - second)) ** 2).sum(1))


def _crossing(errors: np.ndarray, sizes: np.ndarray) -> float:
    """Mean, over the rows, of where the (rising) errors first pass the likelihood ratio; the ends where they do not."""
    above = errors > _LIKELIHOOD_RATIO
    first = np.where(above.any(1), above.argmax(1), len(sizes) - 1)
    before = np.maximum(first - 1, 0)
    rows = np.arange(len(errors))
    low, high = (np.log(np.maximum(errors[rows, k], 1e-12)) for k in (before, first))
    part = np.clip((np.log(_LIKELIHOOD_RATIO) - low) / np.maximum(high - low, 1e-6), 0.0, 1.0)
    return float(np.exp(np.log(sizes[before]) * (1 - part) + np.log(sizes[first]) * part).mean())
