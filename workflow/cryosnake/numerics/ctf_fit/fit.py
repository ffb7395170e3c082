"""From an amplitude spectrum to CTF parameters and their quality."""

from __future__ import annotations

import numpy as np

from cryosnake.numerics.ctf import Defocus, Microscope
from cryosnake.numerics.ctf_fit.model import CtfFit, FitOptions
from cryosnake.numerics.ctf_fit.quality import (
    equiphase_average,
    figure_of_merit,
    fit_resolution,
    ice_ring_density,
    local_correlation,
    phase_at,
)
from cryosnake.numerics.ctf_fit.refine import refine_defocus
from cryosnake.numerics.ctf_fit.rings import Background, flatten_spectrum
from cryosnake.numerics.ctf_fit.search import best_candidates, search_defocus

CANDIDATES = 5


def fit_ctf(spectrum: np.ndarray, pixel_size: float, microscope: Microscope, options: FitOptions) -> CtfFit:
    """Estimate the CTF of a micrograph from its amplitude spectrum.

    Parameters
    ----------
    spectrum
        (n, n) amplitudes, zero frequency at [n // 2, n // 2], rows along y
    pixel_size
        Å; Nyquist of the spectrum lies at 1 / (2 pixel_size)

    Raises
    ------
    ValueError
        if the spectrum is blank, not finite or too small
    """
    rings = flatten_spectrum(spectrum, pixel_size, options.resolution_low)
    inner = rings.up_to(1.0 / options.resolution_high)
    if inner.frequency.size < 16:
        raise ValueError(f"only {inner.frequency.size} rings lie between {options.resolution_low:g} and "
                         f"{options.resolution_high:g} Å: widen the range or use a larger box")
    scores, defoci, phases = search_defocus(inner, microscope, options)
    candidates = best_candidates(scores, defoci, phases, CANDIDATES)
    defocus = refine_defocus(rings, microscope, options, candidates)
    observed, weight = equiphase_average(rings, defocus, microscope)
    frequency = rings.frequency
    correlation = local_correlation(observed, weight, frequency, rings.step, defocus, microscope)
    first_maximum = 0.7 / np.sqrt(microscope.wavelength * max(defocus.mean, 1.0))
    mean = Defocus(defocus.mean, defocus.mean, 0.0, defocus.phase_shift)
    return CtfFit(
        defocus=defocus,
        figure_of_merit=figure_of_merit(inner, defocus, microscope),
        fit_resolution=fit_resolution(frequency, correlation, first_maximum),
        profile_correlation=float(scores.max()),
        ice_ring_density=ice_ring_density(spectrum, pixel_size),
        frequency=frequency,
        observed=observed - Background(frequency, weight).fit(observed),
        fitted=np.sin(phase_at(frequency**2, 0.0, 0.0, mean, microscope)) ** 2,
        correlation=correlation,
    )
