"""Resampling of maps over the same field of view by cropping or padding their Fourier transforms."""

from __future__ import annotations

import numpy as np
import scipy.fft


def resample_map(volume: np.ndarray, box: int) -> np.ndarray:
    """Return the map (box, box, box) float32 of the same extent in Å; both boxes even, the origin stays at box // 2.

    Densities keep their values. The frequencies at the smaller Nyquist limit and beyond are left out.
    """
    old = volume.shape[0]
    if old == box:
        return np.asarray(volume, np.float32)
    transform = scipy.fft.fftshift(scipy.fft.rfftn(scipy.fft.ifftshift(volume)), axes=(0, 1))
    reach = min(old, box) // 2 - 1
    result = np.zeros((box, box, box // 2 + 1), np.complex64)
    target, source = (slice(n // 2 - reach, n // 2 + reach + 1) for n in (box, old))
    result[target, target, : reach + 1] = transform[source, source, : reach + 1] * (box / old) ** 3
    real = scipy.fft.irfftn(scipy.fft.ifftshift(result, axes=(0, 1)), s=(box,) * 3)
    return np.asarray(scipy.fft.fftshift(real), np.float32)
