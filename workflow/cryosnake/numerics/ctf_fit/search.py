"""Exhaustive search of the mean defocus (and phase shift) on the rotational average."""

from __future__ import annotations

import math

import numpy as np

from cryosnake.numerics.ctf import Microscope
from cryosnake.numerics.ctf_fit.model import FitOptions
from cryosnake.numerics.ctf_fit.rings import Background, Rings

# Decay of the Thon rings in Å², exp(-b k²), tried one after the other: real spectra of good micrographs lie near 40.
DECAYS = (0.0, 20.0, 40.0, 80.0, 160.0)


def resolved(defocus: float | np.ndarray, frequency: np.ndarray, wavelength: float, length: float) -> np.ndarray:
    """Return how much of a Thon ring's contrast survives the sampling of the spectrum, 0 to 1.

    Neighbouring rings are 1/(2 λ Δf k) apart, and the spectrum of a tile of `length` Å does not resolve distances
    below 2/length: beyond this point rings are aliased, and a fit that includes them goes wrong.
    """
    lag = np.asarray(2.0 * wavelength * np.abs(defocus) * frequency / length)
    return np.cos(np.pi * np.minimum(lag, 0.5)) ** 2


def search_defocus(
    rings: Rings, microscope: Microscope, options: FitOptions
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Correlate the rotational average with the CTF for every defocus and phase shift.

    The score of a candidate is the correlation of the averaged spectrum, after subtraction of a smooth background,
    with -cos 2χ under the best of a few decays; from the template, too, the part that the background can follow is
    subtracted, but it is normalised by the whole, so that a candidate that resembles background cannot win
    (semi-partial correlation). One matrix product for all candidates; the exhaustive search of Rohou & Grigorieff
    2015, J. Struct. Biol. 192, 216, with the background as part of the model.

    Returns
    -------
    scores (phases, defoci); defoci in Å; phase shifts in degrees
    """
    defoci = np.arange(options.defocus_min, options.defocus_max + 0.5 * options.defocus_step, options.defocus_step)
    phases = np.array(options.phase_shifts, dtype=np.float64)
    frequency = rings.frequency
    background = Background(frequency, rings.count)
    profile = rings.mean()
    target = (profile - background.fit(profile)) * background.root
    norm = np.linalg.norm(target)
    if norm < 1e-6 * np.linalg.norm(background.root):  # relative modulation of a millionth: rounding
        raise ValueError("the power spectrum has no structure: the image is blank")
    target /= norm
    offset = math.asin(microscope.amplitude_contrast) - microscope.spherical * frequency**4
    defocus_phase = math.pi * microscope.wavelength * defoci[:, None] * frequency**2 + offset
    contrast = resolved(defoci[:, None], frequency, microscope.wavelength, 1.0 / rings.step) * background.root
    unit = background.root / np.linalg.norm(background.root)
    scores = np.full((len(phases), len(defoci)), -1.0)
    for decay in DECAYS:
        envelope = contrast * np.exp(-decay * frequency**2)
        for row, phase in enumerate(np.radians(phases)):
            template = -np.cos(2.0 * (defocus_phase + phase)) * envelope
            template -= (template @ unit)[:, None] * unit
            # target is orthogonal to the background, so for the product the template need not be
            score = template @ target / (np.linalg.norm(template, axis=1) + 1e-12)
            scores[row] = np.maximum(scores[row], score)
    return scores, defoci, phases


def best_candidates(
    scores: np.ndarray,  # (phases, defoci)
    defoci: np.ndarray,  # Å
    phases: np.ndarray,  # degrees
    number: int,
) -> list[tuple[float, float]]:
    """Return up to `number` of (defocus, phase shift), best local maxima along defocus first."""
    padded = np.pad(scores, ((0, 0), (1, 1)), constant_values=-np.inf)
    peaks = (scores >= padded[:, :-2]) & (scores >= padded[:, 2:])
    rows, columns = np.nonzero(peaks)
    order = np.argsort(-scores[rows, columns], kind="stable")
    found: list[tuple[float, float]] = []
    for index in order:
        candidate = (float(defoci[columns[index]]), float(phases[rows[index]]))
        if all(abs(candidate[0] - other[0]) > 400.0 or abs(candidate[1] - other[1]) > 25.0 for other in found):
            found.append(candidate)
        if len(found) == number:
            break
    return found
