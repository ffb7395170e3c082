"""Fit of the two defoci, the angle and the phase shift to the whole spectrum."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numba
import numpy as np
from scipy.optimize import minimize

from cryosnake.numerics.ctf import Defocus, Microscope
from cryosnake.numerics.ctf_fit.likelihood import most_likely
from cryosnake.numerics.ctf_fit.model import FitOptions
from cryosnake.numerics.ctf_fit.rings import Background, Rings
from cryosnake.numerics.ctf_fit.search import DECAYS, resolved

START_ASTIGMATISM = (200.0, 600.0, 1200.0)  # ½ (U - V) in Å of the starting points, in eight directions each
COARSE_RESOLUTION = 8.0  # Å: up to here a wrong start is less than half a ring off, so that the fit still finds home
KEPT_STARTS = 4
FINALISTS = 3


@numba.njit(cache=True, fastmath=True)
def ring_sums(
    vector: np.ndarray,  # (4,) see Defocus.vector
    value: np.ndarray,  # (n,) float32
    frequency_squared: np.ndarray,  # (n,) float32, Å⁻²
    cosine: np.ndarray,  # (n,) float32
    sine: np.ndarray,  # (n,) float32
    ring: np.ndarray,  # (n,) int32
    wavelength: float,  # Å
    spherical: float,  # Å⁴
    offset: float,  # radians, of the amplitude contrast
    rings: int,
) -> np.ndarray:
    """Return (3, rings): the sums over each ring of t, t × value and t², where t = -cos 2χ."""
    sums = np.zeros((3, rings))
    mean, along = np.float32(2.0 * math.pi * wavelength * vector[0]), np.float32(2.0 * math.pi * wavelength * vector[1])
    across, constant = np.float32(2.0 * math.pi * wavelength * vector[2]), np.float32(2.0 * (vector[3] + offset))
    fourth = np.float32(2.0 * spherical)
    for i in range(value.size):
        k2 = frequency_squared[i]
        t = -np.cos(k2 * (mean + along * cosine[i] + across * sine[i] - fourth * k2) + constant)
        r = ring[i]
        sums[0, r] += t
        sums[1, r] += t * value[i]
        sums[2, r] += t * t
    return sums


@dataclass(kw_only=True)
class Objective:
    """Correlation of a spectrum with the CTF, background and decay of the rings taken out of the comparison."""

    rings: Rings
    microscope: Microscope
    tolerance: float
    phase_range: tuple[float, float] = (-math.inf, math.inf)  # radians
    decay: float = 40.0

    def __post_init__(self) -> None:
        self.background = Background(self.rings.frequency, self.rings.count)
        profile = self.rings.mean()
        self.value = (self.rings.value - self.background.fit(profile)[self.rings.ring]).astype(np.float32)
        self.norm = float(np.linalg.norm(self.value))

    def sums(self, vector: np.ndarray) -> np.ndarray:
        """Return `ring_sums` of these rings."""
        scope = self.microscope
        return ring_sums(vector, self.value, self.rings.frequency_squared, self.rings.cosine, self.rings.sine,
                         self.rings.ring, scope.wavelength, scope.spherical,
                         math.asin(scope.amplitude_contrast), self.rings.frequency.size)

    def correlation(self, vector: np.ndarray, decay: float | None = None) -> float:
        """Return the partial correlation, given the background, of the spectrum with -cos 2χ exp(-b k²)."""
        return self._correlate(self.sums(vector), vector, self.decay if decay is None else decay)

    def _correlate(self, sums: np.ndarray, vector: np.ndarray, decay: float) -> float:
        frequency = self.rings.frequency
        envelope = np.exp(-decay * frequency**2) * resolved(vector[0], frequency, self.microscope.wavelength,
                                                            1.0 / self.rings.step)
        total = float(envelope**2 @ sums[2])
        smooth = self.background.basis.T @ (envelope * sums[0] / self.background.root)
        # A template that is nearly all background would divide noise by nothing.
        left = max(total - float(smooth @ smooth), 0.25 * total, 1e-12)
        return float(envelope @ sums[1]) / (math.sqrt(left) * self.norm)

    def choose_decay(self, vector: np.ndarray) -> None:
        """Set the decay under which these parameters agree best with the spectrum."""
        sums = self.sums(vector)
        self.decay = max(DECAYS, key=lambda decay: self._correlate(sums, vector, decay))

    def cost(self, vector: np.ndarray) -> float:
        """Return the negative correlation plus the penalty on astigmatism (a Gaussian prior per pixel).

        Beyond the range of the phase shift the cost is that at its end and rises: CTF² has the period π, but the sign
        of the CTF, and with it the contrast of the particles, would turn.
        """
        inside = min(max(vector[3], self.phase_range[0]), self.phase_range[1])
        penalty = abs(vector[3] - inside)
        vector = np.array([*vector[:3], inside])
        if self.tolerance > 0.0:
            astigmatism = 2.0 * math.hypot(vector[1], vector[2])
            penalty = 0.5 * (astigmatism / self.tolerance) ** 2 / self.value.size
        return penalty - self.correlation(vector)


def refine_defocus(
    rings: Rings, microscope: Microscope, options: FitOptions, candidates: list[tuple[float, float]]
) -> Defocus:
    """Fit defocus U, V, angle (and phase shift) from candidates (defocus in Å, phase shift in degrees).

    Starts with and without astigmatism are compared on the rings below COARSE_RESOLUTION, the best are fitted there
    by the simplex method, and the best of these are fitted to all rings, the winner by likelihood. The phase is linear
    in the mean defocus and the two components of the astigmatism, so these are the variables: the angle has no seam and
    U, V need no order.
    """
    limit = 1.0 / options.resolution_high
    coarse_limit = min(limit, max(1.0 / COARSE_RESOLUTION, rings.frequency[0] + 0.6 * (limit - rings.frequency[0])))
    phases = (math.radians(min(options.phase_shifts)), math.radians(max(options.phase_shifts)))
    coarse = Objective(rings=rings.up_to(coarse_limit), microscope=microscope, tolerance=options.astigmatism_tolerance,
                       phase_range=phases)
    fine = Objective(rings=rings.up_to(limit), microscope=microscope, tolerance=options.astigmatism_tolerance,
                     phase_range=phases)
    starts = [np.array([defocus, half * math.cos(turn), half * math.sin(turn), math.radians(phase)])
              for defocus, phase in candidates for half, turn in _astigmatism_starts()]
    ranked = sorted(starts, key=fine.cost)
    fine.choose_decay(ranked[0])
    coarse.decay = fine.decay
    free = 4 if options.fit_phase_shift else 3
    fitted = [_simplex(coarse, start, free, 150.0, 20.0) for start in sorted(starts, key=coarse.cost)[:KEPT_STARTS]]
    fitted += ranked[:KEPT_STARTS]
    finalists = [_simplex(fine, start, free, 100.0, 20.0) for start in sorted(fitted, key=fine.cost)[:FINALISTS]]
    best = most_likely(fine.rings, microscope, min(finalists, key=fine.cost), free, options.astigmatism_tolerance)
    if not phases[0] <= best[3] <= phases[1]:
        best[3] = np.clip(best[3], *phases)
        best = most_likely(fine.rings, microscope, best, 3, options.astigmatism_tolerance)
    return Defocus.from_vector(best)


def _astigmatism_starts() -> list[tuple[float, float]]:
    turns = np.arange(8) * (math.pi / 4.0)
    return [(0.0, 0.0)] + [(half, float(turn)) for half in START_ASTIGMATISM for turn in turns]


def _simplex(objective: Objective, start: np.ndarray, free: int, step: float, tolerance: float) -> np.ndarray:
    """Minimise the cost over the first `free` variables; `step` and `tolerance` in Å."""
    scale = np.array([step, step, step, math.radians(10.0)])
    corners = np.concatenate([np.zeros((1, free)), np.eye(free)])

    def cost(moved: np.ndarray) -> float:
        vector = start.copy()
        vector[:free] += moved * scale[:free]
        return objective.cost(vector)

    result = minimize(cost, np.zeros(free), method="Nelder-Mead",
                      options={"initial_simplex": corners, "xatol": tolerance / step, "fatol": 1e-6, "maxfev": 400})
    end = start.copy()
    end[:free] += result.x * scale[:free]
    return end
