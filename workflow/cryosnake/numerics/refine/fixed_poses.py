"""The expectation step of a classification without alignment: each particle at its own pose, in every class.

The same likelihood as in `expectation` (Scheres 2012, J. Mol. Biol. 415, eq. 6), on a list of particle × class in place
of a grid: one slice per particle and class, so that an iteration costs little more than reading the images.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cryosnake.numerics.projection import central_slices
from cryosnake.numerics.refine.bands import Band
from cryosnake.numerics.refine.expectation import Operands
from cryosnake.numerics.refine.insertion import insert_slices

_LEAST = 1e-3  # classes of less probability are left out, as the search leaves out the last 0.1 %


@dataclass(frozen=True)
class ClassOutcome:
    """What is known about the n particles of a block.

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


def classify_at_poses(operands: Operands, transforms: np.ndarray, poses: np.ndarray, remainder: np.ndarray, band: Band,
                      log_prior: np.ndarray, sums: np.ndarray) -> ClassOutcome:
    """Weigh the classes of each particle at its pose, and add the block's back-projections to `sums`.

    Parameters
    ----------
    operands : Operands
        The block, at the pixels of `band`.
    transforms : (classes, 2m + 1, 2m + 1, m + 1) complex64
        The maps, as in `MapReference`.
    poses : (n, 3, 3)
    remainder : (n, 2)
        Shift in pixels, x and y, on top of `operands.offsets` (which are whole pixels).
    log_prior : (classes,) or (n, classes)
        Of the classes; one of less than −1e4 is never chosen.
    sums : (threads, classes, 2m + 1, 2m + 1, m + 1, 3) float32
        Gain the weighted images and squared CTFs.
    """
    phases = band.phases(remainder)
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


def _shell_terms(operands: Operands, masked: np.ndarray, transform: np.ndarray, poses: np.ndarray, band: Band,
                 ) -> tuple[np.ndarray, np.ndarray]:
    real, imaginary = central_slices(transform, poses, band.kx, band.ky)
    starts = band.shell_starts()
    cross = np.add.reduceat(masked.real * real + masked.imag * imaginary, starts, axis=1)
    power = np.add.reduceat(operands.ctf2 * (real**2 + imaginary**2), starts, axis=1)
    return cross.astype(np.float64), power.astype(np.float64)


def _insert(operands: Operands, moved: np.ndarray, poses: np.ndarray, band: Band, weights: np.ndarray,
            sums: np.ndarray) -> None:
    for number in range(weights.shape[1]):
        rows = np.flatnonzero(weights[:, number])
        weight = weights[rows, number, None].astype(np.float32)
        data = moved[rows] * weight
        insert_slices(sums[:, number], poses[rows], band.kx, band.ky, np.ascontiguousarray(data.real),
                      np.ascontiguousarray(data.imag), operands.ctf2[rows] * weight)


def scale_terms(operands: Operands, transform: np.ndarray, poses: np.ndarray, remainder: np.ndarray, band: Band,
                ) -> tuple[float, float]:
    """Return Σ⟨S c y, P⟩ and Σ⟨c², |P|²⟩ over particles at their poses: their ratio scales the map."""
    cross, power = _shell_terms(operands, operands.masked * band.phases(remainder), transform, poses, band)
    return float(cross.sum()), float(power.sum())
