"""Images moved onto their centres, or made to look like those of another lens: matrix, pixel size, box, phases."""

from __future__ import annotations

import numpy as np

from cryosnake.numerics.backend import Array, fft_of, namespace


def resampled(images: Array, matrix: np.ndarray, box: int) -> Array:
    """Return f'(x) = √det(A) f(A x), float32 (n, box, box), of images f (n, N, N); x counts pixels from the centre.

    Method: A is a scaling and shear along x, followed by one along y; each evaluates the trigonometric series of a row
    at the wanted places, exactly: a transform and a matrix product, 2 N² box operations per image and axis. What is
    beyond the new Nyquist frequency is left out, what lies outside f is 0; √det(A) lets white noise keep its power.

    Parameters
    ----------
    images : (n, N, N)
    matrix : (2, 2)
        A, in (x, y); near a multiple of the identity.
    box : int
        Pixels.
    """
    xp, determinant = namespace(images), float(np.linalg.det(matrix))
    scale_x, shear_x = determinant / matrix[1, 1], matrix[0, 1] / matrix[1, 1]
    along_x = _stretched(images, scale_x, shear_x, box, images.shape[1])
    along_y = _stretched(xp.swapaxes(along_x, 1, 2), matrix[1, 1], matrix[1, 0], box, box)
    return xp.ascontiguousarray(xp.swapaxes(along_y, 1, 2)) * xp.float32(np.sqrt(determinant))


def _stretched(images: Array, scale: float, shear: float, box: int, rows: int) -> Array:
    """Return the rows of images (n, rows, N) at scale · x + shear · y, x of `box` pixels: (n, rows, box)."""
    xp, fft, width = namespace(images), fft_of(images), images.shape[-1]
    series = fft.rfft(images.astype(xp.float32), axis=-1)
    frequency = xp.arange(series.shape[-1])
    x, y = xp.arange(box) - box // 2, xp.arange(rows) - rows // 2
    place = shear * y[:, None] + width // 2  # the series counts from the first pixel
    series = series * _phases(xp, place * frequency / width)
    weight = xp.where((frequency == 0) | (2 * frequency == width), 1.0, 2.0) / width
    weight = weight * (frequency * abs(scale) <= 0.5 * width)
    waves = weight[:, None] * _phases(xp, frequency[:, None] * (scale * x) / width)
    result = series.real @ waves.real - series.imag @ waves.imag
    outside = abs(scale * x + shear * y[:, None]) > width / 2 + 1.0
    return xp.where(outside, xp.float32(0.0), result) if outside.any() else result


def _phases(xp: object, turns: Array) -> Array:
    """Return exp(2πi turns), complex64."""
    return xp.exp(2j * np.pi * (turns - xp.rint(turns))).astype(xp.complex64)  # type: ignore[attr-defined]


def without_phase(images: Array, phase: Array) -> Array:
    """Return images (n, box, box) float32 whose transforms are turned back by a phase (box, box // 2 + 1), radians.

    `phase` is odd, and in the order of rfft2.
    """
    xp, fft = namespace(images), fft_of(images)
    transforms = fft.rfft2(images) * xp.exp(-1j * phase).astype(xp.complex64)
    return fft.irfft2(transforms, s=images.shape[1:]).astype(xp.float32)


def centre_of_mass(averages: np.ndarray) -> np.ndarray:
    """Return the centre of positive density (classes, 2), x and y, pixels from the box's centre; 0 for empty ones."""
    box = averages.shape[1]
    axis = np.arange(box) - box // 2
    positive = np.maximum(averages, 0.0).astype(np.float64)
    total = positive.sum((1, 2))
    safe = np.where(total > 0, total, 1.0)
    return np.stack([(positive.sum(1) @ axis) / safe, (positive.sum(2) @ axis) / safe], -1)


def recentred(averages: np.ndarray) -> np.ndarray:
    """Return averages (classes, box, box) float32 moved so that the centre of their positive density is the box's.

    What leaves at one side comes in at the other, as with RELION; phases are shifted, which blurs nothing.
    """
    box = averages.shape[1]
    x, y = np.moveaxis(centre_of_mass(averages), -1, 0)
    turns = y[:, None, None] * np.fft.fftfreq(box)[:, None] + x[:, None, None] * np.fft.rfftfreq(box)
    moved = np.fft.irfft2(np.fft.rfft2(averages) * np.exp(2j * np.pi * turns), s=averages.shape[1:])
    return moved.astype(np.float32)
