"""Whether the Thon rings of particle images are those of their defoci, or of defoci that are all off by one factor.

No reference is needed: the power of the images, the mean of each micrograph, has maxima and minima where its CTF has
them. Only frequencies at which the box resolves the rings are used.
"""

from __future__ import annotations

import math

import numpy as np
import scipy.fft

from cryosnake.numerics.ctf import Microscope

SCALES = np.exp(np.linspace(-math.log(2.2), math.log(2.2), 41))  # of the defoci; the middle one is 1
MIDDLE = len(SCALES) // 2
_FEWEST_SHELLS = 10


def radial_power(images: np.ndarray) -> np.ndarray:
    """Return the mean power (box // 2,) of images (n, box, box) on shells."""
    box = images.shape[-1]
    power = np.square(np.abs(scipy.fft.rfft2(images.astype(np.float32)))).mean(axis=0)
    radius = np.hypot(np.fft.fftfreq(box, 1 / box)[:, None], np.arange(box // 2 + 1)[None])
    shell = np.rint(radius).astype(int).ravel()
    sums, counts = np.bincount(shell, power.ravel()), np.bincount(shell)
    return (sums / counts)[: box // 2]


def agreement(power: np.ndarray, defocus: float, phase_shift: float, length: float, microscope: Microscope,
              ) -> np.ndarray | None:
    """Return the correlation of the rings in a power spectrum with those of a defocus times each of `SCALES`.

    Parameters
    ----------
    power
        (shells,) of `radial_power`.
    defocus
        Mean, Å.
    phase_shift
        Degrees.
    length
        Å, of the box.

    Returns
    -------
    (scales,) ndarray, or None where the box is too small for the rings of this defocus
    """
    shells = np.arange(len(power))
    squared = (shells / length) ** 2
    resolved = 2 * math.pi * microscope.wavelength * defocus * shells / length**2 < 0.45 * math.pi
    used = resolved & (shells >= max(3, round(length / 30.0)))
    if used.sum() < _FEWEST_SHELLS:
        return None
    offset = math.asin(microscope.amplitude_contrast) + math.radians(phase_shift)
    phase = (math.pi * microscope.wavelength * defocus * SCALES[:, None] * squared - microscope.spherical * squared**2
             + offset)
    rings = _without_background(np.sin(phase)[:, used] ** 2)
    seen = _without_background(np.log(np.maximum(power[used], 1e-30))[None])[0]
    norms = np.linalg.norm(rings, axis=1) * np.linalg.norm(seen)
    return rings @ seen / np.maximum(norms, 1e-12)


def _without_background(rows: np.ndarray) -> np.ndarray:
    """Return rows (n, shells) less a cubic through each."""
    x = np.linspace(-1.0, 1.0, rows.shape[1])
    basis = np.linalg.qr(np.stack([x**power for power in range(4)], axis=1))[0]
    return rows - rows @ basis @ basis.T
