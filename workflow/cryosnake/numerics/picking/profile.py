"""The mean radial profile of the particles found, as a filter that finds them again.

What a particle looks like depends on its shape, on the defocus and on how densely it is surrounded: the mean of the
first picks, averaged over all directions, contains all of it, for balls as for hollow particles. Its centre is the
particle's, where a filter of a fixed shape answers to the densest part. It reaches into the neighbours, which
lie at other distances around what is none; it fades there, for an edge would draw picks off their centres.
"""

from __future__ import annotations

import math

import numpy as np
import scipy.fft

REACH, FADED = 0.85, 1.15  # particle diameters: the radius to which the profile is taken as it is, and where it ends
ENOUGH = 5  # picks that make a profile


def mean_profile(
    image: np.ndarray,  # (h, w), normalised
    pixels: np.ndarray,  # (n, 2) rows and columns of picks
    diameter: float,  # pixels
) -> np.ndarray:
    """Return the filter (d, d) float32: the picks' mean, averaged over directions, with mean 0 and norm 1.

    From `REACH` to `FADED` diameters around the middle it fades linearly.
    """
    reach = math.ceil(FADED * diameter)
    around = np.arange(-reach, reach + 1)
    padded = np.pad(image, reach, mode="reflect")
    rows, columns = pixels.T + reach
    mean = padded[rows[:, None, None] + around[:, None], columns[:, None, None] + around].mean(0, dtype=np.float64)
    distance = np.hypot(around[:, None], around)
    inner = distance.astype(np.int64)
    share = distance - inner  # linear interpolation between rings one pixel wide
    ring = np.concatenate([inner.ravel(), inner.ravel() + 1])
    weight = np.concatenate([(1.0 - share).ravel(), share.ravel()])
    profile = np.bincount(ring, weight * np.tile(mean.ravel(), 2)) / np.maximum(np.bincount(ring, weight), 1e-9)
    fading = np.clip((FADED - distance / diameter) / (FADED - REACH), 0.0, 1.0)
    kernel = np.interp(distance, np.arange(len(profile)), profile)
    kernel = fading * (kernel - (fading * kernel).sum() / fading.sum())
    return np.asarray(kernel / max(float(np.linalg.norm(kernel)), 1e-12), np.float32)


def profile_response(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Return the correlation (h, w) float32 of an image with a filter (d, d), centred; the edges are reflected."""
    reach = kernel.shape[0] // 2
    shape = tuple(scipy.fft.next_fast_len(n + 2 * reach, real=True) for n in image.shape)
    spectrum = scipy.fft.rfft2(np.pad(image, reach, mode="reflect"), s=shape)
    product = scipy.fft.irfft2(spectrum * np.conj(scipy.fft.rfft2(kernel, s=shape)), s=shape)
    return np.asarray(product[: image.shape[0], : image.shape[1]], np.float32)
