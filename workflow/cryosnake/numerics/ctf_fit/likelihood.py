"""The last step of a CTF fit: lens, signal and noise together, by the likelihood of the power of each pixel."""

from __future__ import annotations

import math

import numpy as np
from scipy.interpolate import BSpline

from cryosnake.numerics.ctf import Microscope
from cryosnake.numerics.ctf_fit.rings import Rings

# Knots of the signal are a factor of 1.3 apart: the power of protein falls by factors of ten between 30 and 10 Å. That
# moves the maxima of the rings to lower frequencies, which a model that can't follow takes for a phase shift.
SIGNAL_RATIO = 1.3
NOISE_SPACING = 0.08  # Å⁻¹: the noise of a detector has no structure
ENVELOPE_STEPS = 3  # of signal and noise alone, with the lens as it was found before
MOST_STEPS = 40
ENOUGH = 0.05  # a step that gains less is the last; log likelihood, that is, a third of a standard deviation
STIFFNESS = 1e-3  # of second differences of the splines: keeps finite what the spectrum says nothing about
LENS = 4  # variables, see Defocus.vector
MOST_MOVE = np.array([300.0, 300.0, 300.0, 0.5])  # of these in one step; Å and radians


class PowerModel:
    """The power of a spectrum as signal(k) sin² χ + noise(k); the background of the last ring is 1.

    A state holds the lens, then the coefficients of signal and noise, whose logarithms are cubic splines.
    """

    def __init__(self, rings: Rings, microscope: Microscope) -> None:
        background = (rings.background / rings.background[-1]).astype(np.float32)
        self.power = ((1.0 + rings.value) * background[rings.ring]) ** 2
        self.ring, k2 = rings.ring, rings.frequency_squared
        self.spherical = np.float32(microscope.spherical) * k2**2 - np.float32(math.asin(microscope.amplitude_contrast))
        focus = np.float32(math.pi * microscope.wavelength) * k2
        self.lens = [focus, focus * rings.cosine, focus * rings.sine, np.ones_like(focus)]
        frequency = rings.frequency
        self.bases = [_splines(np.log(frequency), math.log(SIGNAL_RATIO)), _splines(frequency, NOISE_SPACING)]
        bends = [np.diff(np.eye(basis.shape[1]), 2, axis=0) for basis in self.bases]
        sizes = [LENS, *(bend.shape[1] for bend in bends)]
        self.parts = [slice(end - size, end) for size, end in zip(sizes, np.cumsum(sizes), strict=True)]
        self.prior = np.zeros((sum(sizes), sum(sizes)))
        for part, bend in zip(self.parts[1:], bends, strict=True):
            self.prior[part, part] = STIFFNESS * bend.T @ bend

    def start(self, vector: np.ndarray) -> np.ndarray:
        """Return a state with this lens (4,), half of the mean power from the signal and half from noise."""
        state = np.zeros(len(self.prior))
        state[:LENS], state[self.parts[2]] = vector, math.log(0.5)
        return state

    def expected(self, state: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return signal, noise, χ and the expected power of each pixel."""
        signal, noise = (np.exp(basis @ state[part]).astype(np.float32)[self.ring]
                         for basis, part in zip(self.bases, self.parts[1:], strict=True))
        phase = sum(np.float32(value) * slope for value, slope in zip(state, self.lens, strict=False)) - self.spherical
        return signal, noise, phase, signal * np.sin(phase) ** 2 + noise

    def cost(self, state: np.ndarray) -> float:
        """Return the negative logarithm of the likelihood (that of exponentially distributed powers) and prior."""
        expected = self.expected(state)[3]
        return float(np.sum(self.power / expected + np.log(expected), dtype=np.float64)
                     + 0.5 * state @ self.prior @ state)

    def equations(self, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the gradient of -cost and the curvature to be expected (Fisher's information).

        The splines are the same for all pixels of a ring, over which sums come first. Products of matrices over pixels
        would depend on the number of threads.
        """
        signal, noise, phase, expected = self.expected(state)
        noise /= expected
        excess, focused = self.power / expected - 1.0, signal * np.sin(2.0 * phase) / expected
        slopes, shares = [focused * slope for slope in self.lens], [1.0 - noise, noise]  # of log(expected)
        gradient = -self.prior @ state
        curvature = self.prior.copy()
        for i, slope in enumerate(slopes):
            gradient[i] += np.sum(slope * excess, dtype=np.float64)
            for j in range(i + 1):
                curvature[i, j] += np.sum(slope * slopes[j], dtype=np.float64)
        for part, basis, share in zip(self.parts[1:], self.bases, shares, strict=True):
            gradient[part] += basis.T @ self._over_rings(share * excess)
            curvature[part, :LENS] += basis.T @ np.stack([self._over_rings(share * slope) for slope in slopes], 1)
            for other, its, share_too in zip(self.parts[1:], self.bases, shares, strict=True):
                if other.start <= part.start:
                    curvature[part, other] += basis.T @ (self._over_rings(share * share_too)[:, None] * its)
        lower = np.tril(curvature)
        return gradient, lower + np.tril(lower, -1).T

    def _over_rings(self, values: np.ndarray) -> np.ndarray:
        """Return the sums (rings,) of values of pixels."""
        return np.bincount(self.ring, values, len(self.bases[0]))

    def spread(self, state: np.ndarray) -> float:
        """Return the variance of power / expected power: 1 for one frame, less for the mean of several."""
        return float(np.mean((self.power / self.expected(state)[3] - 1.0) ** 2))


def most_likely(rings: Rings, microscope: Microscope, vector: np.ndarray, free: int, tolerance: float) -> np.ndarray:
    """Improve a fit (4,) that is right within half a ring; the first `free` of its variables change.

    Method: likelihood of a periodogram (Whittle 1953, Ark. Mat. 2, 423) under signal × CTF² + noise, by Fisher scoring
    with Levenberg's damping. In contrast to a correlation with -cos 2χ it takes the shape of the rings as it is, where
    the signal falls steeply and where it is far above the noise. `tolerance` in Å, as
    `FitOptions.astigmatism_tolerance`.
    """
    model = PowerModel(rings, microscope)
    free_lens = np.arange(len(model.prior)) < free
    envelope = np.arange(len(model.prior)) >= LENS
    state = _climb(model, model.start(vector), envelope, ENVELOPE_STEPS)
    if tolerance > 0.0:
        model.prior[[1, 2], [1, 2]] = 4.0 * model.spread(state) / tolerance**2
    return _climb(model, state, envelope | free_lens, MOST_STEPS)[:LENS]


def _climb(model: PowerModel, state: np.ndarray, free: np.ndarray, steps: int) -> np.ndarray:
    damping, cost, enough = 1e-3, model.cost(state), ENOUGH * model.spread(state)
    for _ in range(steps):
        gradient, curvature = model.equations(state)
        gradient, curvature = gradient[free], curvature[np.ix_(free, free)]
        gain = 0.0
        while not gain > 0.0 and damping < 1e6:
            trial = state.copy()
            trial[free] += np.linalg.solve(curvature + damping * np.diag(np.diag(curvature)), gradient)
            trial[:LENS] = state[:LENS] + np.clip(trial[:LENS] - state[:LENS], -MOST_MOVE, MOST_MOVE)
            gain = cost - model.cost(trial)
            damping *= 5.0
        if gain > 0.0:
            state, cost, damping = trial, cost - gain, damping / 25.0
        if gain < enough:
            break
    return state


def _splines(position: np.ndarray, spacing: float) -> np.ndarray:
    """Return cubic splines (positions, splines) with knots about `spacing` apart."""
    low, high = position[0], position[-1]
    inner = np.linspace(low, high, max(3, round((high - low) / spacing)) + 1)
    return BSpline.design_matrix(position, np.concatenate([[low] * 3, inner, [high] * 3]), 3).toarray()
