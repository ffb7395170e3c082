"""Particle images to Fourier pixels: shift, scale, mask, transform, CTF."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from cryosnake.numerics.aberrations import even_phase
from cryosnake.numerics.backend import Array, fft_of, is_gpu, namespace
from cryosnake.numerics.ctf import Defocus, Microscope, ctf_phase
from cryosnake.numerics.fsc import sum_over_axes
from cryosnake.numerics.refine.grids.bands import Band


def soft_disc(box: int, radius: float, edge: float, dimensions: int = 2) -> np.ndarray:
    """Return a disc (or ball) float32 about box // 2: 1 up to `radius`, a raised cosine to 0 at `radius + edge`, px."""
    axis = (np.arange(box) - box // 2).astype(np.float64) ** 2
    ramp = np.clip((np.sqrt(sum_over_axes([axis] * dimensions)) - radius) / edge, 0.0, 1.0)
    return (0.5 + 0.5 * np.cos(np.pi * ramp)).astype(np.float32)


def shift_images(images: Array, shifts: np.ndarray) -> Array:
    """Return images (n, box, box) moved by whole pixels, shifts (n, 2) x and y; pixels from outside are 0."""
    xp, box = namespace(images), images.shape[1]
    source = xp.arange(box) - xp.asarray(shifts, xp.int64)[:, :, None]  # (n, 2, box)
    inside = (source >= 0) & (source < box)
    source = xp.clip(source, 0, box - 1)
    rows, columns = source[:, 1, :, None], source[:, 0, None, :]
    moved = images[xp.arange(len(images))[:, None, None], rows, columns]
    moved *= inside[:, 1, :, None]
    moved *= inside[:, 0, None, :]
    return moved


def fill_outside(images: Array, mask: Array, noise: Array | None) -> Array:
    """Return images with everything outside the mask replaced by 0, or by `noise` (n, box, box)."""
    if noise is None:
        return images * mask
    return images * mask + noise * (1.0 - mask)


def fourier_pixels(images: Array, band: Band) -> Array:
    """Return the transforms at the band's pixels, complex64 (n, pixels), in RELION's scale: Σ x e^{−2πi…} / box².

    The phase origin is pixel box // 2.
    """
    xp, fft, box = namespace(images), fft_of(images), band.box
    transform = fft.rfft2(fft.ifftshift(images, axes=(1, 2)))
    kx, ky = (xp.asarray(k, xp.int64) for k in band.frequencies(images))
    return (transform[:, ky % box, kx] / np.float32(box * box)).astype(xp.complex64)


def images_of_pixels(transforms: Array, band: Band) -> Array:
    """Return the images (n, box, box) float32 of sums Σ x e^{−2πi…} (n, pixels) at a band's pixels, 0 at others.

    The phase origin is pixel box // 2: with the whole band, `fourier_pixels` times box² is undone.
    """
    xp, fft, box = namespace(transforms), fft_of(transforms), band.box
    kx, ky = (xp.asarray(k, xp.int64) for k in band.frequencies(transforms))
    whole = xp.zeros((len(transforms), box, box // 2 + 1), xp.complex64)
    whole[:, ky % box, kx] = transforms
    whole[:, -ky[kx == 0] % box, 0] = xp.conj(transforms[:, kx == 0])
    return fft.fftshift(fft.irfft2(whole, s=(box, box)), axes=(1, 2)).astype(xp.float32)


def shell_power(transforms: Array, band: Band) -> Array:
    """Return Σ|X|² over the band's pixels of each shell, (n, shells) float64."""
    xp = namespace(transforms)
    return shell_sums(transforms.real.astype(xp.float64) ** 2 + transforms.imag.astype(xp.float64) ** 2, band)


def shell_sums(values: Array, band: Band) -> Array:
    """Return the sums (n, shells) of values (n, pixels) over the band's pixels of each shell; float64 on a GPU."""
    if not is_gpu(values):
        return np.add.reduceat(values, band.shell_starts(), axis=1)
    xp = namespace(values)
    shell = xp.asarray(band.shell)  # CuPy has no reduceat: a matrix product with the shells' indicators
    member = (shell[:, None] == xp.arange(int(band.shell[-1]) + 1)).astype(xp.float64)
    return values.astype(xp.float64) @ member


def ctf_at(band: Band, defocus: Mapping[str, np.ndarray], pixel_size: float, microscope: Microscope, *,
           even: Sequence[float] = (), intact_first_peak: bool = False, like: Array | None = None) -> Array:
    """Return CTFs (n, pixels) float32, on the device of `like` (in host memory without it).

    Parameters
    ----------
    defocus : mapping of (n,) arrays
        "u" and "v" in Å, "angle" and "phase_shift" in degrees, "b_factor" in Å², "scale".
    pixel_size, microscope
        Å; of one optics group.
    even : sequence of float
        Its even aberrations, see `numerics/aberrations.py`.
    intact_first_peak : bool
        1 up to the first peak, for particles with little signal at low resolution.
    """
    like = band.kx if like is None else like
    xp, (kx, ky) = namespace(like), band.frequencies(like)
    squared = ((kx**2 + ky**2) / (band.box * pixel_size) ** 2)[None, :]
    azimuth = xp.arctan2(ky, kx)[None, :]
    u, v, angle, shift, b_factor, scale = (xp.asarray(np.asarray(defocus[key], np.float32))[:, None] for key in
                                           ("u", "v", "angle", "phase_shift", "b_factor", "scale"))
    phase = ctf_phase(squared, azimuth, Defocus(u, v, angle, shift), microscope)
    if any(even):
        step = 1.0 / (band.box * pixel_size)
        phase = phase - even_phase(even, kx * step, ky * step)
    value = xp.sin(phase)
    if intact_first_peak:
        beyond = xp.abs(phase) >= np.pi / 2
        first = xp.where(beyond.any(1), beyond.argmax(1), beyond.shape[1])
        value = xp.where(xp.arange(beyond.shape[1]) < first[:, None], 1.0, value)
    if np.any(np.asarray(defocus["b_factor"]) != 0.0):
        value = value * xp.exp(-b_factor / 4.0 * squared)
    return (value * scale).astype(xp.float32)
