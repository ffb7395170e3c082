"""Quality of a CTF fit: figure of merit, resolution of the fit, ice rings."""

from __future__ import annotations

import math

import numpy as np

from cryosnake.numerics.ctf import Defocus, Microscope
from cryosnake.numerics.ctf_fit.rings import Background, Rings
from cryosnake.numerics.ctf_fit.search import resolved

WORST_RESOLUTION = 25.0  # Å, RELION's value where nothing fits
AGREEMENT = 0.5  # local correlation below which the rings no longer agree
ICE_BAND = (0.25, 0.28)  # Å⁻¹: the rings of hexagonal and cubic ice at 3.90 and 3.67 Å
ICE_SIDES = ((0.215, 0.24), (0.29, 0.32))  # Å⁻¹: the reference bands on both sides


def phase_at(frequency_squared: np.ndarray, cosine: np.ndarray | float, sine: np.ndarray | float, defocus: Defocus,
             microscope: Microscope) -> np.ndarray:
    """Return χ from k² (Å⁻²) and cos 2α, sin 2α of the azimuth, see `numerics.ctf.ctf_phase`."""
    mean, along, across, phase_shift = defocus.vector()
    local = mean + along * cosine + across * sine
    offset = math.asin(microscope.amplitude_contrast) + phase_shift
    slope = math.pi * microscope.wavelength * local - microscope.spherical * frequency_squared
    return slope * frequency_squared + offset


def figure_of_merit(rings: Rings, defocus: Defocus, microscope: Microscope) -> float:
    """Return Σ A |CTF| / √(Σ A² Σ CTF²) over the pixels, where A are the amplitudes without background.

    Method: the score of CTFFIND4 (Rohou & Grigorieff 2015, J. Struct. Biol. 192, 216), here on amplitudes in units of
    the background, which gives every frequency the same weight, and with a background that absorbs the broad peak
    below the first zero: values are about half of CTFFIND's for the same spectrum.
    """
    background = Background(rings.frequency, rings.count)
    amplitude = rings.value - background.fit(rings.mean())[rings.ring]
    transfer = abs(np.sin(phase_at(rings.frequency_squared, rings.cosine, rings.sine, defocus, microscope)))
    norm = math.sqrt(float(amplitude @ amplitude) * float(transfer @ transfer))
    return float(amplitude @ transfer) / norm if norm > 0.0 else 0.0


def equiphase_average(
    rings: Rings, defocus: Defocus, microscope: Microscope
) -> tuple[np.ndarray, np.ndarray]:
    """Average the spectrum along lines of equal phase instead of circles; return it (rings,) and its weights.

    Every pixel counts at the frequency where a CTF of the mean defocus has the pixel's phase, so that astigmatism
    does not wash out the rings (Zhang 2016, J. Struct. Biol. 193, 1). Linear interpolation between rings.
    """
    wavelength, spherical = math.pi * microscope.wavelength * defocus.mean, microscope.spherical
    phase = phase_at(rings.frequency_squared, rings.cosine, rings.sine, defocus, microscope)
    phase -= math.asin(microscope.amplitude_contrast) + math.radians(defocus.phase_shift)
    # Solve a s - c s² = phase for s = k²: the smaller root is the one that tends to phase / a for small c.
    root = np.sqrt(np.maximum(wavelength**2 - 4.0 * spherical * phase, 0.0))
    equivalent = np.sqrt(np.maximum(2.0 * phase / (wavelength + root), 0.0))
    place = np.clip(equivalent / rings.step - rings.first, 0.0, rings.frequency.size - 1.0)
    lower = np.minimum(place.astype(np.int64), rings.frequency.size - 2)
    share = place - lower
    index, weight = np.concatenate([lower, lower + 1]), np.concatenate([1.0 - share, share])
    total = np.bincount(index, weight, rings.frequency.size)
    summed = np.bincount(index, weight * np.tile(rings.value, 2), rings.frequency.size)
    return summed / np.maximum(total, 1e-9), np.maximum(total, 1e-9)


def local_correlation(
    observed: np.ndarray, weight: np.ndarray, frequency: np.ndarray, step: float, defocus: Defocus,
    microscope: Microscope
) -> np.ndarray:
    """Return (rings,): the correlation of an equi-phase average with -cos 2χ, in a window of about three rings.

    The window about each frequency is a Gaussian whose width follows the spacing of the Thon rings there. Beyond the
    frequency where rings are too close for the sampling of the spectrum the correlation is 0.
    """
    phase = phase_at(frequency**2, 0.0, 0.0, Defocus(defocus.mean, defocus.mean, 0.0, defocus.phase_shift), microscope)
    background = Background(frequency, weight)
    flat, template = observed - background.fit(observed), -np.cos(2.0 * phase)
    defocus_term, spherical_term = math.pi * microscope.wavelength * defocus.mean, microscope.spherical * frequency**2
    slope = 2.0 * (defocus_term - 2.0 * spherical_term) * frequency
    spacing = np.clip(math.pi / np.maximum(abs(slope), 1e-9), 3.0 * step, 0.25 * frequency[-1])
    window = np.exp(-0.5 * ((frequency - frequency[:, None]) / (0.9 * spacing[:, None])) ** 2) * weight
    window /= window.sum(axis=1, keepdims=True)
    mean_flat, mean_template = window @ flat, window @ template
    product = window @ (flat * template) - mean_flat * mean_template
    power = (window @ flat**2 - mean_flat**2) * (window @ template**2 - mean_template**2)
    correlation = product / np.sqrt(np.maximum(power, 1e-20))
    seen = resolved(defocus.mean, frequency, microscope.wavelength, 1.0 / step) > 0.05
    return np.where(seen, correlation, 0.0)


def fit_resolution(frequency: np.ndarray, correlation: np.ndarray, start: float) -> float:
    """Return the resolution in Å where the local correlation first falls below AGREEMENT beyond `start` (Å⁻¹)."""
    begin = int(np.searchsorted(frequency, start))
    below = np.flatnonzero(correlation[begin:] < AGREEMENT)
    last = begin + (int(below[0]) - 1 if below.size else frequency.size - begin - 1)
    return float(min(WORST_RESOLUTION, 1.0 / frequency[last])) if last >= begin else WORST_RESOLUTION


def ice_ring_density(
    spectrum: np.ndarray,  # (n, n) amplitudes, zero frequency at the centre
    pixel_size: float,  # Å
) -> float:
    """Return the mean excess of power in ICE_BAND over the line through both its sides, relative to that line.

    Crystalline ice gives rings or spots at 3.90 and 3.67 Å; vitreous ice only a broad hump of a few hundredths.
    NaN where Nyquist or the box leave fewer than three rings in one of the three bands.
    """
    size = spectrum.shape[0]
    axis = np.arange(size) - size // 2
    ring = np.rint(np.hypot(axis, axis[:, None])).astype(np.int64).ravel()
    frequency = np.arange(size // 2) / (size * pixel_size)
    bands = [(frequency >= low) & (frequency <= high) for low, high in (ICE_SIDES[0], ICE_BAND, ICE_SIDES[1])]
    if min(int(band.sum()) for band in bands) < 3 or frequency[-1] < ICE_SIDES[1][1]:
        return math.nan
    power = (np.bincount(ring, spectrum.astype(np.float64).ravel() ** 2) / np.bincount(ring))[:frequency.size]
    sides = bands[0] | bands[2]
    line = np.polynomial.Polynomial.fit(frequency[sides], power[sides], 1)
    return float(np.mean(power[bands[1]] / line(frequency[bands[1]])) - 1.0)
