"""Fourier transforms of maps in a padded box when only low frequencies are needed, or only those are known.

The axes are transformed one after the other: zeros are not transformed, and frequencies that are not needed are
cropped before the next axis. With padding 2 and half of Nyquist that is a sixth of the work of a full transform.
"""

from __future__ import annotations

import numpy as np

from cryosnake.numerics.backend import Array, fft_of, namespace


def low_frequencies(volume: Array, size: int, reach: int) -> Array:
    """Return the centred half transform, complex64 (2 reach + 1, …, reach + 1), of a map padded to `size` voxels.

    Parameters
    ----------
    volume : (box, …) float32
        Map or image; its origin is its voxel box // 2.
    size : int
        Voxels to which every axis is padded with zeros.
    reach : int
        The highest frequency, below size / 2.
    """
    xp, fft, box = namespace(volume), fft_of(volume), volume.shape[0]
    last, whole = volume.ndim - 1, xp.arange(-reach, reach + 1)
    result = fft.rfft(volume, n=size, axis=last)[..., : reach + 1]
    for axis in range(last - 1, -1, -1):
        result = xp.take(fft.fft(result, n=size, axis=axis), whole % size, axis=axis)
    return _turned(xp.ascontiguousarray(result, dtype=xp.complex64), box // 2, size)


def from_low_frequencies(coefficients: Array, size: int, box: int) -> Array:
    """Return the middle `box` voxels, float32 (box, …), of the map of `size` voxels with these coefficients.

    Parameters
    ----------
    coefficients : (2 reach + 1, …, reach + 1) complex64
        Centred half transform, 0 beyond; frequencies above size / 2 are left out.
    size, box : int
        Voxels per axis of the padded map, and of the part to return.
    """
    xp, fft, reach = namespace(coefficients), fft_of(coefficients), coefficients.shape[-1] - 1
    inside = min(reach, size // 2)
    last, end = coefficients.ndim - 1, inside + 1 if 2 * inside < size else inside
    known = (slice(reach - inside, reach + end),) * last + (slice(0, inside + 1),)
    result = _turned(xp.array(coefficients[known], xp.complex64), -(box // 2), size)
    for axis in range(last):
        shape = list(result.shape)
        shape[axis] = size
        spread = xp.zeros(shape, xp.complex64)
        spread.swapaxes(0, axis)[xp.arange(-inside, end) % size] = result.swapaxes(0, axis)
        result = fft.ifft(spread, axis=axis)[(slice(None),) * axis + (slice(0, box),)]
    return fft.irfft(result, n=size, axis=last)[..., :box].astype(xp.float32)


def _turned(coefficients: Array, origin: int, size: int) -> Array:
    """Multiply, in place, by the phases that move voxel `origin` to 0; coefficients are a centred half transform."""
    xp, last = namespace(coefficients), coefficients.ndim - 1
    first = coefficients.shape[-1] - 1
    for axis, count in enumerate(coefficients.shape):
        frequency = np.arange(count) - (0 if axis == last else first)
        phase = xp.asarray(np.exp(2j * np.pi * frequency * origin / size).astype(np.complex64))
        coefficients *= phase.reshape(-1, *(1,) * (last - axis))
    return coefficients
