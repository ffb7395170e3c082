"""Fourier transforms of maps in a padded box when only low frequencies are needed, or only those are known.

The axes are transformed one after the other: zeros are not transformed, and frequencies that are not needed are
cropped before the next axis. With padding 2 and half of Nyquist that is a sixth of the work of a full transform. Each
axis is done slab by slab: beside the result of the axis only that of the axis before is in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from cryosnake.numerics.backend import Array, fft_of, is_gpu, namespace

_SLAB, _SLAB_ON_GPU = 1 << 25, 1 << 30  # bytes of a slab's transform
SLABS = 4 * _SLAB  # with its copies


def low_frequencies(volume: Array, size: int, reach: int, out: Array | None = None) -> Array:
    """Return the centred half transform, complex64 (2 reach + 1, …, reach + 1), of a map padded to `size` voxels.

    Parameters
    ----------
    volume : (box, …) float32
        Map or image; its origin is its voxel box // 2.
    size : int
        Voxels to which every axis is padded with zeros.
    reach : int
        The highest frequency; from size / 2 on the result is 0.
    out : Array, optional
        Zeros in the shape of the result, to be filled.
    """
    xp, known = namespace(volume), min(reach, size // 2 - 1)
    part = _last_axes_forward(volume, size, known)
    phases = _phases((2 * known + 1,) * (volume.ndim - 1) + (known + 1,), volume.shape[0] // 2, size, volume)
    shape = (2 * reach + 1,) * (volume.ndim - 1) + (reach + 1,)
    result = xp.zeros(shape, xp.complex64) if out is None else out
    inside = slice(reach - known, reach + known + 1)
    filled = result[(inside,) * (volume.ndim - 1) + (slice(0, known + 1),)]
    for slab in _slabs(part, 0, size):
        filled[:, slab] = _turned(_forward(part[:, slab], 0, size, known), phases, slab)
    return result


def from_low_frequencies(coefficients: Array, size: int, box: int) -> Array:
    """Return the middle `box` voxels, float32 (box, …), of the map of `size` voxels with these coefficients.

    Parameters
    ----------
    coefficients : (2 reach + 1, …, reach + 1) complex64
        Centred half transform, 0 beyond; frequencies above size / 2 are left out.
    size, box : int
        Voxels per axis of the padded map, and of the part to return.
    """
    xp, reach = namespace(coefficients), coefficients.shape[-1] - 1
    inside = min(reach, size // 2)
    last, end = coefficients.ndim - 1, inside + 1 if 2 * inside < size else inside
    known = coefficients[(slice(reach - inside, reach + end),) * last + (slice(0, inside + 1),)]
    phases = _phases(known.shape, -(box // 2), size, known)
    result = xp.empty((box, *known.shape[1:]), xp.complex64)
    for slab in _slabs(known, 0, size):
        turned = _turned(xp.array(known[:, slab], xp.complex64), phases, slab)
        result[:, slab] = _inverse(turned, 0, size, box)
    return _last_axes_inverse(result, size, box)


def filtered(volume: Array, weight: Array, size: int) -> Array:
    """Return the map (box, box, box) with its low frequencies multiplied by weights (2 reach + 1, …, reach + 1).

    As `from_low_frequencies` of `low_frequencies` times the weights, but without the whole transform in memory.
    """
    box, reach = volume.shape[0], weight.shape[-1] - 1
    part = _last_axes_forward(volume, size, reach)
    there, back = (_phases(weight.shape, origin, size, volume) for origin in (box // 2, -(box // 2)))
    for slab in _slabs(part, 0, size):
        known = _turned(_forward(part[:, slab], 0, size, reach), there, slab)
        known *= weight[:, slab]
        part[:, slab] = _inverse(_turned(known, back, slab), 0, size, box)
    return _last_axes_inverse(part, size, box)


def _last_axes_forward(volume: Array, size: int, reach: int) -> Array:
    """Return the transform along all axes but the first, cropped to the frequencies up to `reach`."""
    xp, fft, last = namespace(volume), fft_of(volume), volume.ndim - 1
    kind = xp.result_type(volume.dtype, xp.complex64)
    result = _along(volume, last, (size, reach + 1), kind, lambda slab: fft.rfft(slab, n=size, axis=last)[
        ..., : reach + 1])
    for axis in range(last - 1, 0, -1):
        result = _along(result, axis, (size, 2 * reach + 1), kind, partial(_forward, axis=axis, size=size, reach=reach))
    return result


def _last_axes_inverse(part: Array, size: int, box: int) -> Array:
    """Return the middle `box` voxels along all axes but the first, which has been transformed."""
    xp, fft, last = namespace(part), fft_of(part), part.ndim - 1
    for axis in range(1, last):
        part = _along(part, axis, (size, box), xp.complex64, partial(_inverse, axis=axis, size=size, box=box))
    return _along(part, last, (size, box), xp.float32, lambda slab: fft.irfft(slab, n=size, axis=last)[..., :box])


def _along(source: Array, axis: int, sizes: tuple[int, int], kind: Any, work: Callable[[Array], Array]) -> Array:
    """Return what `work` makes of all slabs; `sizes` are those of an axis in the transform and in the result."""
    result = namespace(source).empty((*source.shape[:axis], sizes[1], *source.shape[axis + 1 :]), kind)
    for slab in _slabs(source, axis, sizes[0]):
        result[slab] = work(source[slab])
    return result


def _slabs(source: Array, axis: int, size: int) -> Iterator[slice]:
    """Yield the slabs, along the first axis (or the second, where it is the first), that an axis is transformed in."""
    most, count = _SLAB_ON_GPU if is_gpu(source) else _SLAB, source.shape[axis == 0]
    lines = source.size // (count * source.shape[axis])  # of one plane
    step = max(1, most // (8 * size * lines))
    yield from (slice(begin, min(begin + step, count)) for begin in range(0, count, step))


def _forward(slab: Array, axis: int, size: int, reach: int) -> Array:
    """Return the frequencies −reach … reach along an axis that is padded to `size`."""
    xp = namespace(slab)
    return xp.take(fft_of(slab).fft(slab, n=size, axis=axis), xp.arange(-reach, reach + 1) % size, axis=axis)


def _inverse(slab: Array, axis: int, size: int, box: int) -> Array:
    """Return the middle `box` voxels along an axis whose centred frequencies are given."""
    xp, count = namespace(slab), slab.shape[axis]
    first = -(count // 2)
    shape = list(slab.shape)
    shape[axis] = size
    spread = xp.zeros(shape, xp.complex64)
    spread.swapaxes(0, axis)[xp.arange(first, first + count) % size] = slab.swapaxes(0, axis)
    return fft_of(slab).ifft(spread, axis=axis)[(slice(None),) * axis + (slice(0, box),)]


def _phases(shape: tuple[int, ...], origin: int, size: int, like: Array) -> list[Array]:
    """Return the phases along each axis that move voxel `origin` to 0, for a centred half transform of a shape."""
    first, result = shape[-1] - 1, []
    for axis, count in enumerate(shape):
        frequency = np.arange(count) - (0 if axis == len(shape) - 1 else first)
        phase = np.exp(2j * np.pi * frequency * origin / size).astype(np.complex64)
        result.append(namespace(like).asarray(phase).reshape(-1, *(1,) * (len(shape) - 1 - axis)))
    return result


def _turned(coefficients: Array, phases: list[Array], slab: slice) -> Array:
    """Multiply, in place, a slab along the second axis by the phases of all axes."""
    result = coefficients.astype(namespace(coefficients).complex64, copy=False)
    for axis, phase in enumerate(phases):
        result *= phase[slab] if axis == 1 else phase
    return result
