"""Particle images to Fourier pixels: shift, scale, mask, transform, CTF."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import scipy.fft

from cryosnake.numerics.ctf import ctf_phase
from cryosnake.numerics.refine.bands import Band


def soft_disc(box: int, radius: float, edge: float, dimensions: int = 2) -> np.ndarray:
    """Return a disc (or ball) float32 about box // 2: 1 up to `radius`, a raised cosine to 0 at `radius + edge`, px."""
    axis = (np.arange(box) - box // 2).astype(np.float64) ** 2
    squared = axis
    for _ in range(dimensions - 1):
        squared = axis.reshape(-1, *(1,) * squared.ndim) + squared
    ramp = np.clip((np.sqrt(squared) - radius) / edge, 0.0, 1.0)
    return (0.5 + 0.5 * np.cos(np.pi * ramp)).astype(np.float32)


def shift_images(images: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """Return images (n, box, box) moved by whole pixels, shifts (n, 2) x and y; what comes in from outside is 0."""
    box = images.shape[1]
    source = np.arange(box) - np.asarray(shifts, np.int64)[:, :, None]  # (n, 2, box)
    inside = (source >= 0) & (source < box)
    source = np.clip(source, 0, box - 1)
    rows, columns = source[:, 1, :, None], source[:, 0, None, :]
    moved = images[np.arange(len(images))[:, None, None], rows, columns]
    moved *= inside[:, 1, :, None]
    moved *= inside[:, 0, None, :]
    return moved


def fill_outside(images: np.ndarray, mask: np.ndarray, noise: np.ndarray | None) -> np.ndarray:
    """Return images with what lies outside the mask replaced by 0, or by `noise` (n, box, box)."""
    if noise is None:
        return images * mask
    return images * mask + noise * (1.0 - mask)


def fourier_pixels(images: np.ndarray, band: Band) -> np.ndarray:
    """Return the transforms at the band's pixels, complex64 (n, pixels), in RELION's scale: Σ x e^{−2πi…} / box².

    The phase origin is pixel box // 2.
    """
    box = band.box
    transform = scipy.fft.rfft2(scipy.fft.ifftshift(images, axes=(1, 2)))
    kx, ky = band.kx.astype(np.int64), band.ky.astype(np.int64) % box
    return (transform[:, ky, kx] / np.float32(box * box)).astype(np.complex64)


def shell_power(transforms: np.ndarray, band: Band) -> np.ndarray:
    """Return Σ|X|² over the band's pixels of each shell, (n, shells) float64."""
    power = transforms.real.astype(np.float64) ** 2 + transforms.imag.astype(np.float64) ** 2
    return np.add.reduceat(power, band.shell_starts(), axis=1)


def ctf_at(band: Band, defocus: Mapping[str, np.ndarray], *, pixel_size: float, voltage: float, cs: float,
           amplitude_contrast: float, intact_first_peak: bool = False) -> np.ndarray:
    """Return CTFs (n, pixels) float32.

    Parameters
    ----------
    defocus : mapping of (n,) arrays
        "u" and "v" in Å, "angle" and "phase_shift" in degrees, "b_factor" in Å², "scale".
    pixel_size, voltage, cs, amplitude_contrast : float
        Å, kV, mm, fraction: those of one optics group.
    intact_first_peak : bool
        1 up to the first peak, for particles with little signal at low resolution.
    """
    squared = ((band.kx**2 + band.ky**2) / (band.box * pixel_size) ** 2)[None, :]
    azimuth = np.arctan2(band.ky, band.kx)[None, :]
    u, v, angle, shift, b_factor, scale = (np.asarray(defocus[key], np.float32)[:, None] for key in
                                           ("u", "v", "angle", "phase_shift", "b_factor", "scale"))
    phase = ctf_phase(squared, azimuth, u, v, angle, voltage=voltage, cs=cs, amplitude_contrast=amplitude_contrast,
                      phase_shift=shift)
    value = np.sin(phase)
    if intact_first_peak:
        value = np.where(np.maximum.accumulate(np.abs(phase), axis=1) < np.pi / 2, 1.0, value)
    if np.any(b_factor != 0.0):
        value = value * np.exp(-b_factor / 4.0 * squared)
    return (value * scale).astype(np.float32)
