"""Smoothing of whole-frame motion in time, with a strength determined by the data themselves.

The measured shifts y are the true ones plus noise of a known variance v (from the curvature of the correlations). The
true ones have second differences of variance a, the same for all frames, as in a random walk of the velocity. Then
D y ~ N(0, a I + v D Dᵀ) with D the second differences, and a is chosen to maximise this probability (evidence, or
type II maximum likelihood; MacKay, Neural Computation 4, 415 (1992)). Clean movies have a ≫ v and stay unchanged.
"""

from __future__ import annotations

import numpy as np

_GRID = 10.0 ** np.arange(-5.0, 5.01, 0.25)  # a / v


def smooth_shifts(shifts: np.ndarray, variance: float) -> np.ndarray:
    """Return the most probable shifts.

    Parameters
    ----------
    shifts
        Measured, (f, 2), pixels.
    variance
        Of their noise, per axis, pixels².

    Returns
    -------
    ndarray
        (f, 2).
    """
    count = len(shifts)
    if count < 5 or not variance > 0:
        return shifts
    second = np.diff(np.eye(count), n=2, axis=0)
    values, vectors = np.linalg.eigh(second @ second.T)
    seen = (vectors.T @ second @ shifts) ** 2
    spread = variance * (_GRID[:, None] + values)  # variance of each component, for every a / v
    evidence = -0.5 * (2 * np.log(spread) + seen.sum(axis=1) / spread).sum(axis=1)
    ratio = _GRID[int(np.argmax(evidence))]
    return np.linalg.solve(np.eye(count) + second.T @ second / ratio, shifts)
