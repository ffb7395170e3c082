"""The diagnostic image of a CTF fit: the spectrum on one side, the model on the other."""

from __future__ import annotations

import numpy as np

from cryosnake.numerics.ctf import Microscope, ctf
from cryosnake.numerics.ctf_fit.model import CtfFit
from cryosnake.numerics.ctf_fit.rings import Background


def diagnostic_image(
    spectrum: np.ndarray,  # (n, n) amplitudes, zero frequency at the centre
    pixel_size: float,  # Å
    fit: CtfFit,
    microscope: Microscope,
    resolution_low: float,  # Å
) -> np.ndarray:
    """Return (n, n) float32: the flattened spectrum, left half replaced by CTF² of the fit, out to its last ring.

    As in the .ctf images of CTFFIND. The spectrum is scaled to 0 … 1 (3 standard deviations about the mean of its
    background), and so is the model, so that one grey scale fits both halves.
    """
    size = spectrum.shape[0]
    axis = np.arange(size) - size // 2
    kx, ky = np.meshgrid(axis, axis)
    radius, step = np.hypot(kx, ky), 1.0 / (size * pixel_size)
    image = _flattened(spectrum, radius, step, resolution_low)
    transfer = ctf((radius * step) ** 2, np.arctan2(ky, kx), fit.defocus, microscope)
    model = np.where(radius * step <= 1.0 / fit.fit_resolution, transfer**2, 0.5)
    return np.where(kx < 0, model, image).astype(np.float32)


def _flattened(spectrum: np.ndarray, radius: np.ndarray, step: float, resolution_low: float) -> np.ndarray:
    ring = np.rint(radius).astype(np.int64)
    count = np.bincount(ring.ravel())
    profile = np.bincount(ring.ravel(), spectrum.ravel()) / count
    first, last = int(np.ceil(1.0 / (resolution_low * step))), spectrum.shape[0] // 2
    frequency = np.arange(first, last) * step
    smooth = np.exp(Background(frequency, count[first:last]).fit(np.log(np.maximum(profile[first:last], 1e-12))))
    background = np.concatenate([profile[:first], smooth, np.full(count.size - last, smooth[-1])])
    flat = spectrum / np.maximum(background, 1e-12)[ring] - 1.0
    deviation = np.std(flat[(ring >= first) & (ring < last)]) + 1e-12
    return np.clip(0.5 + flat / (3.0 * deviation), 0.0, 1.0)
