"""Sums of back-projected slices to maps: division by the weights, regularised or not, and the FSC before that."""

from __future__ import annotations

import numba as nb
import numpy as np

from cryosnake.numerics.banded_fft import from_low_frequencies
from cryosnake.numerics.fsc import fsc_of_transforms, sum_over_axes
from cryosnake.numerics.projection import gridding_correction


def radii(shape: tuple[int, ...], padding: int = 2) -> np.ndarray:
    """Return |k| in unpadded Fourier pixels, float32, of a volume or plane of sums (shape without its last axis)."""
    return np.sqrt(sum_over_axes(squares(shape, padding)))


def squares(shape: tuple[int, ...], padding: int) -> tuple[np.ndarray, ...]:
    """Return the squared frequencies along each axis, in unpadded Fourier pixels, float32; the last starts at 0."""
    centred = [np.arange(n) - n // 2 for n in shape[:-1]]
    return tuple((axis / padding).astype(np.float32) ** 2 for axis in (*centred, np.arange(shape[-1])))


def shell_means(values: np.ndarray, shells: np.ndarray, count: int) -> np.ndarray:
    """Return the mean (count,) float64 of `values` in each shell; 0 in an empty one."""
    total = np.bincount(shells.ravel(), values.ravel(), minlength=count)[:count]
    number = np.bincount(shells.ravel(), minlength=count)[:count]
    return total / np.maximum(number, 1)


def mean_weight(sums: np.ndarray, radius: int, padding: int = 2) -> np.ndarray:
    """Return the mean weight of shells 0 … radius: the inverse noise power of the map's Fourier voxels."""
    return shell_means_of(_as_volume(sums)[..., 2], radius + 1, padding)


def shell_means_of(volume: np.ndarray, count: int, padding: int = 2) -> np.ndarray:
    """Return the mean (count,) float64 of each shell of a centred half volume or plane."""
    volume = volume if volume.ndim == 3 else volume[None]
    return _shell_means(volume, *squares(volume.shape, padding), count)


def _as_volume(sums: np.ndarray) -> np.ndarray:
    return sums if sums.ndim == 4 else sums[None]


@nb.njit(nogil=True, cache=True)
def _shell_means(volume, kz2, ky2, kx2, count):  # type: ignore[no-untyped-def]
    total, number = np.zeros(count), np.zeros(count, np.int64)
    for z in range(volume.shape[0]):
        for y in range(volume.shape[1]):
            for x in range(volume.shape[2]):
                shell = int(np.rint(np.sqrt(kz2[z] + (ky2[y] + kx2[x]))))
                if shell < count:
                    total[shell] += volume[z, y, x]
                    number[shell] += 1
    return total / np.maximum(number, 1)


@nb.njit(parallel=True, nogil=True, cache=True)
def _divided(sums, kz2, ky2, kx2, radius, prior, least, result):  # type: ignore[no-untyped-def]
    for z in nb.prange(sums.shape[0]):
        for y in range(sums.shape[1]):
            for x in range(sums.shape[2]):
                radial = np.sqrt(kz2[z] + (ky2[y] + kx2[x]))
                if radial > radius:
                    continue
                shell = int(np.rint(radial))
                weight = max(sums[z, y, x, 2] + prior[shell], least[shell])
                if weight > 0:
                    scale = np.float32(1.0) / weight
                    result[z, y, x] = sums[z, y, x, 0] * scale + np.complex64(1j) * (sums[z, y, x, 1] * scale)


def divide(sums: np.ndarray, radius: int, ssnr: np.ndarray | None, padding: int = 2, unregularised: int = 5,
           mean: np.ndarray | None = None) -> np.ndarray:
    """Return the Fourier coefficients, complex64, 0 beyond `radius`: data / (weight + mean weight / SSNR).

    Parameters
    ----------
    sums : (2m + 1, …, m + 1, 3) float32
        Volume or plane of sums.
    ssnr : (> radius,) float64 or None
        Spectral signal-to-noise ratio of the map by shell; None divides by the weights alone.
    unregularised : int
        Shells below this one are divided by the weights alone.
    mean : (radius + 1,) float64
        What `mean_weight` returns of the sums, where it is known.

    Notes
    -----
    Wiener filter of Scheres 2012, J. Mol. Biol. 415, eq. 8: the prior's inverse variance 1/τ² is written as
    weight/SSNR, for SSNR = τ² · mean weight. Weights below a thousandth of their shell's mean count as that.
    """
    volume = _as_volume(sums)
    mean = mean_weight(sums, radius, padding) if mean is None else mean
    prior = np.zeros(radius + 1)
    if ssnr is not None:
        prior = mean / np.maximum(ssnr[: radius + 1], 1e-3)
        prior[:unregularised] = 0.0
    result = np.zeros(volume.shape[:-1], np.complex64)
    _divided(volume, *squares(volume.shape[:-1], padding), radius, prior.astype(np.float32),
             (1e-3 * mean).astype(np.float32), result)
    return result.reshape(sums.shape[:-1])


def to_real_space(coefficients: np.ndarray, box: int, padding: int = 2) -> np.ndarray:
    """Return the map (or image) of `box` pixels, float32, of centred coefficients in RELION's scale (1 / box²).

    The map is divided by the transform of the trilinear kernel that spread the slices (gridding correction).
    """
    correction = gridding_correction(box, padding, coefficients.ndim)
    return from_low_frequencies(coefficients, box * padding, box) * (np.float32(box * box) / correction)


def coarse_sums(sums: np.ndarray) -> np.ndarray:
    """Return sums of padding 2 gathered on the unpadded grid, (2 radius + 3, …, radius + 2, 3).

    Every second voxel and half of each of its neighbours. The coefficients data / weight of this grid serve the FSC:
    cheap, and without the correlation that padding brings between neighbours.
    """
    volume = _as_volume(sums)
    result = np.zeros((*(n // 2 + 1 for n in volume.shape[:3]), 3), np.float32)
    _gathered(volume, result)
    return result.reshape(*(n // 2 + 1 for n in sums.shape[:-1]), 3)


@nb.njit(parallel=True, nogil=True, fastmath=True, cache=True)
def _gathered(sums, result):  # type: ignore[no-untyped-def]
    depth, rows, columns = sums.shape[:3]
    for z in nb.prange(result.shape[0]):
        for y in range(result.shape[1]):
            line = result[z, y]
            for k in range(max(2 * z - 1, 0), min(2 * z + 2, depth)):
                for j in range(max(2 * y - 1, 0), min(2 * y + 2, rows)):
                    share = np.float32(0.5 ** (abs(k - 2 * z) + abs(j - 2 * y)))
                    there, mates = sums[k, j], sums[depth - 1 - k, rows - 1 - j]
                    half = np.float32(0.5) * share
                    for x in range(line.shape[0]):
                        for c in range(3):
                            line[x, c] += share * there[2 * x, c]
                    for x in range(columns // 2):
                        for c in range(3):
                            line[x, c] += half * there[2 * x + 1, c]
                            line[x + 1, c] += half * there[2 * x + 1, c]
                    for c in range(3):  # x = −1 holds the Friedel mates of x = 1
                        line[0, c] += half * mates[1, c] * np.float32(-1.0 if c == 1 else 1.0)


def fsc_of_sums(first: np.ndarray, second: np.ndarray, radius: int, count: int) -> np.ndarray:
    """Return the FSC (count,) of two volumes of sums, before any regularisation; 0 beyond `radius`.

    The gold-standard criterion of Scheres & Chen 2012, Nat. Methods 9, 853: two independent halves.
    """
    halves = [coarse_sums(sums) for sums in (first, second)]
    maps = []
    for half in halves:
        weight = half[..., 2]
        data = half[..., 0] + 1j * half[..., 1]
        maps.append(np.divide(data, weight, out=np.zeros_like(data), where=weight > 0))
    shells = np.rint(radii(halves[0].shape[:-1], 1)).astype(np.int64)
    twice = np.where(np.arange(shells.shape[-1]) == 0, 1.0, 2.0)
    curve = np.zeros(count)
    curve[: radius + 1] = fsc_of_transforms(maps[0], maps[1], shells, radius + 1, twice)
    return curve
