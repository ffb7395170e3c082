"""The expectation step of a classification without alignment: each particle at its own pose, in every class.

The same likelihood as in `expectation` (Scheres 2012, J. Mol. Biol. 415, eq. 6), on a list of particle × class in place
of a grid: one slice per particle and class, so that an iteration costs little more than reading the images.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cryosnake.numerics.backend import Array, namespace, to_numpy
from cryosnake.numerics.projection import central_slices
from cryosnake.numerics.refine.grids.bands import Band
from cryosnake.numerics.refine.grids.images import shell_sums
from cryosnake.numerics.refine.grids.samples import Operands, split
from cryosnake.numerics.refine.sums.insertion import insert_slices

_LEAST = 1e-3  # classes of less probability are left out, as the search leaves out the last 0.1 %


@dataclass(frozen=True)
class ClassOutcome:
    """Outcome for the n particles of a block.

    Attributes
    ----------
    weights : (n, classes) float64
        Probability of each class; a row adds up to 1.
    log_likelihood : (n,) float64
        Log of the summed weights, up to the constant that all classes share.
    cross, power : (n, shells) float64
        Expectations of Re⟨S c y, P⟩ and c²|P|² over the masked, whitened image.
    """

    weights: np.ndarray
    log_likelihood: np.ndarray
    cross: np.ndarray
    power: np.ndarray


def classify_at_poses(operands: Operands, transforms: Array, poses: np.ndarray, remainder: np.ndarray, band: Band,
                      log_prior: np.ndarray, sums: Array) -> ClassOutcome:
    """Weigh the classes of each particle at its pose, and add the block's back-projections to `sums`.

    Parameters
    ----------
    operands : Operands
        The block, at the pixels of `band`; transforms and sums must be on the same device (host memory or GPU).
    transforms : (classes, 2m + 1, 2m + 1, m + 1) complex64
        The maps, as in `MapReference`.
    poses : (n, 3, 3)
    remainder : (n, 2)
        Shift in pixels, x and y, on top of `operands.offsets` (which are whole pixels).
    log_prior : (classes,) or (n, classes)
        Of the classes; one of less than −1e4 is never chosen.
    sums : (threads, classes, 2m + 1, 2m + 1, m + 1, 3) float32
        Gain the weighted images and squared CTFs. On a GPU (1, …, 4).
    """
    phases = band.phases(remainder, operands.masked)
    masked = operands.masked * phases
    terms = [_shell_terms(operands, masked, transform, poses, band) for transform in transforms]
    cross, power = (np.stack(part, 1) for part in zip(*terms, strict=True))  # (n, classes, shells)
    scores = 2.0 * cross.sum(2) - power.sum(2) + log_prior
    top = scores.max(1, keepdims=True)
    weights = np.exp(scores - top)
    log_likelihood = top[:, 0] + np.log(weights.sum(1))
    weights /= weights.sum(1, keepdims=True)
    weights[weights < _LEAST] = 0.0
    weights /= weights.sum(1, keepdims=True)
    _insert(operands, operands.raw * phases, poses, band, weights, sums)
    return ClassOutcome(weights, log_likelihood, (cross * weights[:, :, None]).sum(1),
                        (power * weights[:, :, None]).sum(1))


def _shell_terms(operands: Operands, masked: Array, transform: Array, poses: np.ndarray, band: Band,
                 ) -> tuple[np.ndarray, np.ndarray]:
    real, imaginary = central_slices(transform, poses, *band.frequencies(transform))
    cross = shell_sums(masked.real * real + masked.imag * imaginary, band)
    power = shell_sums(operands.ctf2 * (real**2 + imaginary**2), band)
    return to_numpy(cross).astype(np.float64), to_numpy(power).astype(np.float64)


def _insert(operands: Operands, moved: Array, poses: np.ndarray, band: Band, weights: np.ndarray, sums: Array) -> None:
    xp, (kx, ky) = namespace(sums), band.frequencies(sums)
    for number in range(weights.shape[1]):
        rows = np.flatnonzero(weights[:, number])
        weight, own = xp.asarray(weights[rows, number, None].astype(np.float32)), xp.asarray(rows)
        data = moved[own] * weight
        insert_slices(sums[:, number], poses[rows], kx, ky, split(data), operands.ctf2[own] * weight)


def scale_terms(operands: Operands, transform: Array, poses: np.ndarray, remainder: np.ndarray, band: Band,
                ) -> tuple[float, float]:
    """Return Σ⟨S c y, P⟩ and Σ⟨c², |P|²⟩ over particles at their poses: their ratio scales the map."""
    phases = band.phases(remainder, operands.masked)
    cross, power = _shell_terms(operands, operands.masked * phases, transform, poses, band)
    return float(cross.sum()), float(power.sum())
