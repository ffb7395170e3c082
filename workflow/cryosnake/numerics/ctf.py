"""The contrast transfer function, RELION's sign: positive at low frequency for underfocus and light particles."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from cryosnake.numerics.backend import Array, namespace


def electron_wavelength(voltage: float) -> float:
    """Return the relativistic electron wavelength in Å for an acceleration voltage in kV.

    Method: de Broglie wavelength with the relativistic correction (Spence, High-Resolution Electron Microscopy,
    4th ed., eq. 2.5).
    """
    volts = voltage * 1e3
    return 12.2642598 / math.sqrt(volts * (1.0 + 0.978475598e-6 * volts))


@dataclass(frozen=True)
class Microscope:
    """The lens and the beam of one optics group."""

    voltage: float  # kV
    cs: float  # mm
    amplitude_contrast: float

    @property
    def wavelength(self) -> float:
        """Electron wavelength in Å."""
        return electron_wavelength(self.voltage)

    @property
    def spherical(self) -> float:
        """½ π Cs λ³ in Å⁴, the factor of k⁴ in the phase."""
        return 0.5 * math.pi * self.cs * 1e7 * self.wavelength**3


@dataclass(frozen=True)
class Defocus:
    """Underfocus along the two axes in Å, angle of U from x in degrees, phase shift in degrees; arrays broadcast.

    What is fitted has U ≥ V and an angle in [0, 180).
    """

    u: float | Array
    v: float | Array
    angle: float | Array
    phase_shift: float | Array = 0.0

    @property
    def mean(self) -> float | Array:
        """Mean defocus in Å."""
        return 0.5 * (self.u + self.v)

    @property
    def astigmatism(self) -> float | Array:
        """U - V in Å."""
        return self.u - self.v

    def vector(self) -> np.ndarray:
        """(4,): mean, ½ (U - V) cos 2θ, ½ (U - V) sin 2θ in Å, phase shift in radians: the phase is linear in them."""
        half, double = 0.5 * self.astigmatism, math.radians(2.0 * self.angle)
        return np.array([self.mean, half * math.cos(double), half * math.sin(double), math.radians(self.phase_shift)])

    @classmethod
    def from_vector(cls, vector: np.ndarray) -> Defocus:
        """Inverse of `vector`."""
        mean, along, across, phase = (float(value) for value in vector)
        half = math.hypot(along, across)
        angle = math.degrees(0.5 * math.atan2(across, along)) % 180.0
        return cls(mean + half, mean - half, 0.0 if angle >= 180.0 else angle, math.degrees(phase))


def ctf_phase(
    frequency_squared: Array,  # (...) Å⁻²
    azimuth: Array,  # (...) radians, atan2(ky, kx)
    defocus: Defocus,
    microscope: Microscope,
) -> Array:
    """Return χ(k), so that CTF = sin χ: π λ Δf k² − ½ π Cs λ³ k⁴ + phase shift + asin(amplitude contrast).

    Method: wave aberration of a round lens with two-fold astigmatism (Rohou & Grigorieff 2015, J. Struct. Biol. 192,
    eqs. 2-5). All arguments broadcast.
    """
    xp = namespace(frequency_squared)
    angle = azimuth - defocus.angle * (math.pi / 180.0)
    local = defocus.mean + 0.5 * defocus.astigmatism * xp.cos(2.0 * angle)
    offset = math.asin(microscope.amplitude_contrast) + defocus.phase_shift * (math.pi / 180.0)
    slope = math.pi * microscope.wavelength * local
    return slope * frequency_squared - microscope.spherical * frequency_squared**2 + offset


def ctf(frequency_squared: Array, azimuth: Array, defocus: Defocus, microscope: Microscope) -> Array:
    """Return the CTF; arguments and units as in `ctf_phase`."""
    return namespace(frequency_squared).sin(ctf_phase(frequency_squared, azimuth, defocus, microscope))
