"""Odd and even aberrations fitted to the sums of an optics group, with the precision that its images allow.

Maximum likelihood in white noise of each shell (Zivanov, Nakane & Scheres 2020, IUCrJ 7, 253-267, fit the same sums in
two steps). Found by Fisher scoring; from low to high resolution, so that a phase beyond π does not mislead it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cryosnake.numerics.aberrations import even_order, even_phase, odd_order, odd_phase, zernike
from cryosnake.numerics.ctf_refine.phase_sums import PhaseSums
from cryosnake.numerics.ctf_refine.shells import noise_of_shells, scale_of_shells

ODD_TERMS, EVEN_TERMS = 6, 9
_REACHES = (0.35, 0.5, 0.65, 0.8, 1.0)  # of the highest frequency
_STEPS, _LONGEST, _CLOSE = 30, 0.5, 1e-4  # scoring steps at each, and radians of one
_RIDGE = 1.0 / 9.0  # radians⁻², of a term at the edge of the band, until the whole band is used


@dataclass(frozen=True, kw_only=True)
class Frequencies:
    """Pixels of a band: kx, ky (pixels,) float64 in 1/Å as the particle sees them, and shell (pixels,) int64."""

    kx: np.ndarray
    ky: np.ndarray
    shell: np.ndarray

    @property
    def radius(self) -> np.ndarray:
        """|k| (pixels,), 1/Å."""
        return np.hypot(self.kx, self.ky)


@dataclass(frozen=True, kw_only=True)
class PhaseFit:
    """Aberrations of an optics group.

    Attributes
    ----------
    odd, even : (6,), (9,) float64, or longer
        Zernike coefficients in RELION's order, rad Åⁿ; beam tilt is in the odd ones.
    odd_error, even_error : float
        Expected RMS error of the fitted phases over the band, radians (Cramér-Rao).
    """

    odd: np.ndarray
    even: np.ndarray
    odd_error: float
    even_error: float


def fit_phases(sums: PhaseSums, at: Frequencies, odd: Sequence[float], even: Sequence[float], *,
               odd_terms: Sequence[int] = (), even_terms: Sequence[int] = ()) -> PhaseFit:
    """Return the aberrations that explain the sums best; terms that are not listed stay as they are.

    Parameters
    ----------
    odd, even : sequence of float
        Coefficients, at least 6 and 9; those that are not fitted stay.
    odd_terms, even_terms : sequence of int
        Which coefficients are fitted: those of all orders up to one, so that the terms of a smaller band are theirs.
    """
    fit = _Fit(sums, at, np.array(odd, float), np.array(even, float), list(odd_terms), list(even_terms))
    for reach in _REACHES:
        fit.within(reach)
    return PhaseFit(odd=fit.odd.coefficients(), even=fit.even.coefficients(), odd_error=fit.odd.error,
                    even_error=fit.even.error)


class _Series:
    """A phase as fixed terms and fitted ones, the latter on the unit disc of the band."""

    def __init__(self, at: Frequencies, coefficients: np.ndarray, terms: list[int], is_odd: bool) -> None:
        self._fixed, self._terms = coefficients.copy(), terms
        self._fixed[terms] = 0.0
        order, top = odd_order if is_odd else even_order, float(at.radius.max())
        self._own = np.stack([zernike(*order(term), at.kx, at.ky) for term in terms], 1) if terms else None
        shape = (len(at.kx), len(terms))
        self.basis = (np.stack([zernike(*order(term), at.kx / top, at.ky / top) for term in terms], 1) if terms
                      else np.zeros(shape))
        self._base = odd_phase(self._fixed.tolist(), (0.0, 0.0), None, at.kx, at.ky) if is_odd else even_phase(
            self._fixed.tolist(), at.kx, at.ky)
        self._moments = self.basis.T @ self.basis / len(at.kx)
        self.values = np.zeros(len(terms))
        self.error = 0.0

    def phase(self) -> np.ndarray:
        return np.asarray(self._base + self.basis @ self.values)

    def coefficients(self) -> np.ndarray:
        """Return the Zernike coefficients: the same polynomial in 1/Å."""
        found = self._fixed.copy()
        if self._own is not None:
            found[self._terms] += np.linalg.lstsq(self._own, self.basis @ self.values, rcond=None)[0]
        return found

    def step(self, slope: np.ndarray, weight: np.ndarray, ridge: float) -> float:
        """Move by one scoring step, of at most `_LONGEST` radians anywhere; return how far, radians."""
        if not self._terms:
            return 0.0
        basis = self.basis
        normal = (basis * weight[:, None]).T @ basis + ridge * np.eye(len(self.values))
        normal += 1e-12 * np.trace(normal) * np.eye(len(self.values)) + 1e-30 * np.eye(len(self.values))
        change = np.linalg.solve(normal, basis.T @ slope - ridge * self.values)
        longest = float(np.abs(basis @ change).max())
        self.values = self.values + change * min(1.0, _LONGEST / max(longest, 1e-30))
        self.error = float(np.sqrt(np.sum(np.linalg.inv(normal) * self._moments)))  # mean variance of the phase
        return longest


class _Fit:
    def __init__(self, sums: PhaseSums, at: Frequencies, odd: np.ndarray, even: np.ndarray, odd_terms: list[int],
                 even_terms: list[int]) -> None:
        self._sums, self._at = sums, at
        self.odd, self.even = _Series(at, odd, odd_terms, True), _Series(at, even, even_terms, False)
        self._noise = noise_of_shells(sums.power, sums.count, at.shell)

    def within(self, reach: float) -> None:
        """Climb to the best phases below a part of the highest frequency."""
        radius = self._at.radius
        inside = radius <= reach * float(radius.max()) * (1.0 + 1e-9)
        ridge = 0.0 if reach >= 1.0 else _RIDGE
        for _ in range(_STEPS):
            if self._step(inside, ridge) < _CLOSE:
                break

    def _step(self, inside: np.ndarray, ridge: float) -> float:
        sums, phi, even = self._sums, self.odd.phase(), self.even.phase()
        back = np.exp(-1j * phi)
        turned, squares = back * sums.cross(even), sums.squares(even)
        shell = np.where(inside, self._at.shell, 0)
        scale = scale_of_shells(np.where(inside, turned.real, 0.0), np.where(inside, squares, 0.0), shell)
        factor = np.where(inside, 2.0 * scale / self._noise, 0.0)
        sideways = -(back * (np.sin(even) * sums.cross_sin + np.cos(even) * sums.cross_cos)).real
        # half of the slope of the predictions' own power, Σ |p|² CTF²
        own = -(np.sin(even) * np.cos(even) * (sums.sin2 - sums.cos2) + np.cos(2.0 * even) * sums.sin_cos)
        return max(self.odd.step(factor * turned.imag, factor * scale * squares, ridge),
                   self.even.step(factor * (sideways - scale * own), factor * scale * sums.slopes(even), ridge))
