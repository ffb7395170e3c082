"""Signal in class averages: two halves of the members compared with two halves of noise aligned the same way.

Images of noise that were aligned to an average agree with each other. To measure how much, phases of the members are
drawn at random, which keeps their power and mask, and the resulting images are aligned to the same average.
Any agreement of the real halves beyond that is signal (Chen et al. 2013, Ultramicroscopy 135, 24, in two dimensions).
"""

from __future__ import annotations

import numpy as np
import scipy.fft

from cryosnake.numerics.refine.grids.bands import Band
from cryosnake.numerics.refine.sums.insertion import complete_plane
from cryosnake.numerics.refine.sums.reconstruction import radii, shell_means

_PADDING = 2


def random_phases(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return images (n, box, box) with the power of the given ones at each Fourier pixel, and random phases."""
    box = images.shape[-1]
    noise = scipy.fft.rfft2(rng.standard_normal(images.shape, np.float32))  # of a real image: Friedel's law holds
    noise /= np.maximum(np.abs(noise), 1e-12)
    return scipy.fft.irfft2(np.abs(scipy.fft.rfft2(images)) * noise, s=(box, box)).astype(np.float32)


def best_in_plane(images: np.ndarray, ctf2: np.ndarray, slices: tuple[np.ndarray, np.ndarray], band: Band,
                  shifts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the most probable orientation (n,) and shift (n,) of images in one average.

    Parameters
    ----------
    images, ctf2 : (n, pixels)
        CTF times image, and squared CTF, whitened.
    slices : (orientations, pixels) twice
        Real and imaginary parts of the average at all angles.
    band : Band
    shifts : (t, 2)
        Pixels.
    """
    phases = band.phases(shifts)
    stacked = np.concatenate(slices, 1).T
    norm = ctf2 @ (slices[0] ** 2 + slices[1] ** 2).T
    best = np.empty(len(images), np.int64)
    for begin in range(0, len(images), 32):
        rows = slice(begin, begin + 32)
        moved = 2.0 * images[rows, None, :] * phases
        left = np.concatenate([moved.real, moved.imag], -1).reshape(-1, stacked.shape[0])
        scores = (left @ stacked).reshape(len(images[rows]), len(shifts), -1) - norm[rows, None, :]
        best[rows] = scores.reshape(len(scores), -1).argmax(1)
    return best % len(slices[0]), best // len(slices[0])


def half_averages(sums: np.ndarray, radius: int) -> np.ndarray:
    """Return the unregularised averages (2, …) of two planes of sums (2, …, 3), completed in place."""
    for plane in sums:
        complete_plane(plane)
    weight = sums[..., 2]
    inside = (weight > 0) & (radii(sums.shape[1:3], _PADDING) <= radius + 0.5)
    data = sums[..., 0] + 1j * sums[..., 1]
    return np.divide(data, weight, out=np.zeros_like(data), where=inside)


def cross_spectra(first: np.ndarray, second: np.ndarray, shells: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean of Re⟨A, B*⟩ and √(mean |A|² · mean |B|²) by shell, (shells,), of two averages."""
    index = np.minimum(np.rint(radii(first.shape, _PADDING)).astype(np.int64), shells)
    powers = [shell_means(np.abs(image) ** 2, index, shells) for image in (first, second)]
    return shell_means((first * second.conj()).real, index, shells), np.sqrt(powers[0] * powers[1])


def correlation(cross: np.ndarray, norm: np.ndarray) -> np.ndarray:
    """Return cross / norm, 0 where the norm is 0."""
    return np.divide(cross, norm, out=np.zeros_like(cross), where=norm > 0)


def true_correlation(real: np.ndarray, null: np.ndarray) -> np.ndarray:
    """Return (real − null) / (1 − null): the Fourier ring correlation minus that of aligned noise."""
    chance = np.clip(null, 0.0, 0.95)
    return (real - chance) / (1.0 - chance)


def resolved_shells(curves: np.ndarray, threshold: float = 0.3) -> np.ndarray:
    """Return the last shell (classes,) before each curve (classes, shells) first falls below the threshold, at least 1.

    0.143 is for halves that were refined independently (Rosenthal & Henderson 2003, J. Mol. Biol. 333, 721). These
    were aligned to common averages repeatedly, and agree more than they should: compared with the true averages of
    simulated classes 0.3 was right to a shell or two, 0.143 up to seven shells too fine (`benchmarks/class2d.py`).
    Neighbouring shells are averaged first: one of low order has too few pixels to stop at.
    """
    smooth = curves.copy()
    smooth[:, 1:-1] = (curves[:, :-2] + 2.0 * curves[:, 1:-1] + curves[:, 2:]) / 4.0
    below = smooth[:, 1:] < threshold
    first = np.where(below.any(1), below.argmax(1), curves.shape[1] - 1)
    return np.maximum(first, 1)
