"""PostProcess: resolution of two half maps inside a mask, and their sharpened mean."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from cryosnake.errors import CryosnakeError
from cryosnake.io.mrc import write_mrc
from cryosnake.jobs.forms import Progress
from cryosnake.jobs.options import PostProcessOptions
from cryosnake.numerics.filters import shell_of
from cryosnake.numerics.fsc import fsc_weight, resolution_at
from cryosnake.numerics.postprocessing import (
    FscCurves,
    GuinierFit,
    fit_guinier,
    fsc_curves,
    mean_amplitudes,
    sharpen,
)
from cryosnake.programs.maps.detector_mtf import detector_mtf
from cryosnake.programs.maps.postprocess_files import Guinier, PostProcessed, write_tables
from cryosnake.programs.maps.postprocess_inputs import Halves, read_halves, read_mask

THRESHOLD = 0.143  # Rosenthal & Henderson 2003: two half sets against the map of all
MINUS_INFINITY = -99.0  # what RELION writes for the logarithm of 0


def run(options: PostProcessOptions, inputs: Mapping[str, str | Path], out: str | Path, progress: Progress) -> None:
    """Write postprocess.mrc, postprocess_masked.mrc, postprocess.star and postprocess_fsc.xml below `out`.

    Raises
    ------
    CryosnakeError
        when the half maps or the mask cannot be used together
    """
    if options.auto_b_factor and options.b_factor is not None:
        raise CryosnakeError(f"b_factor is {options.b_factor:g} and auto_b_factor is true; set auto_b_factor: false to "
                             "sharpen with your own B-factor, or leave b_factor out")
    progress(0, 3, "reading the maps")
    halves = read_halves(str(inputs["half_maps"]), options.pixel_size)
    mask = read_mask(str(inputs["mask"]), halves, options.pixel_size)
    progress(1, 3, "FSC and sharpening")
    result = post_process(halves, mask, options)
    progress(2, 3, "writing maps and tables")
    folder = Path(out)
    write_mrc(folder / "postprocess.mrc", result.map, halves.pixel_size)
    write_mrc(folder / "postprocess_masked.mrc", result.map * mask, halves.pixel_size)
    write_tables(folder, halves, str(inputs["mask"]), result)
    print(f"final resolution: {result.resolution:.2f} Å (corrected FSC = {THRESHOLD})")
    progress(3, 3, "done")


def post_process(halves: Halves, mask: np.ndarray, options: PostProcessOptions) -> PostProcessed:
    """Return FSC curves, resolution, B-factor and the sharpened map; prints the choices made."""
    box_size = halves.half1.shape[0] * halves.pixel_size
    curves = fsc_curves(halves.half1, halves.half2, mask, options.random_seed)
    resolution = _resolution(curves, halves, box_size)
    frequency = np.arange(curves.unmasked.size) / box_size
    mean = 0.5 * (halves.half1 + halves.half2)
    weights = np.ones_like(frequency) if options.skip_fsc_weighting else fsc_weight(curves.corrected)
    mtf = detector_mtf(options.mtf, frequency, halves.pixel_size, options.mtf_pixel_size)
    original, corrected = _log(mean_amplitudes(mean)), None
    if mtf is not None:
        corrected = original - np.log(mtf)
        weights = weights / mtf
    weighted = np.where(weights > 0, original + _log(weights), MINUS_INFINITY)
    b_factor, fit = _b_factor(options, frequency, weighted, resolution)
    cut = resolution if options.low_pass is None else options.low_pass
    final = sharpen(mean, halves.pixel_size, weights, b_factor, shell_of(cut, box_size) if cut > 0 else None)
    after = np.where(weights > 0, weighted - 0.25 * b_factor * frequency**2, MINUS_INFINITY)
    guinier = Guinier(original=original, mtf_corrected=corrected, weighted=weighted, sharpened=after, fit=fit)
    return PostProcessed(frequency=frequency, curves=curves, resolution=resolution, b_factor=b_factor, guinier=guinier,
                         map=final)


def _resolution(curves: FscCurves, halves: Halves, box_size: float) -> float:
    if curves.corrected[1] < THRESHOLD:
        raise CryosnakeError(f"{halves.name1} and {halves.name2} do not agree at any resolution (masked FSC "
                             f"{curves.corrected[1]:.3f} in the first shell); are they halves of one refinement?")
    if curves.randomise_from is None:
        print("the FSC without mask stays above 0.8 up to Nyquist: no phases can be randomised and the masked curve "
              "is not corrected. The pixel size limits the resolution; or the half maps are not independent.")
    else:
        print(f"phases randomised beyond {box_size / curves.randomise_from:.2f} Å")
    resolution, unmasked = (resolution_at(curve, box_size, THRESHOLD) for curve in (curves.corrected, curves.unmasked))
    if resolution > unmasked:
        print(f"note: inside the mask the resolution ({resolution:.2f} Å) is worse than without ({unmasked:.2f} Å): "
              "the mask probably cuts into the particle or has too sharp an edge")
    if curves.corrected.min() >= THRESHOLD:
        print("the corrected FSC never falls below 0.143: the resolution is Nyquist's and limited by the pixel size")
    return resolution


def _b_factor(options: PostProcessOptions, frequency: np.ndarray, weighted: np.ndarray,
              resolution: float) -> tuple[float, GuinierFit | None]:
    """Return the B-factor to apply and its fit; 0 where there is nothing to fit."""
    if not options.auto_b_factor:
        print(f"B-factor: {options.b_factor or 0.0:g} Å² as given")
        return options.b_factor or 0.0, None
    high = options.fit_to or resolution
    fit = fit_guinier(frequency, np.where(weighted > MINUS_INFINITY, weighted, np.nan), options.fit_from, high)
    if fit is None:
        print(f"B-factor: 0, the map is not sharpened: fewer than five shells lie between {options.fit_from:g} Å and "
              f"{high:.2f} Å, too few for a Guinier fit. Set b_factor to sharpen it by hand.")
        return 0.0, None
    print(f"B-factor: {fit.b_factor:.1f} ± {fit.standard_error:.1f} Å², fitted to {fit.points} shells between "
          f"{options.fit_from:g} and {high:.2f} Å (correlation {fit.correlation:.3f})")
    if fit.b_factor > 0:
        print("the amplitudes rise with resolution, so the fit would blur the map: 0 is used instead")
        return 0.0, fit
    return fit.b_factor, fit


def _log(values: np.ndarray) -> np.ndarray:
    return np.where(values > 0, np.log(np.maximum(values, 1e-300)), MINUS_INFINITY)
