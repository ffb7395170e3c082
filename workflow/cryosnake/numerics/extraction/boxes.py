"""Cut boxes out of a micrograph and change their pixel size."""

from __future__ import annotations

import numpy as np

from cryosnake.numerics.backend import Array, fft_of, namespace


def cut_boxes(micrograph: Array, positions: np.ndarray, box: int) -> Array:
    """Return boxes (n, box, box) float32 with pixel box // 2 at the coordinates, as RELION cuts them.

    Fractions of coordinates are dropped (towards 0), and pixels beyond the edge repeat the micrograph's outermost
    pixel.

    Parameters
    ----------
    micrograph : (h, w)
    positions : (n, 2)
        x, y in 0-based pixels.
    box : int
        Even.
    """
    xp = namespace(micrograph)
    first = np.trunc(positions).astype(np.int64) - box // 2
    columns = np.clip(first[:, 0, None] + np.arange(box), 0, micrograph.shape[1] - 1)
    rows = np.clip(first[:, 1, None] + np.arange(box), 0, micrograph.shape[0] - 1)
    return micrograph[xp.asarray(rows)[:, :, None], xp.asarray(columns)[:, None, :]].astype(xp.float32)


def outside(positions: np.ndarray, box: int, shape: tuple[int, int]) -> np.ndarray:
    """Return which boxes (n,) have no pixel on a micrograph of `shape` (h, w)."""
    first = np.trunc(positions) - box // 2
    width, height = shape[1], shape[0]
    return np.asarray((first[:, 0] + box <= 0) | (first[:, 1] + box <= 0) | (first[:, 0] >= width)
                      | (first[:, 1] >= height))


def rescale(images: Array, size: int) -> Array:
    """Return images (n, box, box) at another even size by cropping (or padding) their Fourier transforms.

    Grey values and the particle's centre are kept: pixel box // 2 becomes pixel size // 2.
    """
    xp, fft = namespace(images), fft_of(images)
    box = images.shape[-1]
    if size == box:
        return images
    transform = fft.rfft2(images)
    kept = min(size, box)
    half = kept // 2
    result = xp.zeros((len(images), size, size // 2 + 1), dtype=transform.dtype)
    result[:, : half + 1, : half + 1] = transform[:, : half + 1, : half + 1]
    result[:, size - half + 1 :, : half + 1] = transform[:, box - half + 1 :, : half + 1]
    if size > box:  # enlarged: the corners beyond the old Nyquist frequency are left out, as in RELION
        ky, kx = np.fft.fftfreq(size, 1.0 / size)[:, None], np.arange(size // 2 + 1)[None]
        result *= xp.asarray(kx * kx + ky * ky <= half * half)
    return (fft.irfft2(result, s=(size, size)) * (size / box) ** 2).astype(xp.float32)
