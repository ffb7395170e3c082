"""Fourier shells: indices, averages and the Fourier shell correlation."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import numpy as np
import scipy.fft

from cryosnake.numerics.backend import Array, namespace

_DIP, _STAY = 3, 3  # shells


def shell_index(box: int, dimensions: int = 3) -> np.ndarray:
    """Return the shell round(|k|) of every pixel of a half transform (`rfftn`, origin at the corner).

    Parameters
    ----------
    box : int
        Length of each axis of the map or image, pixels.
    dimensions : int
        3 for maps, 2 for images.

    Returns
    -------
    (box, box, box // 2 + 1) or (box, box // 2 + 1) int64
        Corners run to round(√dimensions · box / 2), beyond the last complete shell box // 2.
    """
    full, half = np.fft.fftfreq(box, 1.0 / box) ** 2, np.arange(box // 2 + 1, dtype=np.float64) ** 2
    return np.rint(np.sqrt(sum_over_axes([full] * (dimensions - 1) + [half]))).astype(np.int64)


def sum_over_axes(terms: Sequence[np.ndarray]) -> np.ndarray:
    """Return the array whose value at (i, j, …) is the sum of each axis's term there, the last ones added first.

    >>> sum_over_axes([np.array([0, 10]), np.array([1, 2, 3])]).tolist()
    [[1, 2, 3], [11, 12, 13]]
    """
    return reduce(lambda inner, term: np.add.outer(term, inner), reversed(terms))


def shell_sum(values: np.ndarray, shells: np.ndarray, count: int) -> np.ndarray:
    """Return the sums (count,) float64 of `values` over shells 0 … count − 1; pixels beyond are left out."""
    return np.bincount(shells.ravel(), np.ravel(values).astype(np.float64), minlength=count)[:count]


def friedel_weight(box: int, dimensions: int = 3) -> np.ndarray:
    """Return how many pixels of the full transform each pixel of the half transform represents: 1 or 2.

    The planes kx = 0 and (even boxes) kx = box / 2 contain both members of each Friedel pair. The shape
    (1, …, box // 2 + 1) broadcasts against the half transform.
    """
    weight = np.full(box // 2 + 1, 2.0)
    weight[0] = 1.0
    if box % 2 == 0:
        weight[-1] = 1.0
    return weight.reshape((1,) * (dimensions - 1) + (-1,))


def fsc_of_transforms(first: np.ndarray, second: np.ndarray, shells: np.ndarray, count: int,
                      weight: np.ndarray | float = 1.0) -> np.ndarray:
    """Return the Fourier shell correlation (count,) of two transforms; 0 where a shell is empty.

    Equation: Harauz & van Heel 1986, Optik 73, Σ Re(F₁ F₂*) / √(Σ|F₁|² Σ|F₂|²) over each shell.
    """
    first, second = first.astype(np.complex128, copy=False), second.astype(np.complex128, copy=False)
    cross = shell_sum((first * second.conj()).real * weight, shells, count)
    power = [shell_sum((f.real**2 + f.imag**2) * weight, shells, count) for f in (first, second)]
    norm = np.sqrt(power[0] * power[1])
    return np.divide(cross, norm, out=np.zeros(count), where=norm > 0)


def fsc(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the Fourier shell (ring) correlation of two maps (box, box, box) or images (box, box).

    Returns
    -------
    (box // 2 + 1,) float64
        Shells 0 … box // 2; shell s is at the resolution box · pixel size / s.

    Raises
    ------
    ValueError
        when the shapes differ or the axes have different lengths

    Examples
    --------
    >>> cube = np.random.default_rng(1).normal(size=(8, 8, 8))
    >>> bool(np.allclose(fsc(cube, cube), 1.0))
    True
    """
    if first.shape != second.shape or len(set(first.shape)) != 1:
        raise ValueError(f"FSC needs two maps of the same cubic shape, got {first.shape} and {second.shape}")
    box, dimensions = first.shape[0], first.ndim
    one, other = (scipy.fft.rfftn(np.asarray(a, np.float64)) for a in (first, second))
    return fsc_of_transforms(one, other, shell_index(box, dimensions), box // 2 + 1, friedel_weight(box, dimensions))


def last_shell_above(curve: np.ndarray, threshold: float) -> int:
    """Return the last shell before a curve first falls below the threshold; shell 0 does not count."""
    below = np.flatnonzero(curve[1:] < threshold)
    return int(below[0]) if below.size else len(curve) - 1


def last_shell_past_dips(curve: np.ndarray, threshold: float) -> int:
    """Return the last shell before a curve falls below the threshold and does not soon come back to stay.

    A dip is a fall of at most three shells with three shells or more above the threshold behind it, as where the CTFs
    of all particles have a zero. One or two shells of noise above the threshold do not end a fall.
    """
    shell, last = last_shell_above(curve, threshold), len(curve) - 1
    while rises := [rise for rise in range(shell + 2, min(shell + 2 + _DIP, last + 2 - _STAY))
                    if np.all(curve[rise : rise + _STAY] >= threshold)]:
        shell = rises[0] - 1 + last_shell_above(curve[rises[0] - 1 :], threshold)
    return shell


def resolution_at(curve: np.ndarray, box_size: float, threshold: float = 0.143) -> float:
    """Return the resolution in Å of the last shell before an FSC curve first falls below `threshold`.

    `box_size` is in Å (box · pixel size). Shell 0 does not count; a curve below it from the start gives `box_size`.
    """
    return box_size / max(last_shell_above(curve, threshold), 1)


def fsc_weight(fsc: Array) -> Array:
    """Return √(2 FSC / (1 + FSC)), 0 where the FSC is not positive; of any shape, usually (shells,).

    Rosenthal & Henderson 2003, J. Mol. Biol. 333.
    """
    xp = namespace(fsc)
    positive = xp.clip(fsc, 0.0, 1.0)
    return xp.sqrt(2.0 * positive / (1.0 + positive))
