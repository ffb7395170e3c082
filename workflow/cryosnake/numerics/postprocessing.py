"""FSC of two half maps inside a mask, corrected for the mask, and the sharpened map.

Sums over a shell count each coefficient of the half transform once, as in RELION: the pairs of the plane kx = 0 count
twice. The estimate is as unbiased as with equal weights, and its curves can be compared with RELION's number by number.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba as nb
import numpy as np
import scipy.fft

from cryosnake.numerics.filters import apply_filter, cosine_edge, frequency_radius, interpolate_shells
from cryosnake.numerics.fsc import shell_index, shell_sum

RANDOMISE_BELOW = 0.8  # phases are randomised from the first shell whose unmasked FSC is below this
SHELLS_LEFT_OUT = 2  # shells after `randomise_from` whose masked FSC is kept: the mask's transform blurs the boundary
SPHERE_FRACTION = 0.476  # fraction of the box that f of Sindelar & Grigorieff counts as particle and solvent


@dataclass(frozen=True, kw_only=True)
class FscCurves:
    """FSC curves (box // 2 + 1,) of two half maps, with the parameters of their correction.

    `randomise_from` is a shell, or None where the unmasked FSC stays above 0.8 and nothing was randomised;
    `particle_fraction` is f of `single_particle_fsc`.
    """

    unmasked: np.ndarray
    masked: np.ndarray
    randomised: np.ndarray
    corrected: np.ndarray
    mask_fraction: np.ndarray
    randomise_from: int | None
    particle_fraction: float


@dataclass(frozen=True, kw_only=True)
class GuinierFit:
    """A straight line through ln amplitude against 1/d². B = 4 · slope and its standard error in Å²."""

    slope: float
    intercept: float
    correlation: float
    standard_error: float
    points: int

    @property
    def b_factor(self) -> float:
        """The B-factor in Å²; negative if the amplitudes fall off, so that the map needs sharpening."""
        return 4.0 * self.slope


def randomise_phases(transform: np.ndarray, radius: np.ndarray, first: float, rng: np.random.Generator) -> np.ndarray:
    """Return the half transform with random phases where |k| = `radius` ≥ `first`; amplitudes are unchanged."""
    phase = rng.random(transform.shape, dtype=np.float32)
    columns = [0, transform.shape[2] - 1] if transform.shape[0] % 2 == 0 else [0]
    for column in columns:  # these planes contain both Friedel mates: φ(−k) = −φ(k)
        plane = phase[:, :, column]
        phase[:, :, column] = plane - np.roll(plane[::-1, ::-1], 1, axis=(0, 1))
    random = np.abs(transform) * np.exp(np.complex64(2j * np.pi) * phase)
    return np.where(radius >= first, random, transform)


def correct_for_mask(masked: np.ndarray, randomised: np.ndarray, randomise_from: int) -> np.ndarray:
    """Return (FSC_masked − FSC_random) / (1 − FSC_random) beyond the first randomised shells, FSC_masked before.

    Chen et al. 2013, Ultramicroscopy 135, eq. 4; 0 where the random FSC is the larger one.
    """
    start = randomise_from + SHELLS_LEFT_OUT
    corrected = masked.copy()
    true = np.divide(masked - randomised, 1.0 - randomised, out=np.zeros_like(masked), where=randomised < 1.0)
    corrected[start:] = np.maximum(np.where(randomised > masked, 0.0, true), -1.0)[start:]
    return corrected


def single_particle_fsc(unmasked: np.ndarray, particle_fraction: float) -> np.ndarray:
    """Return the FSC of the particle alone, f · FSC / (1 + (f − 1) · FSC), from that of the whole box.

    Sindelar & Grigorieff 2012, J. Struct. Biol. 180, eq. 9; f is the box's volume over the particle's.
    """
    return particle_fraction * unmasked / (1.0 + (particle_fraction - 1.0) * unmasked)


def fsc_curves(half1: np.ndarray, half2: np.ndarray, mask: np.ndarray, seed: int = 0) -> FscCurves:
    """Return unmasked, masked, phase-randomised and corrected FSC of two half maps (box, box, box).

    Method: high-resolution noise substitution, Chen et al. 2013, Ultramicroscopy 135. Beyond the shell where the
    unmasked FSC falls below 0.8 the phases of both halves are randomised; the remaining FSC inside the mask is caused
    by the mask itself. It is the mean of several draws: one draw scatters by 1/√(independent coefficients), a few
    per cent in a small box. If the unmasked FSC never falls that far nothing is randomised, and the corrected curve
    is the masked one.
    """
    box, count = half1.shape[0], half1.shape[0] // 2 + 1
    shells = shell_index(box)
    transforms = [scipy.fft.rfftn(half) for half in (half1, half2)]
    unmasked = _correlation(transforms[0], transforms[1], shells, count)
    first, second = (scipy.fft.rfftn(half * mask) for half in (half1, half2))
    masked = _correlation(first, second, shells, count)
    below = np.flatnonzero(unmasked[1:] < RANDOMISE_BELOW)
    randomise_from = int(below[0]) + 1 if below.size else None
    randomised, corrected = masked, masked
    if randomise_from is not None:
        randomised = _randomised_fsc(transforms, mask, shells, randomise_from, np.random.default_rng(seed))
        corrected = correct_for_mask(masked, randomised, randomise_from)
    fraction = SPHERE_FRACTION * mask.size / max(1, int((mask > 0.5).sum()))
    return FscCurves(unmasked=unmasked, masked=masked, randomised=randomised, corrected=corrected,
                     mask_fraction=single_particle_fsc(unmasked, fraction), randomise_from=randomise_from,
                     particle_fraction=fraction)


@nb.njit(cache=True)
def _shell_products(first, second, shells, count):  # type: ignore[no-untyped-def]
    """Sum Re(F₁ F₂*), |F₁|², |F₂|² over shells in one pass: the transforms of a large box are not copied."""
    sums = np.zeros((3, count))
    for i in range(first.size):
        shell = shells[i]
        if shell < count:
            a, b = first[i], second[i]
            sums[0, shell] += a.real * b.real + a.imag * b.imag
            sums[1, shell] += a.real * a.real + a.imag * a.imag
            sums[2, shell] += b.real * b.real + b.imag * b.imag
    return sums


def _correlation(first: np.ndarray, second: np.ndarray, shells: np.ndarray, count: int) -> np.ndarray:
    cross, power1, power2 = _shell_products(first.ravel(), second.ravel(), shells.ravel(), count)
    norm = np.sqrt(power1 * power2)
    return np.divide(cross, norm, out=np.zeros(count), where=norm > 0)


def _randomised_fsc(transforms: list[np.ndarray], mask: np.ndarray, shells: np.ndarray, first: int,
                    rng: np.random.Generator) -> np.ndarray:
    box, count = mask.shape[0], mask.shape[0] // 2 + 1
    radius = frequency_radius(box, mask)
    draws = int(np.clip(2 * (256 / box) ** 3, 2, 16))
    curves = []
    for _ in range(draws):
        halves = []
        for transform in transforms:
            random = randomise_phases(transform, radius, first, rng)
            halves.append(scipy.fft.rfftn(scipy.fft.irfftn(random, s=mask.shape) * mask))
        curves.append(_correlation(halves[0], halves[1], shells, count))
    return np.mean(curves, axis=0)


def mean_amplitudes(volume: np.ndarray) -> np.ndarray:
    """Return the mean amplitude of each shell (box // 2 + 1,); the transform is divided by the number of voxels."""
    box, count = volume.shape[0], volume.shape[0] // 2 + 1
    shells = shell_index(box)
    amplitudes = np.abs(scipy.fft.rfftn(volume)) / volume.size
    return shell_sum(amplitudes, shells, count) / shell_sum(np.ones_like(amplitudes), shells, count)


def fit_guinier(frequency: np.ndarray, log_amplitudes: np.ndarray, low: float, high: float) -> GuinierFit | None:
    """Fit ln amplitude = intercept + slope · s² between the resolutions `low` and `high` (Å, low > high).

    Rosenthal & Henderson 2003, J. Mol. Biol. 333, eq. 5. Shells that are not finite do not count. None if fewer
    than five shells are left, too few for a line.

    Parameters
    ----------
    frequency : (shells,)
        s = 1/d in Å⁻¹.
    log_amplitudes : (shells,)
        Natural logarithm of the mean amplitude.
    """
    chosen = (frequency >= 1.0 / low - 1e-9) & (frequency <= 1.0 / high + 1e-9) & np.isfinite(log_amplitudes)
    points = int(chosen.sum())
    if points < 5:
        return None
    x, y = frequency[chosen] ** 2, log_amplitudes[chosen]
    (slope, intercept) = np.polyfit(x, y, 1)
    residual = y - (intercept + slope * x)
    error = np.sqrt((residual**2).sum() / (points - 2) / ((x - x.mean()) ** 2).sum())
    correlation = float(np.corrcoef(x, y)[0, 1]) if y.std() > 0 else 0.0
    return GuinierFit(slope=float(slope), intercept=float(intercept), correlation=correlation,
                      standard_error=float(4.0 * error), points=points)


def sharpen(volume: np.ndarray, pixel_size: float, weights: np.ndarray, b_factor: float,
            low_pass_shell: float | None, edge_width: float = 2.0) -> np.ndarray:
    """Return the map times weights(k) · exp(−B s² / 4), cut off at a shell with a raised-cosine edge.

    Parameters
    ----------
    volume : (box, box, box)
    pixel_size : float
        Å.
    weights : (box // 2 + 1,)
        Per shell: FSC weight over MTF.
    b_factor : float
        Å², negative to sharpen (RELION's sign).
    low_pass_shell : float or None
        Shell where the edge (`edge_width` shells wide) is one half; None cuts off at the last complete shell.
    """
    box_size = volume.shape[0] * pixel_size
    last = weights.shape[0] - 1
    cut = min(last, low_pass_shell) if low_pass_shell is not None else last

    def transfer(radius: np.ndarray) -> np.ndarray:
        frequency = np.minimum(radius, last) / box_size
        edge = cosine_edge(radius, cut, edge_width)
        return edge * interpolate_shells(weights, radius) * np.exp(-0.25 * b_factor * frequency**2)

    return apply_filter(volume, transfer)
