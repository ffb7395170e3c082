"""Aberrations of the lens and the beam beyond defocus, astigmatism and Cs, in RELION's terms.

An image's transform is CTF · exp(i odd(k)) · the particle's slice: odd terms are phases of the image, even terms belong
to the phase of the CTF. Frequencies kx, ky are in 1/Å.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from cryosnake.numerics.backend import Array, namespace
from cryosnake.numerics.ctf import Microscope


def odd_phase(coefficients: Sequence[float], tilt: tuple[float, float], microscope: Microscope | None, kx: Array,
              ky: Array) -> Array:
    """Return the phase (…) in radians by which odd aberrations turn an image's transform.

    Parameters
    ----------
    coefficients : sequence of float
        rlnOddZernike: (m, n) = (−1, 1), (1, 1), (−3, 3), (−1, 3), (1, 3), (3, 3), (−5, 5) …; rad Åⁿ.
    tilt : (float, float)
        rlnBeamTiltX and Y, mrad: the coma −2π Cs λ² k² (tilt · k), which needs the microscope.
    kx, ky : (…) 1/Å
    """
    phase = _series(coefficients, map(odd_order, range(len(coefficients))), kx, ky)
    if any(tilt):
        assert microscope is not None
        coma = -2e4 * math.pi * microscope.cs * microscope.wavelength**2  # mrad and mm: 10⁻³ · 10⁷
        phase = phase + coma * (kx**2 + ky**2) * (tilt[0] * kx + tilt[1] * ky)
    return phase


def even_phase(coefficients: Sequence[float], kx: Array, ky: Array) -> Array:
    """Return the phase (…) in radians that even aberrations take from `ctf_phase`.

    `coefficients` is rlnEvenZernike: (m, n) = (0, 0), (−2, 2), (0, 2), (2, 2), (−4, 4) …; rad Åⁿ.
    """
    return _series(coefficients, map(even_order, range(len(coefficients))), kx, ky)


def odd_order(index: int) -> tuple[int, int]:
    """Return (m, n) of a coefficient of rlnOddZernike."""
    row = (math.isqrt(1 + 4 * index) - 1) // 2
    return 2 * (index - row * row - row) - (2 * row + 1), 2 * row + 1


def even_order(index: int) -> tuple[int, int]:
    """Return (m, n) of a coefficient of rlnEvenZernike."""
    row = math.isqrt(index)
    return 2 * (index - row * row - row), 2 * row


def _series(coefficients: Sequence[float], orders: Iterable[tuple[int, int]], kx: Array, ky: Array) -> Array:
    phase = namespace(kx).zeros_like(kx)
    for factor, (m, n) in zip(coefficients, orders, strict=True):
        if factor:
            phase = phase + factor * zernike(m, n, kx, ky)
    return phase


def zernike(m: int, n: int, kx: Array, ky: Array) -> Array:
    """Return the Zernike term R(k) cos mφ for m ≥ 0, R(k) sin |m|φ for m < 0; not normalised, k not scaled to 1.

    Method: Zernike (1934), radial polynomials as in Born & Wolf, Principles of Optics, section 9.2.1; k^|m| times a
    polynomial in k², times the real or imaginary part of exp(i|m|φ).

    >>> import numpy as np
    >>> zernike(-1, 3, np.zeros(1), np.full(1, 0.5)).tolist()  # 3 k³ − 2 k
    [-0.625]
    """
    xp, order, squared = namespace(kx), abs(m), kx**2 + ky**2
    real, imaginary = xp.ones_like(kx), xp.zeros_like(kx)
    for _ in range(order):  # (kx + i ky)^|m|
        real, imaginary = real * kx - imaginary * ky, real * ky + imaginary * kx
    radial = xp.zeros_like(kx)
    for k in range((n - order) // 2 + 1):
        ways = math.factorial(k) * math.factorial((n + order) // 2 - k) * math.factorial((n - order) // 2 - k)
        radial = radial + (-1) ** k * math.factorial(n - k) / ways * squared ** ((n - order) // 2 - k)
    return radial * (imaginary if m < 0 else real)
