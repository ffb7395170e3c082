"""postprocess.star in RELION's blocks and columns, and the FSC as XML for a deposition."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cryosnake.atomic import write_text
from cryosnake.io.star import write_star
from cryosnake.numerics.postprocessing import FscCurves, GuinierFit
from cryosnake.programs.maps.postprocess_inputs import Halves


def write_tables(folder: Path, halves: Halves, mask_name: str, result: PostProcessed) -> None:
    """Write postprocess.star and postprocess_fsc.xml."""
    write_star(folder / "postprocess.star", {"general": _general(halves, mask_name, result), "fsc": _fsc(result),
                                             "guinier": _guinier(result)})
    _write_xml(folder / "postprocess_fsc.xml", _resolution_column(result), result.curves.corrected)


def _general(halves: Halves, mask_name: str, result: PostProcessed) -> dict[str, Any]:
    curves, fit = result.curves, result.guinier.fit
    first = curves.randomise_from or curves.unmasked.size - 1
    general: dict[str, Any] = {
        "rlnFinalResolution": result.resolution,
        "rlnBfactorUsedForSharpening": result.b_factor,
        "rlnUnfilteredMapHalf1": halves.name1,
        "rlnUnfilteredMapHalf2": halves.name2,
        "rlnParticleBoxFractionSolventMask": curves.particle_fraction,
        "rlnMaskName": mask_name,
        "rlnRandomiseFrom": 1.0 / float(result.frequency[first]),
    }
    if fit is not None:
        general |= {"rlnFittedSlopeGuinierPlot": fit.slope, "rlnFittedInterceptGuinierPlot": fit.intercept,
                    "rlnCorrelationFitGuinierPlot": fit.correlation}
    return general


def _resolution_column(result: PostProcessed) -> np.ndarray:
    """Return 1/d of each shell; RELION gives shell 0 a resolution of 999 Å."""
    return np.concatenate([[1.0 / 999.0], result.frequency[1:]])


def _fsc(result: PostProcessed) -> pd.DataFrame:
    curves, resolution = result.curves, _resolution_column(result)
    return pd.DataFrame({
        "rlnSpectralIndex": np.arange(resolution.size),
        "rlnResolution": resolution,
        "rlnAngstromResolution": 1.0 / resolution,
        "rlnFourierShellCorrelationCorrected": curves.corrected,
        "rlnFourierShellCorrelationParticleMaskFraction": curves.mask_fraction,
        "rlnFourierShellCorrelationUnmaskedMaps": curves.unmasked,
        "rlnFourierShellCorrelationMaskedMaps": curves.masked,
        "rlnCorrectedFourierShellCorrelationPhaseRandomizedMaskedMaps": curves.randomised,
    })


def _guinier(result: PostProcessed) -> pd.DataFrame:
    guinier = result.guinier
    columns = {"rlnResolutionSquared": result.frequency**2, "rlnLogAmplitudesOriginal": guinier.original}
    if guinier.mtf_corrected is not None:
        columns["rlnLogAmplitudesMTFCorrected"] = guinier.mtf_corrected
    columns |= {"rlnLogAmplitudesWeighted": guinier.weighted, "rlnLogAmplitudesSharpened": guinier.sharpened}
    if guinier.fit is not None:
        columns["rlnLogAmplitudesIntercept"] = np.full(guinier.weighted.size, guinier.fit.intercept)
    return pd.DataFrame(columns)


def _write_xml(path: Path, resolution: np.ndarray, curve: np.ndarray) -> None:
    points = (f"  <coordinate>\n    <x>{x:.6g}</x>\n    <y>{y:.6g}</y>\n  </coordinate>\n"
              for x, y in zip(resolution, curve, strict=True))
    write_text(path, '<fsc title="Masked-corrected FSC" xaxis="Resolution (A-1)" '
               f'yaxis="Correlation Coefficient">\n{"".join(points)}</fsc>\n')


@dataclass(frozen=True, kw_only=True)
class Guinier:
    """Logarithms of the mean amplitudes (shells,) of the mean map: as it is, over the MTF, weighted, sharpened."""

    original: np.ndarray
    mtf_corrected: np.ndarray | None
    weighted: np.ndarray
    sharpened: np.ndarray
    fit: GuinierFit | None


@dataclass(frozen=True, kw_only=True)
class PostProcessed:
    """Results of PostProcess; `frequency` (shells,) in Å⁻¹, `resolution` in Å, `b_factor` in Å²."""

    frequency: np.ndarray
    curves: FscCurves
    resolution: float
    b_factor: float
    guinier: Guinier
    map: np.ndarray
