"""Defocus, astigmatism, phase shift, B-factor and scale of the particles of a micrograph, from their predictions.

Maximum likelihood in white noise of each shell: log L = Σ 2 s c t − s² c² q, with c the CTF, t = Re(image · p̄) / σ² and
q = |p|² / σ². A change of mean defocus alone multiplies both by waves in k², so their sums in narrow rings serve every
defocus that is tried; a particle's own deviation from its micrograph has a Gaussian prior whose width the micrograph's
particles give (empirical Bayes), which keeps noisy ones from far-off maxima.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from cryosnake.numerics.ctf import Microscope

FIXED, MICROGRAPH, PARTICLE = "no", "micrograph", "particle"
_RINGS = 512  # of equal width in k²
_STEP = 20.0  # Å of defocus
_LONGEST_PRIOR, _FIRST_PRIOR, _SHORTEST_PRIOR = 2000.0, 300.0, 5.0  # Å
_FEWEST = 5  # particles that say how wide the prior is
_B_FACTORS = np.linspace(-100.0, 300.0, 161)  # Å²


@dataclass(frozen=True, kw_only=True)
class Modes:
    """What is fitted: no, or one value for a micrograph, or for a particle (not astigmatism)."""

    defocus: str = FIXED
    astigmatism: str = FIXED
    phase_shift: str = FIXED
    b_factor: str = FIXED

    @property
    def any(self) -> bool:
        """Whether there is something to fit."""
        return any(mode != FIXED for mode in (self.defocus, self.astigmatism, self.phase_shift, self.b_factor))


@dataclass(frozen=True, kw_only=True)
class Lens:
    """CTF parameters of particles.

    Attributes
    ----------
    terms : (n, 4) float64
        Mean defocus, ½ (U − V) cos 2θ, ½ (U − V) sin 2θ in Å, phase shift in radians; see `Defocus.vector`.
    b_factor, scale : (n,) float64
        Å², and a factor.
    """

    terms: np.ndarray
    b_factor: np.ndarray
    scale: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What the images of a micrograph say.

    Attributes
    ----------
    agreement, power : (n, pixels) float32
        t and q, see the module.
    rest : (pixels,) float64
        The part of the CTF's phase that is not fitted: −½ π Cs λ³ k⁴ + asin(amplitude contrast) − even aberrations.
    kx, ky : (pixels,) float64
        1/Å, of the particle.
    """

    agreement: np.ndarray
    power: np.ndarray
    rest: np.ndarray
    kx: np.ndarray
    ky: np.ndarray


def evidence_of(images: np.ndarray, predictions: np.ndarray, noise: np.ndarray, rest: np.ndarray, kx: np.ndarray,
                ky: np.ndarray) -> Evidence:
    """Return what images (n, pixels), turned back by odd phases, say in noise of σ² (pixels,)."""
    weight = (1.0 / noise).astype(np.float32)
    return Evidence(agreement=_product(images, predictions) * weight, power=_product(predictions, predictions) * weight,
                    rest=rest, kx=kx, ky=ky)


def without_own_noise(evidence: Evidence, power: np.ndarray, shares: np.ndarray) -> Evidence:
    """Return evidence without what a particle's own noise, which is part of its half map, says.

    The map is Σ c · image / Σ c², so a prediction contains c · (the image's noise) / Σ c², and the two agree as if the
    CTF were c, with which the map was made: defoci would stay where they are. The power of predictions stays as it
    is: weighted by the FSC, the mean of |p|² with its noise is that of signal · p̄, so likelihoods keep their scale.

    Parameters
    ----------
    power : (pixels,)
        Of the map's noise in the predictions, in units of σ².
    shares : (n, pixels)
        By which it enters the agreement: c over the predictions' weight.
    """
    return replace(evidence, agreement=np.asarray(evidence.agreement - shares * power, np.float32))


def _product(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return Re(left · conj(right)), float32."""
    return np.asarray(left.real * right.real + left.imag * right.imag, np.float32)


def rest_of_phase(microscope: Microscope, even: np.ndarray, kx: np.ndarray, ky: np.ndarray) -> np.ndarray:
    """Return `Evidence.rest` for even aberrations (pixels,), radians."""
    return np.asarray(math.asin(microscope.amplitude_contrast) - microscope.spherical * (kx**2 + ky**2) ** 2 - even)


def phase_shapes(kx: np.ndarray, ky: np.ndarray, wavelength: float) -> np.ndarray:
    """Return (4, pixels): the derivatives of the CTF's phase by `Lens.terms`; kx, ky (pixels,) in 1/Å, λ in Å."""
    slope = math.pi * wavelength
    return np.stack([slope * (kx**2 + ky**2), slope * (kx**2 - ky**2), slope * 2.0 * kx * ky, np.ones_like(kx)])


def amplitudes(lens: Lens, kx: np.ndarray, ky: np.ndarray) -> np.ndarray:
    """Return scale · exp(−B k² / 4) at kx, ky (pixels,), 1/Å: (n, pixels) float32, or (n, 1) without B-factors."""
    if not lens.b_factor.any():
        return np.asarray(lens.scale[:, None], np.float32)
    return np.asarray(lens.scale[:, None] * np.exp(-0.25 * lens.b_factor[:, None] * (kx**2 + ky**2)), np.float32)


def fit_lens(evidence: Evidence, start: Lens, wavelength: float, modes: Modes, reach: float = 2000.0,
             rounds: int = 3) -> Lens:
    """Return the CTF parameters that explain a micrograph's images best.

    Parameters
    ----------
    wavelength : float
        Å.
    reach : float
        Å; defoci this far from the start are tried.
    rounds : int
        Times that defocus, the terms of the whole micrograph and the amplitudes are fitted in turn.
    """
    shapes = phase_shapes(evidence.kx, evidence.ky, wavelength)
    lens = _shared(start, modes)
    for number in range(rounds):
        if modes.defocus != FIXED:
            lens = _with_defocus(evidence, lens, shapes, modes, reach if number == 0 else 0.25 * reach)
        if modes.astigmatism != FIXED or modes.phase_shift != FIXED:
            lens = _with_shared_terms(evidence, lens, shapes, modes)
        if modes.b_factor != FIXED:
            lens = _with_amplitudes(evidence, lens, shapes, modes.b_factor)
        elif modes.astigmatism == modes.phase_shift == FIXED:
            break
    return lens


def _shared(lens: Lens, modes: Modes) -> Lens:
    """Return a lens that has one value for all particles where one is fitted for the micrograph."""
    terms = lens.terms.copy()
    for columns, mode in (([0], modes.defocus), ([1, 2], modes.astigmatism), ([3], modes.phase_shift)):
        if mode == MICROGRAPH:
            terms[:, columns] = terms[:, columns].mean(0)
    return replace(lens, terms=terms)


def _phase(evidence: Evidence, lens: Lens, shapes: np.ndarray) -> np.ndarray:
    """Return the CTFs' phases (n, pixels) float32 between −π and π, in which single precision is enough."""
    turns = (lens.terms @ shapes + evidence.rest) / (2.0 * math.pi)
    turns -= np.rint(turns)
    return np.asarray(turns * (2.0 * math.pi), np.float32)


def _overall(agreement: float, power: float) -> float:
    return max(agreement / power, 0.0) if power > 0 else 0.0


class _Rings:
    """Sums of t and q in rings of k², per particle, with which a change of mean defocus costs little."""

    def __init__(self, evidence: Evidence, lens: Lens, shapes: np.ndarray) -> None:
        squared = shapes[0]
        ring = np.minimum((squared / squared.max() * _RINGS).astype(np.int64), _RINGS - 1)
        count = np.maximum(np.bincount(ring, minlength=_RINGS), 1)
        self.slope = np.bincount(ring, squared, minlength=_RINGS) / count  # π λ k²
        phase, amplitude = _phase(evidence, lens, shapes), amplitudes(lens, evidence.kx, evidence.ky)
        order = np.argsort(ring, kind="stable")
        present, starts = np.unique(ring[order], return_index=True)

        def summed(values: np.ndarray) -> np.ndarray:
            found = np.zeros((len(values), _RINGS))
            found[:, present] = np.add.reduceat(values[:, order], starts, axis=1)  # few in a ring: float32 will do
            return found

        agreement, power = evidence.agreement * amplitude, evidence.power * amplitude**2
        sin, cos = np.sin(phase), np.cos(phase)
        self._wave = summed(agreement * sin) + 1j * summed(agreement * cos)
        self._level = summed(power).sum(1)
        self._twice = summed(power * (cos * cos - sin * sin)) + 2j * summed(power * sin * cos)

    def likelihood(self, changes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return Σ c t and Σ c² q, both (n, m), at changes (m,) of every particle's mean defocus, Å."""
        waves = np.exp(-1j * np.outer(self.slope, changes))  # (rings, m)
        agreement = (self._wave @ waves).real
        power = 0.5 * (self._level[:, None] - (self._twice @ waves.conj() ** 2).real)
        return agreement, power


def _with_defocus(evidence: Evidence, lens: Lens, shapes: np.ndarray, modes: Modes, reach: float) -> Lens:
    rings, steps = _Rings(evidence, lens, shapes), max(round(reach / _STEP), 1)
    grid = np.arange(-steps, steps + 1) * _STEP
    agreement, power = rings.likelihood(grid)
    total, weight = agreement.sum(0), np.maximum(power.sum(0), 1e-30)
    best = int(np.argmax(np.maximum(total, 0.0) ** 2 / weight))
    factor = _overall(float(total[best]), float(weight[best]))
    logs = 2.0 * factor * agreement - factor**2 * power
    terms = lens.terms.copy()
    if modes.defocus == MICROGRAPH:
        terms[:, 0] += _vertex(grid, logs.sum(0)[None])[0]
    else:
        apart = terms[:, :1] - terms[:, 0].mean()
        terms[:, 0] += _expected(grid, logs + _prior(grid + apart, logs, float(grid[best])))
    return replace(lens, terms=terms)


def _prior(defoci: np.ndarray, logs: np.ndarray, middle: float) -> np.ndarray:
    """Return the logarithm of a Gaussian prior (n, m) about a micrograph's defocus, as wide as its particles say.

    Its centre, `middle` at first, and width are found by expectation maximisation from the likelihoods logs (n, m) of
    defoci (n, m), which are relative to the micrograph's present one.
    """
    width = _FIRST_PRIOR
    for _ in range(30 if len(logs) >= _FEWEST else 0):
        scores = logs - 0.5 * ((defoci - middle) / width) ** 2
        chances = np.exp(scores - scores.max(1, keepdims=True))
        chances /= chances.sum(1, keepdims=True)
        middle = float((chances * defoci).sum(1).mean())
        width = float(np.sqrt((chances * (defoci - middle) ** 2).sum(1).mean()))
        width = min(max(width, _SHORTEST_PRIOR), _LONGEST_PRIOR)
    return np.asarray(-0.5 * ((defoci - middle) / width) ** 2)


def _expected(grid: np.ndarray, logs: np.ndarray) -> np.ndarray:
    """Return the means (n,) of distributions with logarithms (n, m), whose RMS error is the least.

    Where one is narrower than the grid's step, its maximum.
    """
    chances = np.exp(logs - logs.max(1, keepdims=True))
    chances /= chances.sum(1, keepdims=True)
    mean = chances @ grid
    width = np.sqrt(np.maximum(chances @ grid**2 - mean**2, 0.0))
    return np.where(width > grid[1] - grid[0], mean, _vertex(grid, logs))


def _vertex(grid: np.ndarray, logs: np.ndarray) -> np.ndarray:
    """Return where parabolas through the highest values of logs (n, m) and their neighbours are highest, (n,)."""
    best = np.clip(logs.argmax(1), 1, len(grid) - 2)
    rows = np.arange(len(logs))
    left, here, right = (logs[rows, best + offset] for offset in (-1, 0, 1))
    bend = left - 2.0 * here + right
    shift = np.where(bend < 0, 0.5 * (left - right) / np.where(bend < 0, bend, 1.0), 0.0)
    return np.asarray(grid[best] + np.clip(shift, -1.0, 1.0) * (grid[1] - grid[0]))


def _with_shared_terms(evidence: Evidence, lens: Lens, shapes: np.ndarray, modes: Modes, steps: int = 4) -> Lens:
    """Return the lens with astigmatism, and phase shift, of the micrograph (or particle) moved uphill."""
    for _ in range(steps):
        phase, amplitude = _phase(evidence, lens, shapes), amplitudes(lens, evidence.kx, evidence.ky)
        sin, cos = np.sin(phase), np.cos(phase)
        agreement, power = evidence.agreement * amplitude, evidence.power * amplitude**2
        factor = _overall(float((agreement * sin).sum(dtype=np.float64)), float((power * sin**2).sum(dtype=np.float64)))
        factor32 = np.float32(factor)
        slope = 2 * factor32 * cos * (agreement - factor32 * power * sin)
        weight = 2 * factor32**2 * power * cos**2
        terms = lens.terms.copy()
        terms += _scoring(slope, weight, shapes, modes)
        change = float(np.abs((terms - lens.terms) @ shapes).max())
        lens = replace(lens, terms=terms)
        if change < 1e-3:
            break
    return lens


def _scoring(slope: np.ndarray, weight: np.ndarray, shapes: np.ndarray, modes: Modes) -> np.ndarray:
    """Return the scoring step (n, 4) of the terms; mean defocus moves along, since it trades with the phase shift."""
    step = np.zeros((len(slope), 4))
    shared = [0] * (modes.defocus != FIXED) + [1, 2] * (modes.astigmatism != FIXED) + [3] * (
        modes.phase_shift == MICROGRAPH)
    if shared:
        step[:, shared] = _solved(slope.sum(0, dtype=np.float64), weight.sum(0, dtype=np.float64), shapes[shared])
    if modes.phase_shift == PARTICLE:
        own = [0, 3] if modes.defocus == PARTICLE else [3]
        for row in range(len(slope)):
            step[row, own] += _solved(slope[row], weight[row], shapes[own])
    return step


def _solved(slope: np.ndarray, weight: np.ndarray, shapes: np.ndarray) -> np.ndarray:
    normal = (shapes * weight) @ shapes.T
    if not np.trace(normal) > 0:
        return np.zeros(len(shapes))
    size = np.sqrt(np.maximum(np.diag(normal), 1e-300))
    change = np.linalg.lstsq(normal / np.outer(size, size), (shapes @ slope) / size, rcond=1e-9)[0] / size
    longest = float(np.abs(change @ shapes).max())
    return np.asarray(change * min(1.0, 1.0 / max(longest, 1e-30)))  # of at most a radian


def _with_amplitudes(evidence: Evidence, lens: Lens, shapes: np.ndarray, mode: str) -> Lens:
    """Return the lens with the B-factor, of a grid refined by a parabola, and the scale that go with it."""
    sin = np.sin(_phase(evidence, lens, shapes))
    rings, starts = np.unique((shapes[0] / shapes[0].max() * _RINGS).astype(np.int64), return_inverse=True)
    squared = evidence.kx**2 + evidence.ky**2
    k2 = np.bincount(starts, squared) / np.bincount(starts)

    def ringed(values: np.ndarray) -> np.ndarray:
        return np.stack([np.bincount(starts, row, minlength=len(rings)) for row in values])

    agreement, power = ringed(evidence.agreement * sin), ringed(evidence.power * sin**2)
    if mode == MICROGRAPH:
        agreement, power = agreement.sum(0, keepdims=True), power.sum(0, keepdims=True)
    found = _vertex(_B_FACTORS, _explained(agreement, power, k2, _B_FACTORS[None]))
    decay = np.exp(-0.25 * np.outer(found, k2))
    scale = np.maximum((agreement * decay).sum(1) / np.maximum((power * decay**2).sum(1), 1e-30), 1e-3)
    count = len(lens.terms)
    return replace(lens, b_factor=np.broadcast_to(found, (count,)).copy(),
                   scale=np.broadcast_to(scale, (count,)).copy())


def _explained(agreement: np.ndarray, power: np.ndarray, k2: np.ndarray, b_factors: np.ndarray) -> np.ndarray:
    """Return the log-likelihood (n, m) of each B-factor with its best scale."""
    decay = np.exp(-0.25 * k2[:, None] * b_factors)
    return np.asarray(np.maximum(agreement @ decay, 0.0) ** 2 / np.maximum(power @ decay**2, 1e-30))
