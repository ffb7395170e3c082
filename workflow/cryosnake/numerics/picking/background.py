"""The micrograph as input of the pickers: Fourier-cropped, without gradients, with uniform contrast."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy.fft

from cryosnake.numerics.backend import Array, fft_of, namespace
from cryosnake.numerics.fourier_crop import resample_image

CLIP = 4.0  # standard deviations; a single outlier must not become a blob


@dataclass(frozen=True)
class WorkingImage:
    """A Fourier-cropped micrograph (h, w) float32 with the trend subtracted.

    `pixel_size` is the mean of both axes in Å, `step` (y, x) the size of its pixel in pixels of the micrograph.
    """

    image: Array
    pixel_size: float
    step: tuple[float, float]


def working_image(
    micrograph: Array,  # (h, w)
    pixel_size: float,  # Å
    working_pixel_size: float,  # Å, at least as large as `pixel_size`
) -> WorkingImage:
    """Return the micrograph at a larger pixel size, minus a second-order surface that is robust to contamination.

    Raises
    ------
    ValueError
        when all pixels have the same value
    """
    if not micrograph.max() > micrograph.min():
        raise ValueError("the micrograph is blank")
    shape = tuple(min(n, 2 * math.ceil(0.5 * n * pixel_size / max(working_pixel_size, pixel_size)))
                  for n in micrograph.shape)
    step = (micrograph.shape[0] / shape[0], micrograph.shape[1] / shape[1])
    image = resample_image(clip_outliers(micrograph), (shape[0], shape[1]))
    return WorkingImage(image - trend(image), 0.5 * pixel_size * (step[0] + step[1]), step)


def robust_scale(values: Array) -> tuple[float, float]:
    """Return median and standard deviation, the latter from the median absolute deviation."""
    xp = namespace(values)
    middle = xp.median(values)
    return float(middle), float(1.4826 * xp.median(xp.abs(values - middle)))


def clip_outliers(image: Array, limit: float = 8.0) -> Array:
    """Return the image as float32 with hot and dead pixels set to `limit` standard deviations."""
    xp = namespace(image)
    middle, spread = robust_scale(image[::3, ::3])
    if not spread > 0.0:
        return image.astype(xp.float32)
    # Crystals must stay dark: the lower limit is far enough to leave them darker than any particle.
    return xp.clip(image, middle - 4.0 * limit * spread, middle + limit * spread).astype(xp.float32)


def trend(image: Array) -> Array:
    """Return a second-order surface (h, w) through the image, fitted to the pixels that agree with it."""
    xp = namespace(image)
    y = xp.linspace(-0.5, 0.5, image.shape[0])[:, None]
    x = xp.linspace(-0.5, 0.5, image.shape[1])[None]
    one = xp.ones(image.shape)
    basis = xp.stack([one, x * one, y * one, x * x * one, y * y * one, x * y], -1)
    thin = max(1, min(image.shape) // 100)
    points, values = basis[::thin, ::thin].reshape(-1, 6), image[::thin, ::thin].reshape(-1).astype(xp.float64)
    surface = xp.zeros_like(values) + xp.median(values)
    for _ in range(6):
        middle, spread = robust_scale(values - surface)
        agree = xp.abs(values - surface - middle) <= 2.5 * spread
        system = points[agree]
        # A slight ridge: a thin strip of good pixels must not determine the curvature.
        coefficients = xp.linalg.solve(system.T @ system + 1e-6 * len(values) * xp.eye(6), system.T @ values[agree])
        surface = points @ coefficients
    return (basis @ coefficients).astype(xp.float32)


def smooth(image: Array, sigma: float) -> Array:
    """Return the image (…, h, w) convolved with a Gaussian of `sigma` pixels; the edges are reflected."""
    xp, fft = namespace(image), fft_of(image)
    margin = min(math.ceil(3.0 * sigma), min(image.shape) - 1)
    padded, shape = reflect(image, margin)
    transform = fft.rfft2(padded)
    transform *= xp.exp(-2.0 * (math.pi * sigma) ** 2 * frequency_squared(shape, image)).astype(xp.float32)
    result = fft.irfft2(transform, s=shape)
    return result[margin : margin + image.shape[0], margin : margin + image.shape[1]]


def reflect(image: Array, margin: int) -> tuple[Array, tuple[int, int]]:
    """Return the image with `margin` reflected pixels on each side, and more if that makes the FFT fast."""
    shape = tuple(scipy.fft.next_fast_len(n + 2 * margin, real=True) for n in image.shape)
    after = [min(total - n - margin, n - 1) for total, n in zip(shape, image.shape, strict=True)]
    padded = namespace(image).pad(image, [(margin, after[0]), (margin, after[1])], mode="reflect")
    return padded, (padded.shape[0], padded.shape[1])


def frequency_squared(shape: tuple[int, int], like: Array) -> Array:
    """Return k² in (cycles per pixel)², float32 (h, w // 2 + 1)."""
    xp = namespace(like)
    return (xp.fft.fftfreq(shape[0])[:, None] ** 2 + xp.fft.rfftfreq(shape[1])[None] ** 2).astype(xp.float32)


def local_normalise(
    image: Array,  # (h, w)
    good: Array,  # (h, w) bool
    diameter: float,  # pixels
) -> Array:
    """Return the image with local mean 0 and standard deviation 1, clipped; pixels that are not good are filled in.

    The mean uses a Gaussian of one particle diameter, the variance one of 1.5 diameters, both over good pixels only.
    """
    xp = namespace(image)
    weight = good.astype(xp.float32)
    share = xp.maximum(smooth(weight, diameter), 1e-3)
    difference = (image - smooth(image * weight, diameter) / share) * weight
    share = xp.maximum(smooth(weight, 1.5 * diameter), 1e-3)
    variance = smooth(difference * difference, 1.5 * diameter) / share
    floor = 1e-12 + 1e-4 * float(xp.mean(variance))
    return xp.clip(difference / xp.sqrt(xp.maximum(variance, floor)), -CLIP, CLIP).astype(xp.float32)


def near(marked: np.ndarray, radius: float) -> np.ndarray:
    """Return the pixels (h, w) bool within `radius` pixels of a marked one; beyond the edge nothing is marked."""
    from scipy.ndimage import distance_transform_edt

    if not marked.any():
        return marked.copy()
    return np.asarray(distance_transform_edt(~marked) <= radius)


def near_pixels(pixels: np.ndarray, shape: tuple[int, ...], radius: float) -> np.ndarray:
    """Return the pixels (h, w) bool within `radius` pixels of those given, (n, 2) rows and columns."""
    marked = np.zeros(shape, np.bool_)
    marked[tuple(pixels.T)] = True
    return near(marked, radius)
