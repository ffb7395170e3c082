"""Aberrations of simulated images, as polynomials in kx and ky: written apart from the code that corrects them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from cryosnake.numerics.ctf import Microscope


@dataclass(frozen=True, kw_only=True)
class Aberrations:
    """What a lens adds to defocus, astigmatism and Cs; a frequency k of the image is M k of the particle.

    `beam_tilt` in mrad; `odd` and `even` are RELION's first 6 and 9 Zernike coefficients, rad Åⁿ; `magnification` is M.
    """

    beam_tilt: tuple[float, float] = (0.0, 0.0)
    odd: tuple[float, ...] = (0.0,) * 6
    even: tuple[float, ...] = (0.0,) * 9
    magnification: tuple[tuple[float, float], tuple[float, float]] = ((1.0, 0.0), (0.0, 1.0))

    @property
    def is_even(self) -> bool:
        """Whether images have no odd aberration, so that their transfer is real."""
        return not (any(self.odd) or any(self.beam_tilt))

    def columns(self) -> dict[str, Any]:
        """Return RELION's columns of the optics table, only those that say something."""
        (xx, xy), (yx, yy) = self.magnification
        found: dict[str, Any] = {}
        if any(self.beam_tilt):
            found |= {"rlnBeamTiltX": self.beam_tilt[0], "rlnBeamTiltY": self.beam_tilt[1]}
        for label, terms in (("rlnOddZernike", self.odd), ("rlnEvenZernike", self.even)):
            found |= {label: f"[{','.join(f'{term:g}' for term in terms)}]"} if any(terms) else {}
        if (xx, xy, yx, yy) != (1.0, 0.0, 0.0, 1.0):
            found |= {"rlnMagMat00": xx, "rlnMagMat01": xy, "rlnMagMat10": yx, "rlnMagMat11": yy}
        return found

    def at(self, kx: np.ndarray, ky: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the frequencies of the particle at those of the image."""
        (xx, xy), (yx, yy) = self.magnification
        return xx * kx + xy * ky, yx * kx + yy * ky

    def odd_phase(self, x: np.ndarray, y: np.ndarray, microscope: Microscope) -> np.ndarray:
        """Return the phase of the image at the particle's frequencies x and y, 1/Å; radians."""
        r2, terms = x * x + y * y, self.odd
        zernike = (terms[0] * y + terms[1] * x + terms[2] * (3 * x * x - y * y) * y + terms[3] * (3 * r2 - 2) * y
                   + terms[4] * (3 * r2 - 2) * x + terms[5] * (x * x - 3 * y * y) * x)
        # the wave aberration ½ π Cs λ³ |k + t/λ|⁴, to the first order in the tilt t, radians
        coma = 2.0 * math.pi * microscope.cs * 1e7 * microscope.wavelength**2 * r2
        return np.asarray(zernike - coma * 1e-3 * (self.beam_tilt[0] * x + self.beam_tilt[1] * y))

    def even_phase(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return the phase that is taken from the CTF's, at the particle's frequencies; radians."""
        r2, double, difference = x * x + y * y, 2 * x * y, x * x - y * y
        shapes = (np.ones_like(r2), double, 2 * r2 - 1, difference, 2 * double * difference, (4 * r2 - 3) * double,
                  6 * r2 * r2 - 6 * r2 + 1, (4 * r2 - 3) * difference, difference**2 - double**2)
        return sum((term * shape for term, shape in zip(self.even, shapes, strict=True)), np.zeros_like(r2))

    def seen_axes(self, matrices: np.ndarray) -> np.ndarray:
        """Return rotation matrices (n, 3, 3) whose image axes are distorted: Mᵀ times the particle's x and y."""
        distorted = matrices.copy()
        distorted[:, :2] = np.array(self.magnification).T @ matrices[:, :2]
        return distorted


NONE = Aberrations()
