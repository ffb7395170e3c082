"""Maps from sums by weighted least squares, used for the final maps.

Division of data by weights (`reconstruction.divide`) solves for every voxel of the padded transform by itself. But
these voxels depend on each other: the map fills half of the padded box along each axis. With D the weights, N the data,
F the transform and S the padding, the map y minimises Σ D |F S y − N / D|² + Σ P |F S y|², so that

    Sᵀ F⁻¹ (D + P) F S y = Sᵀ F⁻¹ N ,

P = mean weight / SSNR being the prior of the Wiener filter. Where slices lie sparsely, weak voxels then follow their
strong neighbours. Two steps of preconditioned conjugate gradients suffice (Fessler & Sutton 2003, IEEE Trans. Signal
Process. 51, 560, for such problems); the preconditioner is the division on the grid without padding. More steps fit
noise.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cryosnake.numerics.banded_fft import from_low_frequencies, low_frequencies
from cryosnake.numerics.projection import crop_centred, gridding_correction
from cryosnake.numerics.refine.sums.reconstruction import coarse_sums, radii, shell_means

_PADDING = 2
_STEPS = 2
_LEAST = 1e-2  # of a shell's mean weight: what a voxel without data counts as in the preconditioner

Operator = Callable[[np.ndarray], np.ndarray]  # of maps (box, box, box)


def least_squares_map(sums: np.ndarray, radius: int, box: int, ssnr: np.ndarray | None = None) -> np.ndarray:
    """Return the map (box, box, box) float32 of a volume of sums; unregularised without `ssnr`.

    Parameters
    ----------
    sums : (2m + 1, 2m + 1, m + 1, 3) float32
    radius : int
        Fourier pixels; 0 beyond.
    ssnr : (> radius,) float64 or None
        Spectral signal-to-noise ratio of the map by shell.
    """
    known = min(sums.shape[2] - 1, box - 1)
    start = from_low_frequencies(_data(sums, radius, known), _PADDING * box, box)
    weight = _weights(sums, radius, known, ssnr)

    def normal(volume: np.ndarray) -> np.ndarray:
        transform = low_frequencies(volume, _PADDING * box, known)
        transform *= weight
        return from_low_frequencies(transform, _PADDING * box, box)

    solved = _conjugate_gradients(normal, _divided(sums, radius, box, ssnr), start)
    return solved * (np.float32(box * box) / gridding_correction(box, _PADDING))


def _data(sums: np.ndarray, radius: int, known: int) -> np.ndarray:
    data = crop_centred(sums[..., 0], known).astype(np.complex64)
    data.imag = crop_centred(sums[..., 1], known)
    data[radii(data.shape) > radius] = 0.0
    return data


def _weights(sums: np.ndarray, radius: int, known: int, ssnr: np.ndarray | None) -> np.ndarray:
    weight = crop_centred(sums[..., 2], known)
    weight[radii(weight.shape) > radius] = 0.0
    if ssnr is not None:
        weight += np.where(weight > 0, _prior(weight, radius, ssnr), np.float32(0.0))
    return weight


def _prior(weight: np.ndarray, radius: int, ssnr: np.ndarray, padding: int = _PADDING) -> np.ndarray:
    """Return the prior's weights, float32, in the shape of the data's (…): their shell means over the SSNR."""
    shells = _shells(weight, radius, padding)
    means = shell_means(weight, shells, radius + 1)
    return np.append(means / np.maximum(ssnr[: radius + 1], 1e-3), 0.0).astype(np.float32)[shells]


def _shells(volume: np.ndarray, radius: int, padding: int) -> np.ndarray:
    """Return the shell of each voxel, radius + 1 for all beyond."""
    return np.minimum(np.rint(radii(volume.shape, padding)), radius + 1).astype(np.int16)


def _divided(sums: np.ndarray, radius: int, box: int, ssnr: np.ndarray | None) -> Operator:
    """Return the division by the weights, gathered on the grid without padding: nearly the inverse."""
    known = min(radius + 1, box // 2 - 1)
    weight = crop_centred(coarse_sums(sums)[..., 2], known)
    shells, radial = _shells(weight, radius, 1), radii(weight.shape, 1)
    least = np.append(_LEAST * shell_means(weight, shells, radius + 1), 0.0)[shells]
    whole = np.maximum(weight, least) + (_prior(weight, radius, ssnr, 1) if ssnr is not None else 0.0)
    scale = np.divide(1.0, whole, out=np.zeros(whole.shape, np.float32), where=(radial <= radius) & (whole > 0))

    def apply(volume: np.ndarray) -> np.ndarray:
        return from_low_frequencies(low_frequencies(volume, box, known) * scale, box, box)

    return apply


def _conjugate_gradients(operator: Operator, preconditioner: Operator, target: np.ndarray) -> np.ndarray:
    """Return an approximate solution of operator(y) = target, from y = 0 (Hestenes & Stiefel 1952)."""
    solved, residual = np.zeros_like(target), target
    direction = preconditioned = preconditioner(residual)
    size = _inner(residual, preconditioned)
    for _ in range(_STEPS):
        if size <= 0:
            break
        along = operator(direction)
        step = np.float32(size / _inner(direction, along))
        solved, residual = solved + step * direction, residual - step * along
        preconditioned = preconditioner(residual)
        before, size = size, _inner(residual, preconditioned)
        direction = preconditioned + np.float32(size / before) * direction
    return solved


def _inner(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.vdot(first, second))
