"""The amplitude of predictions, and the noise of images, shell by shell."""

from __future__ import annotations

import numpy as np


def scale_of_shells(cross: np.ndarray, squares: np.ndarray, shell: np.ndarray) -> np.ndarray:
    """Return s (pixels,) ≥ 0, the least-squares factor of the predictions in each pixel's shell.

    `cross` (pixels,) is Σ Re(image · conj(prediction)), `squares` Σ |prediction|², `shell` (pixels,) int64.
    """
    found, expected = np.bincount(shell, cross), np.bincount(shell, squares)
    scale = np.where(expected > 0, found / np.where(expected > 0, expected, 1.0), 0.0)
    return np.asarray(np.maximum(scale, 0.0)[shell])


def noise_of_shells(power: np.ndarray, count: int, shell: np.ndarray) -> np.ndarray:
    """Return σ² (pixels,), the mean |image|² of each pixel's shell: signal is little of it."""
    members = np.maximum(np.bincount(shell), 1)
    mean = np.bincount(shell, power) / members / max(count, 1)
    return np.asarray(np.where(mean > 0, mean, 1.0)[shell])
