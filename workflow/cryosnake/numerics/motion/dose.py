"""Dose weighting: Grant & Grigorieff, eLife 4, e06980 (2015)."""

from __future__ import annotations

import numpy as np

# Eq. 3: critical exposure at 300 kV, e/Å², k in 1/Å
_A, _B, _C = 0.245, -1.665, 2.81
# Radiation damage per electron grows as the energy falls; 200 kV: the paper's 0.8. 100 kV: RELION 5 uses 0.64.
_VOLTAGE_FACTOR = {300: 1.0, 200: 0.8, 100: 0.64}


def critical_exposure(frequency: np.ndarray, voltage: float) -> np.ndarray:
    """Return the critical exposure (eq. 3), e/Å², at spatial frequencies in 1/Å; infinite at 0.

    Raises
    ------
    ValueError
        When the voltage is not 100, 200 or 300 kV (within 2 kV): the curve is not known for others.
    """
    for known, factor in _VOLTAGE_FACTOR.items():
        if abs(voltage - known) <= 2:
            with np.errstate(divide="ignore"):
                return factor * (_A * np.power(np.asarray(frequency, dtype=np.float64), _B) + _C)
    raise ValueError(f"dose weighting is known for 100, 200 and 300 kV, not for {voltage} kV")


def accumulated_dose(n_frames: int, dose_per_frame: float, pre_exposure: float, first: int = 0) -> np.ndarray:
    """Return the dose at the end of each of `n_frames` frames from frame `first` (counted from 0), e/Å²."""
    return pre_exposure + dose_per_frame * (first + 1.0 + np.arange(n_frames))


def dose_exponents(shape: tuple[int, int], pixel_size: float, voltage: float) -> np.ndarray:
    """Return -1 / (2 Ne(k)) on the half spectrum of an image: a frame of dose N is weighted by exp(N times it).

    Parameters
    ----------
    shape
        (ny, nx) of the image.
    pixel_size
        Å.
    voltage
        kV.

    Returns
    -------
    ndarray
        float32, shape (ny, nx // 2 + 1).
    """
    squared = np.fft.fftfreq(shape[0], pixel_size)[:, None] ** 2 + np.fft.rfftfreq(shape[1], pixel_size)[None] ** 2
    return (-0.5 / critical_exposure(np.sqrt(squared), voltage)).astype(np.float32)


def dose_normalisation(exponents: np.ndarray, doses: np.ndarray) -> np.ndarray:
    """Return 1 / sqrt(Σ q²), eq. 6: the noise of the sum is then as white as that of one frame.

    Parameters
    ----------
    exponents
        Of `dose_exponents`.
    doses
        Accumulated dose of each frame, e/Å², shape (f,).
    """
    total = np.zeros_like(exponents)
    for dose in doses:
        total += np.exp(2 * np.float32(dose) * exponents)
    # At very high doses all weights vanish: then only the least damaged frame counts, which avoids 0/0.
    return 1 / np.sqrt(np.maximum(total, np.float32(1e-30)))
