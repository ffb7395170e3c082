"""CtfFind: CTF parameters, one micrograph at a time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cryosnake.errors import CryosnakeError, Rejected
from cryosnake.io.movies import read_image
from cryosnake.io.mrc import write_mrc
from cryosnake.jobs.options import CtfFindOptions
from cryosnake.numerics.backend import choose_device, to_device
from cryosnake.numerics.ctf import Microscope
from cryosnake.numerics.ctf_fit.fit import fit_ctf
from cryosnake.numerics.ctf_fit.model import CtfFit, FitOptions
from cryosnake.numerics.ctf_fit.picture import diagnostic_image
from cryosnake.numerics.ctf_fit.spectrum import amplitude_spectrum, fitting_sampling
from cryosnake.programs.micrographs.ctf_gate import found, gate
from cryosnake.programs.micrographs.optics_values import microscope_of, optics_value, say_microscope

LEAST_DEFOCUS = 1000.0  # Å: below dfmin it is looked for down to here, for a hint
# A fit that reaches the last ring cannot do better: the gate requires no more than this times Nyquist.
NYQUIST_MARGIN = 1.1
# Right fits explain 0.6 to 0.99 of the rotational average (correlation), fits to noise up to 0.55: those above may end
# at a resolution this many times worse than the limit.
CLEAR, CLEAR_MARGIN = 0.7, 1.6


@dataclass(frozen=True, kw_only=True)
class CtfFindState:
    """Settings shared by all micrographs of an optics group."""

    microscope: Microscope
    fit: FitOptions
    options: CtfFindOptions
    device: str


def prepare(options: CtfFindOptions, optics: Mapping[str, Any], inputs: Mapping[str, Path]) -> CtfFindState:
    """Return the settings for one optics group.

    Raises
    ------
    CryosnakeError
        if the optics table lacks a value, or the limits of a search are in the wrong order
    """
    _check_order(options)
    microscope = microscope_of(optics)
    say_microscope(optics, microscope, "rlnMicrographPixelSize")
    return CtfFindState(
        microscope=microscope,
        fit=FitOptions(
            resolution_low=options.resmin, resolution_high=options.resmax, defocus_min=options.dfmin,
            defocus_max=options.dfmax, defocus_step=options.dfstep, astigmatism_tolerance=options.dast,
            phase_shifts=_phase_shifts(options),
        ),
        options=options,
        device=choose_device(options.device),
    )


def process(row: Mapping[str, Any], optics: Mapping[str, Any], state: CtfFindState, root: Path) -> dict[str, Any]:
    """Fit one micrograph, write `{root}.ctf` and return its row of micrographs_ctf.star.

    Raises
    ------
    Rejected
        if the fit does not pass the gate
    CryosnakeError
        if the image or power spectrum is missing, damaged, blank or too small
    """
    path, is_spectrum = _source(row, state.options)
    spectrum, sampling = _spectrum(path, is_spectrum, optics, state)
    try:
        fit = fit_ctf(spectrum, sampling, state.microscope, state.fit)
    except ValueError as error:
        raise CryosnakeError(f"{path}: {error}") from error
    picture = root.with_name(root.name + ".ctf")
    write_mrc(picture, diagnostic_image(spectrum, sampling, fit, state.microscope, state.fit.resolution_low), sampling)
    result = _row(row, fit, picture, state.fit.fit_phase_shift)
    limits = _limits(state.options, sampling, fit)
    reason = gate(pd.DataFrame([result]), limits).iloc[0]
    if reason:
        raise Rejected(f"CTF fit of {path}: {reason}{_below_range(spectrum, sampling, state)} {found(result)}")
    return result


def _below_range(spectrum: np.ndarray, sampling: float, state: CtfFindState) -> str:
    """Return a hint where a rejected micrograph has a good fit at a smaller defocus than those searched."""
    if not LEAST_DEFOCUS < state.fit.defocus_min:
        return ""
    fit = fit_ctf(spectrum, sampling, state.microscope,
                  replace(state.fit, defocus_min=LEAST_DEFOCUS, defocus_max=state.fit.defocus_min))
    options = state.options
    if fit.figure_of_merit < (options.min_figure_of_merit or 0.0) or fit.fit_resolution > options.max_resolution:
        return ""
    return (f"; its defocus may lie below dfmin ({state.fit.defocus_min:g} Å): {fit.defocus.mean:.0f} Å fits to "
            f"{fit.fit_resolution:.1f} Å")


def _source(row: Mapping[str, Any], options: CtfFindOptions) -> tuple[Path, bool]:
    """Return the file to fit, and whether it is a power spectrum rather than a micrograph."""
    if options.use_power_spectrum and _has_name(row, "rlnCtfPowerSpectrum"):
        remedy = "set use_power_spectrum: false to fit the micrograph"
        return _existing(row["rlnCtfPowerSpectrum"], remedy), True
    label = "rlnMicrographName"
    if options.use_unweighted and _has_name(row, "rlnMicrographNameNoDW"):
        label = "rlnMicrographNameNoDW"
    if not _has_name(row, label):
        raise CryosnakeError("a row of the input STAR file has no rlnMicrographName; connect a job that lists "
                             "micrographs")
    return _existing(row[label], "run the job that makes it again"), False


def _has_name(row: Mapping[str, Any], label: str) -> bool:
    return isinstance(row.get(label), str) and row[label] not in ("", "None")


def _existing(name: str, remedy: str) -> Path:
    path = Path(name.removesuffix(":mrc"))
    if not path.is_file():
        raise CryosnakeError(f"{path} does not exist: {remedy}")
    return path


def _spectrum(path: Path, is_spectrum: bool, optics: Mapping[str, Any], state: CtfFindState,
              ) -> tuple[np.ndarray, float]:
    """Return the amplitude spectrum (n, n) and its sampling in Å."""
    image, header_size = read_image(path)
    if is_spectrum:
        if not header_size > 0.0:
            raise CryosnakeError(f"{path}: the header of a power spectrum must give its sampling in Å, this "
                                 f"one gives {header_size:g}; set use_power_spectrum: false to fit the micrograph")
        return image, header_size
    pixel_size = optics_value(optics, "rlnMicrographPixelSize")
    sampling = fitting_sampling(pixel_size, state.fit.resolution_high)
    try:
        return amplitude_spectrum(to_device(image, state.device), pixel_size, state.options.box, sampling)
    except ValueError as error:
        raise CryosnakeError(f"{path}: {error}") from error


def _row(row: Mapping[str, Any], fit: CtfFit, picture: Path, phase_shift: bool) -> dict[str, Any]:
    """Return RELION's columns first, in its order, then the other columns of the input row (metadata, motion)."""
    names = ("rlnMicrographNameNoDW", "rlnMicrographName", "rlnOpticsGroup")
    result = {label: row[label] for label in names if label in row}
    result |= {
        "rlnCtfImage": f"{picture.as_posix()}:mrc",
        "rlnDefocusU": fit.defocus.u,
        "rlnDefocusV": fit.defocus.v,
        "rlnCtfAstigmatism": fit.defocus.astigmatism,
        "rlnDefocusAngle": fit.defocus.angle,
        "rlnCtfFigureOfMerit": fit.figure_of_merit,
        "rlnCtfMaxResolution": fit.fit_resolution,
    }
    if phase_shift:
        result["rlnPhaseShift"] = fit.defocus.phase_shift
    # 0 where the sampling excludes the ice rings: RELION has no number for "not known".
    result["rlnCtfIceRingDensity"] = fit.ice_ring_density if math.isfinite(fit.ice_ring_density) else 0.0
    return result | {label: value for label, value in row.items() if label not in result}


def _limits(options: CtfFindOptions, sampling: float, fit: CtfFit) -> CtfFindOptions:
    """Return the options with the limit of resolution that a fit at this sampling (Å) must keep.

    Rings that are clear over the whole range show that the fit is right, also where they end early.
    """
    limit = options.max_resolution * (CLEAR_MARGIN if fit.profile_correlation >= CLEAR else 1.0)
    return replace(options, max_resolution=max(limit, NYQUIST_MARGIN * 2.0 * sampling))


def _phase_shifts(options: CtfFindOptions) -> tuple[float, ...]:
    if not options.phase_shift:
        return (0.0,)
    steps = max(1, round((options.phase_max - options.phase_min) / options.phase_step))
    return tuple(float(value) for value in np.linspace(options.phase_min, options.phase_max, steps + 1))


def _check_order(options: CtfFindOptions) -> None:
    pairs = [("dfmin", options.dfmin, "dfmax", options.dfmax), ("resmax", options.resmax, "resmin", options.resmin)]
    if options.phase_shift:
        pairs.append(("phase_min", options.phase_min, "phase_max", options.phase_max))
    for low, low_value, high, high_value in pairs:
        if not low_value < high_value:
            raise CryosnakeError(f"ctffind: {low} ({low_value:g}) must be smaller than {high} ({high_value:g}); "
                                 "correct them in the config")
