"""Sums over particles, pixel by pixel, from which odd and even aberrations follow together.

An image is s · sin(χ − e) · exp(iφ) · p, with χ the phase of its CTF without the even aberrations e, φ the odd ones and
p its prediction. The sums hold for any e and φ, so one pass over the images serves every fit of them.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from cryosnake.numerics.backend import Array, namespace, to_numpy


@dataclass(frozen=True, kw_only=True)
class PhaseSums:
    """Sums over the particles of an optics group; p̄ is the conjugate of the prediction.

    Attributes
    ----------
    cross_sin, cross_cos : (pixels,) complex128
        Σ image · p̄ · sin χ, and with cos χ.
    sin2, sin_cos, cos2 : (pixels,) float64
        Σ |p|² sin² χ, Σ |p|² sin χ cos χ, Σ |p|² cos² χ.
    power : (pixels,) float64
        Σ |image|².
    count : int
        Particles.
    """

    cross_sin: np.ndarray
    cross_cos: np.ndarray
    sin2: np.ndarray
    sin_cos: np.ndarray
    cos2: np.ndarray
    power: np.ndarray
    count: int

    def __add__(self, other: PhaseSums) -> PhaseSums:
        return PhaseSums(**{each.name: getattr(self, each.name) + getattr(other, each.name) for each in fields(self)})

    def cross(self, even: np.ndarray) -> np.ndarray:
        """Return Σ image · p̄ · CTF (pixels,) complex128 for even aberrations (pixels,), radians."""
        return np.asarray(np.cos(even) * self.cross_sin - np.sin(even) * self.cross_cos)

    def squares(self, even: np.ndarray) -> np.ndarray:
        """Return Σ |p|² CTF² (pixels,) for even aberrations (pixels,), radians."""
        cos, sin = np.cos(even), np.sin(even)
        return np.asarray(cos**2 * self.sin2 - 2.0 * sin * cos * self.sin_cos + sin**2 * self.cos2)

    def slopes(self, even: np.ndarray) -> np.ndarray:
        """Return Σ |p|² (∂CTF/∂e)² (pixels,) for even aberrations (pixels,), radians."""
        return self.sin2 + self.cos2 - self.squares(even)


def phase_sums(images: Array, predictions: Array, phase: Array) -> PhaseSums:
    """Return the sums over particles.

    Parameters
    ----------
    images, predictions : (n, pixels) complex64
        Transforms, centred alike.
    phase : (n, pixels) float32
        χ, radians, without even aberrations.
    """
    xp = namespace(images)
    cross, power = images * xp.conj(predictions), _squared(predictions)
    sin, cos = xp.sin(phase), xp.cos(phase)
    sin2 = power * sin * sin
    found = {"cross_sin": cross * sin, "cross_cos": cross * cos, "sin2": sin2, "sin_cos": power * sin * cos,
             "cos2": power - sin2, "power": _squared(images)}
    return PhaseSums(count=len(images), **{
        name: to_numpy(values.sum(0, dtype=xp.complex128 if values.dtype.kind == "c" else xp.float64))
        for name, values in found.items()})


def _squared(values: Array) -> Array:
    return values.real**2 + values.imag**2
