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

from collections.abc import Callable, Iterator

import numpy as np

from cryosnake.numerics.banded_fft import filtered, from_low_frequencies
from cryosnake.numerics.projection import crop_centred, gridding_correction
from cryosnake.numerics.refine.sums.reconstruction import coarse_sums, shell_means_of, squares

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
        return filtered(volume, weight, _PADDING * box)

    solved = _conjugate_gradients(normal, _divided(sums, radius, box, ssnr), start)
    return solved * (np.float32(box * box) / gridding_correction(box, _PADDING))


def _data(sums: np.ndarray, radius: int, known: int) -> np.ndarray:
    data = crop_centred(sums[..., 0], known).astype(np.complex64)
    data.imag = crop_centred(sums[..., 1], known)
    for plane, radial in zip(data, _radii(data, _PADDING), strict=True):
        plane[radial > radius] = 0.0
    return data


def _weights(sums: np.ndarray, radius: int, known: int, ssnr: np.ndarray | None) -> np.ndarray:
    weight = crop_centred(sums[..., 2], known)
    for plane, radial in zip(weight, _radii(weight, _PADDING), strict=True):
        plane[radial > radius] = 0.0
    if ssnr is not None:
        prior = _prior(weight, radius, ssnr, _PADDING)
        for plane, radial in zip(weight, _radii(weight, _PADDING), strict=True):
            plane += np.where(plane > 0, prior[_shells(radial, radius)], np.float32(0.0))
    return weight


def _prior(weight: np.ndarray, radius: int, ssnr: np.ndarray, padding: int) -> np.ndarray:
    """Return the prior's weights of shells 0 … radius + 1, float32: shell means of the data's over the SSNR, then 0."""
    means = shell_means_of(weight, radius + 1, padding)
    return np.append(means / np.maximum(ssnr[: radius + 1], 1e-3), 0.0).astype(np.float32)


def _radii(volume: np.ndarray, padding: int) -> Iterator[np.ndarray]:
    """Yield |k| in unpadded Fourier pixels, float32, plane by plane: all would take as much memory as the weights."""
    depth, rows, columns = squares(volume.shape, padding)
    in_plane = rows[:, None] + columns
    return (np.sqrt(along + in_plane) for along in depth)


def _shells(radial: np.ndarray, radius: int) -> np.ndarray:
    """Return the shell of each voxel, radius + 1 for all beyond."""
    return np.minimum(np.rint(radial), radius + 1).astype(np.int16)


def _divided(sums: np.ndarray, radius: int, box: int, ssnr: np.ndarray | None) -> Operator:
    """Return the division by the weights, gathered on the grid without padding: nearly the inverse."""
    known = min(radius + 1, box // 2 - 1)
    weight = crop_centred(coarse_sums(sums)[..., 2], known)
    radial = np.stack(list(_radii(weight, 1)))
    shells = _shells(radial, radius)
    least = np.append(_LEAST * shell_means_of(weight, radius + 1, 1), 0.0)[shells]
    whole = np.maximum(weight, least) + (_prior(weight, radius, ssnr, 1)[shells] if ssnr is not None else 0.0)
    scale = np.divide(1.0, whole, out=np.zeros(whole.shape, np.float32), where=(radial <= radius) & (whole > 0))
    return lambda volume: filtered(volume, scale, box)


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
