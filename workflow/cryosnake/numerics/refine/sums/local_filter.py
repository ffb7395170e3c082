"""Regularisation of two half maps by a low-pass filter that varies in space and is cross-validated between them.

Punjani, Zhang & Fleet 2020, Nat. Methods 17, 1214-1221: at each voxel x take the filter F_λ that makes each half the
best prediction of the other one,

    λ(x) = argmin_λ Σ_y w_λ(y − x) m(y) ½ ( |F_λ(a) − b|²(y) + |F_λ(b) − a|²(y) ),

a and b the unfiltered halves, m the mask, w_λ a window whose width is proportional to the filter's wavelength. Noise of
one half is independent of the other, so what a finer filter lets through lowers the error by its signal and raises it
by its noise.

The error is summed up along the ladder: the step from one filter to the next is averaged in the window of the
finer one. Windows of two filters then need not be compared, which would weigh the strong low
frequencies by the difference of the windows. Terms without a filter (|a|², |b|²) drop out.
"""

from __future__ import annotations

import numpy as np

from cryosnake.numerics.backend import Array, fft_of, namespace
from cryosnake.numerics.filters import frequency_radius

ORDER = 2  # of the Butterworth filters; steeper ones ring, and left 4 % more error on simulated halves


def cross_validated_filter(first: Array, second: Array, mask: Array, pixel_size: float, *, steps: int = 10,
                           lowest: float = 30.0, highest: float | None = None) -> tuple[Array, Array, Array]:
    """Return both halves filtered by the locally best filter, and its cutoff at each voxel.

    Each half's filtered map is made of its own data only. What the halves share is the choice: one number per voxel,
    smooth over the window, out of `steps` filters, taken from errors that treat both alike. Where both happen to
    have noise of the same sign a finer filter looks better, so the choice correlates the noise of the filtered halves:
    by 0.01 with this window (0.03 with half of it, which follows the density more closely). Resolution is
    therefore to be measured on the halves as they were before.

    Parameters
    ----------
    first, second : (box, box, box) float32
        Half maps, not filtered or lightly regularised; NumPy or CuPy.
    mask : (box, box, box)
        Weight of each voxel in the errors, 0 to 1. Where it is 0 the filter is the lowest one.
    pixel_size : float
        Å.
    steps : int
        Number of filters; cutoffs are spaced evenly in log frequency.
    lowest, highest : float
        Å, the cutoffs at the ends; `highest` is Nyquist where it is not given.

    Returns
    -------
    first, second : (box, box, box) float32
    cutoff : (box, box, box) float32
        Å, where the filter passes half of the amplitude.

    Raises
    ------
    ValueError
        when shapes differ, values are not finite, the mask is empty, or the cutoffs don't rise in frequency
    """
    _check(first, second, mask)
    box_size = first.shape[0] * pixel_size
    shells = _ladder(box_size, lowest, highest or 2.0 * pixel_size, steps)
    radius = frequency_radius(first.shape[0], first)
    transforms = [fft_of(half).rfftn(half) for half in (first, second)]
    level = _best_level(first, second, transforms, mask, shells, radius)
    filtered = _blend(transforms, level, shells, radius, first.shape)
    xp = namespace(first)
    rise = float(np.log(shells[1] / shells[0]))
    return *filtered, (box_size / shells[0] * xp.exp(-rise * level)).astype(xp.float32)


def _ladder(box_size: float, lowest: float, highest: float, steps: int) -> np.ndarray:
    """Return the cutoffs (steps,) in Fourier pixels, lowest first."""
    if not lowest > highest > 0 or steps < 2:
        raise ValueError(f"the ladder needs two filters or more from a low to a higher resolution, got {steps} from "
                         f"{lowest:g} to {highest:g} Å")
    return np.geomspace(box_size / lowest, box_size / highest, steps)


def _low_passed(transform: Array, radius: Array, shell: float, shape: tuple[int, ...]) -> Array:
    """Return the map of a transform after a Butterworth filter, 1 / (1 + (k / shell)^(2 ORDER))."""
    squared = (radius / np.float32(shell)) ** 2
    return fft_of(transform).irfftn(transform / (1.0 + squared**ORDER), s=shape)


def _best_level(first: Array, second: Array, transforms: list[Array], mask: Array, shells: np.ndarray, radius: Array,
                ) -> Array:
    """Return the place of the best filter in the ladder, 0 … steps − 1, smoothed between neighbours.

    The window's standard deviation is the cutoff's wavelength: about as wide as the paper's, three wavelengths across.
    """
    xp = namespace(first)
    total, least, level = (xp.zeros(first.shape, dtype=xp.float32) for _ in range(3))
    before = xp.zeros_like(total)
    for index, shell in enumerate(shells):
        a, b = (_low_passed(transform, radius, float(shell), first.shape) for transform in transforms)
        error = mask * (0.5 * (a * a + b * b) - a * second - b * first)
        total = total + _smoothed(error - before, radius, float(shell))
        before = error
        if index == 0:
            least = total
            continue
        better = (total < least) & (mask > 0)
        level, least = xp.where(better, np.float32(index), level), xp.where(better, total, least)
    return xp.clip(_smoothed(level, radius, float(shells[-1])), 0.0, len(shells) - 1.0)


def _smoothed(volume: Array, radius: Array, shell: float) -> Array:
    """Return the volume smoothed by a Gaussian whose standard deviation is the wavelength of `shell`."""
    fft = fft_of(volume)
    sigma = np.float32(2.0 * np.pi / shell)  # radians per Fourier pixel: the box's length cancels
    return fft.irfftn(fft.rfftn(volume) * namespace(volume).exp(-0.5 * (sigma * radius) ** 2), s=volume.shape)


def _blend(transforms: list[Array], level: Array, shells: np.ndarray, radius: Array,
           shape: tuple[int, ...]) -> list[Array]:
    """Return the maps after the filter of each voxel, linear between neighbours of the ladder."""
    xp = namespace(level)
    maps = [xp.zeros(shape, dtype=xp.float32) for _ in transforms]
    for index, shell in enumerate(shells):
        weight = xp.maximum(1.0 - xp.abs(level - index), 0.0).astype(xp.float32)
        if not bool((weight > 0).any()):
            continue
        for result, transform in zip(maps, transforms, strict=True):
            result += weight * _low_passed(transform, radius, float(shell), shape)
    return maps


def _check(first: Array, second: Array, mask: Array) -> None:
    shapes = {tuple(volume.shape) for volume in (first, second, mask)}
    if len(shapes) != 1 or len(set(first.shape)) != 1 or first.ndim != 3:
        raise ValueError(f"halves and mask must be cubes of one shape, got {shapes}")
    xp = namespace(first)
    if not all(bool(xp.isfinite(volume).all()) for volume in (first, second, mask)):
        raise ValueError("the half maps or the mask contain NaN or infinities")
    if not bool((mask > 0).any()):
        raise ValueError("the mask is empty")
