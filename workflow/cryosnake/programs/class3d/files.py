"""The files of Class3D, with RELION's names, tables and units, and reading them back."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cryosnake.errors import CryosnakeError
from cryosnake.io.mrc import read_mrc, write_mrc
from cryosnake.io.star import read_star, write_star
from cryosnake.numerics import healpix
from cryosnake.numerics.refine.classes.averages import class_shells
from cryosnake.programs.class3d.model import Classification3D, Settings3D, grid_of, next_size
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


def write_classes(particles: Particles, model: Classification3D, settings: Settings3D, root: Path, options: Any,
                  mask: str | None) -> None:
    """Write `<root>_itNNN_…`; the optimiser last, so that it never names a file that is not there."""
    name = f"{root}_it{model.iteration:03d}"
    maps = [f"{name}_class{number:03d}.mrc" for number in range(1, settings.classes + 1)]
    for path, volume in zip(maps, model.volumes, strict=True):
        write_mrc(path, volume, particles.pixel_size)
    write_star(f"{name}_data.star", data_tables(particles, model.state, None))
    write_star(f"{name}_model.star", _model_tables(particles, model, settings, maps))
    write_star(f"{name}_sampling.star", _sampling_tables(particles, model, settings))
    best = class_shells(model.ssnr).max()
    occupied = [pair for pair in model.accuracy if pair[0] < 999.0] or [(999.0, 999.0)]
    write_star(f"{name}_optimiser.star", {"optimiser_general": optimiser_list(
        root=str(root), models=[f"{name}_model.star"], data=f"{name}_data.star", sampling=f"{name}_sampling.star",
        iteration=model.iteration, iterations=options.iterations, halves=False, seed=settings.seed,
        diameter=settings.diameter, zero_mask=settings.zero_mask, solvent_mask=mask, auto=False,
        use_ctf=settings.use_ctf, intact=settings.intact_first_peak, changed={
            "rlnDoSkipAlign": int(not settings.align),
            "rlnAdaptiveOversampleOrder": int(settings.align),
            "rlnHighresLimitExpectation": settings.highres_limit or -1.0,
            "rlnOverallAccuracyRotations": min(pair[0] for pair in occupied),
            "rlnOverallAccuracyTranslationsAngst": min(pair[1] for pair in occupied) * particles.pixel_size,
            "rlnChangesOptimalOrientations": model.change[0],
            "rlnChangesOptimalOffsets": model.change[1] * particles.pixel_size,
            "rlnChangesOptimalClasses": model.change[2],
            "rlnBestResolutionThusFar": best / (particles.box * particles.pixel_size),
        })})


def _model_tables(particles: Particles, model: Classification3D, settings: Settings3D, maps: list[str],
                  ) -> dict[str, Any]:
    statistics, pixel = model.statistics, particles.pixel_size
    resolution = particles.box * pixel / class_shells(model.ssnr)
    general = {
        "rlnReferenceDimensionality": 3, "rlnDataDimensionality": 2, "rlnOriginalImageSize": particles.box,
        "rlnCurrentResolution": float(resolution.min()), "rlnCurrentImageSize": model.size, "rlnPaddingFactor": 2.0,
        "rlnIsHelix": 0, "rlnFourierSpaceInterpolator": 1, "rlnMinRadiusNnInterpolation": 10, "rlnPixelSize": pixel,
        "rlnNrClasses": settings.classes, "rlnNrBodies": 1, "rlnNrGroups": len(particles.group_names),
        "rlnNrOpticsGroups": len(statistics.noise), "rlnTau2FudgeFactor": settings.tau2_fudge,
        "rlnNormCorrectionAverage": statistics.norm_average,
        "rlnSigmaOffsetsAngst": statistics.offset_sigma * pixel,
        "rlnOrientationalPriorMode": int(settings.sigma > 0), "rlnSigmaPriorRotAngle": settings.sigma,
        "rlnSigmaPriorTiltAngle": settings.sigma, "rlnSigmaPriorPsiAngle": settings.sigma,
        "rlnLogLikelihood": float(model.state.log_likelihood.sum()),
        "rlnAveragePmax": float(model.state.top_weight.mean()),
    }
    accuracy = np.array(model.accuracy or ((999.0, 999.0),) * settings.classes)
    shift_accuracy = np.where(accuracy[:, 1] < 999.0, accuracy[:, 1] * pixel, 999.0)
    tables: dict[str, Any] = {"model_general": general, "model_classes": pd.DataFrame({
        "rlnReferenceImage": maps, "rlnClassDistribution": model.shares, "rlnAccuracyRotations": accuracy[:, 0],
        "rlnAccuracyTranslationsAngst": shift_accuracy, "rlnEstimatedResolution": resolution,
        "rlnOverallFourierCompleteness": np.ones(settings.classes)})}
    for k in range(settings.classes):
        tables[f"model_class_{k + 1}"] = class_table(particles, model.ssnr[k], np.zeros(model.ssnr.shape[1]),
                                                     model.weight[k])
    everyone = np.ones(len(particles), bool)
    tables["model_groups"] = group_table(particles, everyone, statistics.scale)
    tables |= noise_tables(particles, statistics.noise, everyone)
    for k, prior in enumerate(_directions(model, settings)):
        tables[f"model_pdf_orient_class_{k + 1}"] = pd.DataFrame({"rlnOrientationDistribution": prior})
    return tables


def _directions(model: Classification3D, settings: Settings3D) -> np.ndarray:
    """Return the prior (classes, directions); the classes' shares spread evenly where directions have none."""
    if settings.has_directions:
        return model.statistics.direction.reshape(settings.classes, -1)
    count = len(_listed_pixels(settings))
    return np.repeat(model.shares[:, None] / count, count, axis=1)


def _listed_pixels(settings: Settings3D) -> np.ndarray:
    """Return the directions that the files list: one, as relion_refine --skip_align does, where none is searched.

    RELION 3.1 cannot continue such a classification, its own neither; with a full list it would search orientations.
    """
    pixels = grid_of(settings, 0.0, 1).pixels
    return pixels if settings.align else pixels[:1]


def _sampling_tables(particles: Particles, model: Classification3D, settings: Settings3D) -> dict[str, Any]:
    step = healpix.angular_step(settings.order)
    reach, offset = settings.offset_range * particles.pixel_size, settings.offset_step * particles.pixel_size
    general = {
        "rlnIs3DSampling": 1, "rlnIs3DTranslationalSampling": 0, "rlnHealpixOrder": settings.order,
        "rlnSymmetryGroup": settings.symmetry.upper(), "rlnTiltAngleLimit": -91.0, "rlnPsiStep": step,
        "rlnOffsetRange": reach, "rlnOffsetStep": offset, "rlnHelicalOffsetStep": -1.0,
        "rlnSamplingPerturbInstance": model.perturbation if settings.align else 0.0,
        "rlnSamplingPerturbFactor": 0.5 if settings.align else 0.0,
        "rlnHealpixOrderOriginal": settings.order, "rlnPsiStepOriginal": step, "rlnOffsetRangeOriginal": reach,
        "rlnOffsetStepOriginal": offset,
    }
    rot, tilt = healpix.pixel_angles(settings.order, _listed_pixels(settings))
    return {"sampling_general": general,
            "sampling_directions": pd.DataFrame({"rlnAngleRot": rot, "rlnAngleTilt": tilt})}


def read_classification(path: str | os.PathLike[str], particles: Particles, settings: Settings3D) -> Classification3D:
    """Read the state after the iteration that an optimiser file describes; the particles are those of the job.

    Raises
    ------
    CryosnakeError
        when the file is no optimiser of such a classification, or one of its files is missing or does not fit
    """
    tables = read_star(path)
    if "optimiser_general" not in tables:
        raise CryosnakeError(f"{path} is no optimiser file. Continue from run_itNNN_optimiser.star of the same job.")
    general = tables["optimiser_general"].iloc[0]
    model = read_star(str(general["rlnModelStarFile"]))
    row, classes = model["model_general"].iloc[0], model["model_classes"]
    if int(row["rlnReferenceDimensionality"]) != 3:
        raise CryosnakeError(f"{path} is that of a 2D classification. Continue from a 3D classification's.")
    if len(classes) != settings.classes:
        raise CryosnakeError(f"{path} has {len(classes)} classes, the job asks for {settings.classes}; set classes: "
                             f"{len(classes)} or start a new job.")
    state, _ = read_assignments(str(general["rlnExperimentalDataStarFile"]), particles)
    volumes = np.stack([read_mrc(str(name))[0] for name in classes["rlnReferenceImage"]])
    if volumes.shape[1] != particles.box:
        raise CryosnakeError(f"{path} belongs to images of {volumes.shape[1]} pixels, the particles have "
                             f"{particles.box}. Continue with the particles that the job began with.")
    ssnr = np.stack([model[f"model_class_{k + 1}"]["rlnSsnrMap"].to_numpy(float) for k in range(settings.classes)])
    return Classification3D(int(general["rlnCurrentIteration"]), state,
                            _read_statistics(path, model, particles, settings), volumes, ssnr,
                            next_size(particles, ssnr), np.zeros((settings.classes, 1)))


def _read_statistics(path: str | os.PathLike[str], model: dict[str, pd.DataFrame], particles: Particles,
                     settings: Settings3D) -> Statistics:
    row, direction = model["model_general"].iloc[0], model["model_classes"]["rlnClassDistribution"].to_numpy(float)
    if settings.has_directions:
        direction = np.concatenate([model[f"model_pdf_orient_class_{k + 1}"]["rlnOrientationDistribution"].to_numpy(
            float) for k in range(settings.classes)])
        if len(direction) != settings.classes * len(grid_of(settings, 0.0, 1).pixels):
            raise CryosnakeError(f"{path} was made with another angular sampling or symmetry than the job asks for; "
                                 "continue with the options that the job began with, or start a new one.")
    return Statistics(read_noise(model, particles), model["model_groups"]["rlnGroupScaleCorrection"].to_numpy(float),
                      float(row["rlnNormCorrectionAverage"]), float(row["rlnSigmaOffsetsAngst"]) / particles.pixel_size,
                      direction / direction.sum())
