"""Alignment of whole frames: each against the sum of all others, to sub-pixel convergence."""

from __future__ import annotations

import numpy as np

from cryosnake.numerics.backend import Array, namespace, to_numpy
from cryosnake.numerics.motion.correlation import (
    WeightedBand,
    correlation_map,
    make_band,
    moments,
    narrow,
    shifted_sum,
)

_COARSE = 4.0  # the first rounds take this many times the B-factor: a wider peak, found in more noise
_ROUNDS = 20
_CONVERGED = 0.01  # pixels
_LONGEST_STEP = 2.0  # pixels, of a Newton step


def align_frames(spectra: Array, band: WeightedBand, image: tuple[int, int], bfactor: float, max_shift: float,
                 ) -> np.ndarray:
    """Find the shift of every frame.

    Parameters
    ----------
    spectra
        rfft2 of the frames in the band, shape (f, rows, columns).
    band
        The band of the spectra.
    image
        (ny, nx) of the frames.
    bfactor
        That of the band, pixels².
    max_shift
        Largest shift between two neighbouring states of the alignment, pixels.

    Returns
    -------
    ndarray
        Shifts to apply, (f, 2) as x, y in pixels, the first frame's 0.
    """
    shifts = np.zeros((spectra.shape[0], 2))
    if spectra.shape[0] > 1:
        coarse = make_band(image, _COARSE * max(bfactor, 1.0), like=spectra)
        shifts = _align_by_maps(narrow(spectra, band, coarse), coarse, image, shifts, max_shift)
        shifts = align_by_steps(spectra, band, shifts)
    return shifts - shifts[0]


def _align_by_maps(spectra: Array, band: WeightedBand, image: tuple[int, int], shifts: np.ndarray,
                   max_shift: float) -> np.ndarray:
    """Move every frame to its highest correlation within `max_shift` until no frame moves by a pixel of the map."""
    step = np.array([image[1] / band.shape[1], image[0] / band.shape[0]])
    for _ in range(_ROUNDS):
        total = shifted_sum(spectra, shifts, band)
        moves = np.array([_peak(correlation_map(frame, total, shift, band), step, max_shift)
                          for frame, shift in zip(spectra, shifts, strict=True)])
        shifts = shifts + moves - moves.mean(axis=0)
        if np.abs(moves).max() < step.max():
            break
    return shifts


def _peak(correlation: Array, step: np.ndarray, max_shift: float) -> np.ndarray:
    """Return the highest point of a correlation map within `max_shift`, x and y in pixels of the movie."""
    xp = namespace(correlation)
    rows, columns = correlation.shape
    reach_x, reach_y = (max(1, min(int(max_shift / s), n // 2 - 1)) for s, n in zip(step, (columns, rows), strict=True))
    near = xp.roll(correlation, (reach_y, reach_x), axis=(0, 1))[: 2 * reach_y + 1, : 2 * reach_x + 1]
    window = to_numpy(near)
    y, x = np.unravel_index(int(window.argmax()), window.shape)
    at = np.array([x - reach_x + _vertex(window[y, max(x - 1, 0) : x + 2]),
                   y - reach_y + _vertex(window[max(y - 1, 0) : y + 2, x])])
    return at * step


def _vertex(three: np.ndarray) -> float:
    """Return the vertex of the parabola through three values, relative to the middle; 0 if there are not three."""
    if len(three) < 3:
        return 0.0
    curvature = three[0] - 2 * three[1] + three[2]
    return 0.0 if curvature >= 0 else float(0.5 * (three[0] - three[2]) / curvature)


def align_by_steps(spectra: Array, band: WeightedBand, shifts: np.ndarray) -> np.ndarray:
    """Refine shifts (f, 2) by Newton steps on the correlation until none is longer than 0.01 pixel."""
    for _ in range(_ROUNDS):
        total = shifted_sum(spectra, shifts, band)
        found = moments(spectra, total, shifts, band)
        moves = newton_steps(found, found.mean(axis=0))
        moves -= moves.mean(axis=0)
        shifts = shifts + moves
        if np.abs(moves).max() < _CONVERGED:
            break
    return shifts


def newton_steps(found: np.ndarray, typical: np.ndarray) -> np.ndarray:
    """Return Newton steps (n, 2) towards higher correlation, none longer than 2 pixels.

    Where a noisy correlation does not curve like a peak, the typical curvature is used.

    Parameters
    ----------
    found
        Moments, shape (n, 6).
    typical
        The moments' mean over all frames, shape (6,).
    """
    own = _curvature(found)
    usual = _curvature(typical[None])
    floor = max(float(np.linalg.eigvalsh(usual)[0, 0]), 1e-12 * float(np.abs(found[:, 0]).max() + 1e-300))
    poor = np.linalg.eigvalsh(own)[:, 0] < 0.3 * floor
    own[poor] = _at_least(usual, floor)
    steps = np.linalg.solve(own, found[:, 1:3, None])[..., 0]
    length = np.linalg.norm(steps, axis=1, keepdims=True)
    return steps * np.minimum(1.0, _LONGEST_STEP / np.maximum(length, 1e-12))


def _curvature(found: np.ndarray) -> np.ndarray:
    """Return minus the second derivatives as matrices, (n, 2, 2): positive definite at a peak."""
    return -found[:, [3, 4, 4, 5]].reshape(-1, 2, 2)


def _at_least(matrices: np.ndarray, floor: float) -> np.ndarray:
    values, vectors = np.linalg.eigh(matrices)
    return np.asarray((vectors * np.maximum(values, floor)[:, None, :]) @ np.swapaxes(vectors, 1, 2))
