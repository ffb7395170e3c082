"""What goes into a CTF fit and what comes out of it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from cryosnake.numerics.ctf import electron_wavelength


@dataclass(frozen=True)
class Microscope:
    """The optical constants of one optics group."""

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
class FitOptions:
    """Limits of a CTF fit; lengths in Å, angles in degrees."""

    resolution_low: float = 30.0
    resolution_high: float = 5.0
    defocus_min: float = 5000.0
    defocus_max: float = 50000.0
    defocus_step: float = 100.0
    astigmatism_tolerance: float = 0.0  # standard deviation of the expected U - V; 0 means no penalty
    phase_shifts: tuple[float, ...] = (0.0,)  # values of the exhaustive search; more than one: it is fitted too

    @property
    def fit_phase_shift(self) -> bool:
        """Whether the phase shift is a free parameter."""
        return len(self.phase_shifts) > 1


@dataclass(frozen=True)
class Defocus:
    """Defocus along the two axes (Å, U ≥ V), angle of U from x in [0, 180) degrees, phase shift in degrees."""

    u: float
    v: float
    angle: float
    phase_shift: float = 0.0

    @property
    def mean(self) -> float:
        """Mean defocus in Å."""
        return 0.5 * (self.u + self.v)

    @property
    def astigmatism(self) -> float:
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


@dataclass(frozen=True)
class CtfFit:
    """Result of `fit_ctf`."""

    defocus: Defocus
    figure_of_merit: float  # correlation of |CTF| with the spectrum
    fit_resolution: float  # Å, the rings agree with the fit down to here
    ice_ring_density: float  # excess power between 4.0 and 3.57 Å relative to both sides; NaN where there is no data
    frequency: np.ndarray  # (n,) Å⁻¹
    observed: np.ndarray  # (n,) equi-phase average of the spectrum without background, in units of the background
    fitted: np.ndarray  # (n,) CTF² of the fit
    correlation: np.ndarray  # (n,) local correlation of the two
