"""The files of Class2D, with RELION's names, tables and units, and reading them back."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cryosnake.errors import CryosnakeError
from cryosnake.io.mrc import read_mrc, write_mrc
from cryosnake.io.star import read_star, write_star
from cryosnake.numerics.refine.classes.averages import class_shells
from cryosnake.programs.class2d.model import Classification, Settings2D, next_size, plane_grid
from cryosnake.programs.class2d.validation import Validation
from cryosnake.programs.refinement.particles import Particles
from cryosnake.programs.refinement.state import Statistics
from cryosnake.programs.refinement.tables import (
    class_table,
    data_tables,
    group_table,
    noise_tables,
    optimiser_list,
    read_assignments,
    read_noise,
)


def write_classes(particles: Particles, model: Classification, settings: Settings2D, root: Path, options: Any,
                  validation: Validation | None = None) -> None:
    """Write `<root>_itNNN_…`; the optimiser last, so that it never names a file that is not there."""
    name = f"{root}_it{model.iteration:03d}"
    write_mrc(f"{name}_classes.mrcs", model.averages, particles.pixel_size, stack=True)
    write_star(f"{name}_data.star", _data_tables(particles, model, validation))
    write_star(f"{name}_model.star", _model_tables(particles, model, settings, f"{name}_classes.mrcs", validation))
    write_star(f"{name}_sampling.star", {"sampling_general": _sampling(particles, model, settings)})
    write_star(f"{name}_optimiser.star", {"optimiser_general": optimiser_list(
        root=str(root), models=[f"{name}_model.star"], data=f"{name}_data.star", sampling=f"{name}_sampling.star",
        iteration=model.iteration, iterations=options.iterations, halves=False, seed=settings.seed,
        diameter=settings.diameter, zero_mask=settings.zero_mask, solvent_mask=None, auto=False,
        use_ctf=settings.use_ctf, intact=settings.intact_first_peak, changed={
            "rlnHighresLimitExpectation": settings.highres_limit or -1.0,
            "rlnChangesOptimalOrientations": model.change[0],
            "rlnChangesOptimalOffsets": model.change[1] * particles.pixel_size,
            "rlnChangesOptimalClasses": model.change[2],
            "rlnBestResolutionThusFar": class_shells(model.ssnr).max() / (particles.box * particles.pixel_size),
        })})


def _data_tables(particles: Particles, model: Classification, validation: Validation | None) -> dict[str, pd.DataFrame]:
    """Return the particles with their assignments and, in the last iteration, how likely each is one."""
    tables = data_tables(particles, model.state, None)
    if validation is not None:
        tables["particles"] = tables["particles"].assign(cryosnakeParticleScore=validation.membership)
    return tables


def write_unmasked(particles: Particles, model: Classification, root: Path) -> None:
    """Write the class averages before the solvent was set to zero, as relion_refine does at the end."""
    write_mrc(f"{root}_unmasked_classes.mrcs", model.unmasked, particles.pixel_size, stack=True)


def _model_tables(particles: Particles, model: Classification, settings: Settings2D, images: str,
                  validation: Validation | None) -> dict[str, Any]:
    statistics, pixel = model.statistics, particles.pixel_size
    length = particles.box * pixel
    resolution = length / class_shells(model.ssnr)
    general = {
        "rlnReferenceDimensionality": 2, "rlnDataDimensionality": 2, "rlnOriginalImageSize": particles.box,
        "rlnCurrentResolution": float(resolution.min()), "rlnCurrentImageSize": model.size, "rlnPaddingFactor": 2.0,
        "rlnIsHelix": 0, "rlnFourierSpaceInterpolator": 1, "rlnMinRadiusNnInterpolation": 10, "rlnPixelSize": pixel,
        "rlnNrClasses": settings.classes, "rlnNrBodies": 1, "rlnNrGroups": len(particles.group_names),
        "rlnNrOpticsGroups": len(statistics.noise), "rlnTau2FudgeFactor": settings.tau2_fudge,
        "rlnNormCorrectionAverage": statistics.norm_average,
        "rlnSigmaOffsetsAngst": statistics.offset_sigma * pixel, "rlnOrientationalPriorMode": 0,
        "rlnSigmaPriorRotAngle": 0.0, "rlnSigmaPriorTiltAngle": 0.0, "rlnSigmaPriorPsiAngle": 0.0,
        "rlnLogLikelihood": float(model.state.log_likelihood.sum()),
        "rlnAveragePmax": float(model.state.top_weight.mean()),
    }
    count = settings.classes
    classes = pd.DataFrame({
        "rlnReferenceImage": [f"{k:06d}@{images}" for k in range(1, count + 1)],
        "rlnClassDistribution": statistics.direction, "rlnAccuracyRotations": np.full(count, 999.0),
        "rlnAccuracyTranslationsAngst": np.full(count, 999.0), "rlnEstimatedResolution": resolution,
        "rlnOverallFourierCompleteness": np.ones(count), "rlnClassPriorOffsetX": np.zeros(count),
        "rlnClassPriorOffsetY": np.zeros(count)})
    tables: dict[str, Any] = {"model_general": general, "model_classes": classes}
    if validation is not None:
        _add_validation(tables, particles, model, validation)
    for k in range(count):
        tables[f"model_class_{k + 1}"] = class_table(particles, model.ssnr[k], np.zeros(model.ssnr.shape[1]),
                                                     model.weight[k], dimensions=2)
    everyone = np.ones(len(particles), bool)
    tables["model_groups"] = group_table(particles, everyone, statistics.scale)
    return tables | noise_tables(particles, statistics.noise, everyone)


def _add_validation(tables: dict[str, Any], particles: Particles, model: Classification, validation: Validation,
                    ) -> None:
    """Put score, accuracies and the resolution of the half averages into model_classes; why, into class_ranking."""
    ranking, classes = validation.ranking, tables["model_classes"]
    count, length = len(classes), particles.box * particles.pixel_size
    classes["rlnAccuracyRotations"] = validation.accuracy[:, 0]
    known = validation.accuracy[:, 1] < 999.0
    classes["rlnAccuracyTranslationsAngst"] = np.where(known, validation.accuracy[:, 1] * particles.pixel_size, 999.0)
    classes["rlnEstimatedResolution"] = length / ranking.shells
    classes["rlnClassScore"] = ranking.score
    members = np.bincount(model.state.class_index, minlength=count)
    tables["class_ranking"] = pd.DataFrame({
        "rlnClassNumber": np.arange(1, count + 1), "rlnClassScore": ranking.score, "cryosnakeParticles": members,
        **{f"cryosnake{name.title()}": answer for name, answer in ranking.answers.items()},
        "cryosnakeReason": [ranking.reason(k) or "None" for k in range(count)]})


def _sampling(particles: Particles, model: Classification, settings: Settings2D) -> dict[str, Any]:
    pixel, step = particles.pixel_size, plane_grid(settings, 0.0).step
    reach, offset = settings.offset_range * pixel, settings.offset_step * pixel
    return {"rlnIs3DSampling": 0, "rlnIs3DTranslationalSampling": 0, "rlnPsiStep": step, "rlnOffsetRange": reach,
            "rlnOffsetStep": offset, "rlnHelicalOffsetStep": -1.0, "rlnSamplingPerturbInstance": model.perturbation,
            "rlnSamplingPerturbFactor": 0.5, "rlnHealpixOrderOriginal": -1, "rlnPsiStepOriginal": step,
            "rlnOffsetRangeOriginal": reach, "rlnOffsetStepOriginal": offset}


def read_classification(path: str | os.PathLike[str], particles: Particles, settings: Settings2D) -> Classification:
    """Read the state after the iteration that an optimiser file describes; the particles are those of the job.

    Raises
    ------
    CryosnakeError
        when the file is no optimiser of a 2D classification, or one of its files is missing or does not fit
    """
    tables = read_star(path)
    if "optimiser_general" not in tables:
        raise CryosnakeError(f"{path} is no optimiser file. Continue from run_itNNN_optimiser.star of the same job.")
    general = tables["optimiser_general"].iloc[0]
    model = read_star(str(general["rlnModelStarFile"]))
    classes = model["model_classes"]
    if len(classes) != settings.classes:
        raise CryosnakeError(f"{path} has {len(classes)} classes, the job asks for {settings.classes}; set classes: "
                             f"{len(classes)} or start a new job.")
    state, _ = read_assignments(str(general["rlnExperimentalDataStarFile"]), particles)
    row, pixel = model["model_general"].iloc[0], particles.pixel_size
    averages = read_mrc(str(classes["rlnReferenceImage"].iloc[0]).partition("@")[2])[0]
    ssnr = np.stack([model[f"model_class_{k + 1}"]["rlnSsnrMap"].to_numpy(float) for k in range(len(classes))])
    if ssnr.shape[1] != particles.box // 2 + 1:
        raise CryosnakeError(f"{path} belongs to images of {2 * ssnr.shape[1] - 2} pixels, the particles have "
                             f"{particles.box}. Continue with the particles that the job began with.")
    direction = classes["rlnClassDistribution"].to_numpy(float)
    statistics = Statistics(
        read_noise(model, particles), model["model_groups"]["rlnGroupScaleCorrection"].to_numpy(float),
        float(row["rlnNormCorrectionAverage"]), float(row["rlnSigmaOffsetsAngst"]) / pixel, direction / direction.sum())
    return Classification(int(general["rlnCurrentIteration"]), state, statistics, averages, ssnr,
                          next_size(particles, ssnr), _weights(model, len(classes)),
                          np.arange(len(particles)))


def _weights(model: dict[str, pd.DataFrame], classes: int) -> np.ndarray:
    """Return the mean weights (classes, shells) behind rlnReferenceSigma2, see `refine_tables.class_table`."""
    sigma2 = np.stack([model[f"model_class_{k + 1}"]["rlnReferenceSigma2"].to_numpy(float) for k in range(classes)])
    return np.divide(0.125, sigma2, out=np.zeros_like(sigma2), where=sigma2 > 0)
