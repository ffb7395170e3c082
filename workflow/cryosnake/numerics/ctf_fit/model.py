"""Input and output of a CTF fit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cryosnake.numerics.ctf import Defocus


@dataclass(frozen=True, kw_only=True)
class FitOptions:
    """Limits of a CTF fit; lengths in Å, angles in degrees."""

    resolution_low: float = 30.0
    resolution_high: float = 5.0
    defocus_min: float = 5000.0
    defocus_max: float = 50000.0
    defocus_step: float = 100.0
    astigmatism_tolerance: float = 0.0  # standard deviation of the expected U - V; 0 means no penalty
    phase_shifts: tuple[float, ...] = (0.0,)  # values of the exhaustive search; fitted if more than one

    @property
    def fit_phase_shift(self) -> bool:
        """Whether the phase shift is a free parameter."""
        return len(self.phase_shifts) > 1


@dataclass(frozen=True, kw_only=True)
class CtfFit:
    """Result of `fit_ctf`."""

    defocus: Defocus
    figure_of_merit: float  # correlation of |CTF| with the spectrum
    fit_resolution: float  # Å, the rings agree with the fit to this resolution
    profile_correlation: float  # of the rotational average with its best CTF: noise 0.2 to 0.55, rings 0.6 and more
    ice_ring_density: float  # excess power between 4.0 and 3.57 Å relative to both sides; NaN where there is no data
    frequency: np.ndarray  # (n,) Å⁻¹
    observed: np.ndarray  # (n,) equi-phase average of the spectrum without background, in units of the background
    fitted: np.ndarray  # (n,) CTF² of the fit
    correlation: np.ndarray  # (n,) local correlation of the two
