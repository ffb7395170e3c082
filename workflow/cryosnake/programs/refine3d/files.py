"""The files of Refine3D, with RELION's names, tables and units, and reading them back."""

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
from cryosnake.numerics.refine.search.schedule import Progress, Sampling
from cryosnake.programs.refine3d.model import Refinement, Settings, grid_of, resolution_shell
from cryosnake.programs.refinement.particles import Particles
from cryosnake.programs.refinement.state import Assignments, Statistics
from cryosnake.programs.refinement.tables import (
    class_table,
    data_tables,
    group_table,
    noise_tables,
    optimiser_list,
    read_assignments,
    read_noise,
)

_MODEL_DIRECTIONS = "model_pdf_orient_class_1"


def write_iteration(particles: Particles, model: Refinement, settings: Settings, root: Path, options: Any) -> None:
    """Write `<root>_itNNN_…`; the optimiser last, so that it never names a file that is not there."""
    name = f"{root}_it{model.iteration:03d}"
    write_star(f"{name}_data.star", data_tables(particles, model.state, model.half))
    for half in (0, 1):
        stem = f"{name}_half{half + 1}"
        write_mrc(f"{stem}_class001.mrc", model.volumes[half], particles.pixel_size)
        write_star(f"{stem}_model.star", _model_tables(particles, model, settings, half, f"{stem}_class001.mrc"))
    write_star(f"{name}_sampling.star", _sampling_tables(particles, model, settings))
    models = [f"{name}_half{half}_model.star" for half in (1, 2)]
    write_star(f"{name}_optimiser.star", {"optimiser_general": _optimiser(particles, model, settings, root, name,
                                                                          models, options, False)})


def write_final(particles: Particles, model: Refinement, settings: Settings, root: Path, options: Any) -> None:
    """Write `<root>_…` of the last iteration, in which both halves were joined."""
    assert model.joined is not None
    for half in (0, 1):
        write_mrc(f"{root}_half{half + 1}_class001_unfil.mrc", model.unfiltered[half], particles.pixel_size)
    write_mrc(f"{root}_class001.mrc", model.joined, particles.pixel_size)
    write_star(f"{root}_model.star", _model_tables(particles, model, settings, 0, f"{root}_class001.mrc"))
    write_star(f"{root}_sampling.star", _sampling_tables(particles, model, settings))
    write_star(f"{root}_data.star", data_tables(particles, model.state, model.half))
    write_star(f"{root}_optimiser.star", {"optimiser_general": _optimiser(particles, model, settings, root, str(root),
                                                                          [f"{root}_model.star"], options, True)})


def _model_tables(particles: Particles, model: Refinement, settings: Settings, half: int, image: str,
                  ) -> dict[str, Any]:
    statistics, pixel = model.statistics[half], particles.pixel_size
    rows = model.half == half + 1
    shell = resolution_shell(model.ssnr)
    resolution = particles.box * pixel / shell
    general = {
        "rlnReferenceDimensionality": 3, "rlnDataDimensionality": 2, "rlnOriginalImageSize": particles.box,
        "rlnCurrentResolution": resolution, "rlnCurrentImageSize": model.size, "rlnPaddingFactor": 2.0, "rlnIsHelix": 0,
        "rlnFourierSpaceInterpolator": 1, "rlnMinRadiusNnInterpolation": 10, "rlnPixelSize": pixel, "rlnNrClasses": 1,
        "rlnNrBodies": 1, "rlnNrGroups": len(particles.group_names), "rlnNrOpticsGroups": len(statistics.noise),
        "rlnTau2FudgeFactor": 1.0, "rlnNormCorrectionAverage": statistics.norm_average,
        "rlnSigmaOffsetsAngst": statistics.offset_sigma * pixel, "rlnOrientationalPriorMode": int(
            model.sampling.sigma > 0),
        "rlnSigmaPriorRotAngle": model.sampling.sigma, "rlnSigmaPriorTiltAngle": model.sampling.sigma,
        "rlnSigmaPriorPsiAngle": model.sampling.sigma,
        "rlnLogLikelihood": float(model.state.log_likelihood[rows].sum()),
        "rlnAveragePmax": float(model.state.top_weight[rows].mean()),
    }
    classes = pd.DataFrame({
        "rlnReferenceImage": [image], "rlnClassDistribution": [1.0], "rlnAccuracyRotations": [model.accuracy[0]],
        "rlnAccuracyTranslationsAngst": [model.accuracy[1] * pixel], "rlnEstimatedResolution": [resolution],
        "rlnOverallFourierCompleteness": [1.0]})
    tables: dict[str, Any] = {"model_general": general, "model_classes": classes}
    tables["model_class_1"] = class_table(particles, model.ssnr, model.fsc, model.weight[half])
    tables["model_groups"] = group_table(particles, rows, statistics.scale)
    tables.update(noise_tables(particles, statistics.noise, rows))
    tables[_MODEL_DIRECTIONS] = pd.DataFrame({"rlnOrientationDistribution": _directions(model, settings, half)})
    return tables


def _directions(model: Refinement, settings: Settings, half: int) -> np.ndarray:
    if model.sampling.sigma == 0:
        return model.statistics[half].direction
    count = len(grid_of(settings, Sampling(model.sampling.order, 0, 1), 0.0).pixels)
    return np.full(count, 1.0 / count)


def _sampling_tables(particles: Particles, model: Refinement, settings: Settings) -> dict[str, Any]:
    sampling, pixel = model.sampling, particles.pixel_size
    step = healpix.angular_step(sampling.order)
    general = {
        "rlnIs3DSampling": 1, "rlnIs3DTranslationalSampling": 0, "rlnHealpixOrder": sampling.order,
        "rlnSymmetryGroup": settings.symmetry.upper(), "rlnTiltAngleLimit": -91.0, "rlnPsiStep": step,
        "rlnOffsetRange": sampling.offset_range * pixel, "rlnOffsetStep": sampling.offset_step * pixel,
        "rlnHelicalOffsetStep": -1.0, "rlnSamplingPerturbInstance": model.perturbation, "rlnSamplingPerturbFactor": 0.5,
        "rlnHealpixOrderOriginal": sampling.order, "rlnPsiStepOriginal": step,
        "rlnOffsetRangeOriginal": sampling.offset_range * pixel,
        "rlnOffsetStepOriginal": sampling.offset_step * pixel,
    }
    grid = grid_of(settings, Sampling(sampling.order, 0, 1), 0.0)
    rot, tilt = healpix.pixel_angles(sampling.order, grid.pixels)
    return {"sampling_general": general, "sampling_directions": pd.DataFrame({"rlnAngleRot": rot,
                                                                              "rlnAngleTilt": tilt})}


def _optimiser(particles: Particles, model: Refinement, settings: Settings, root: Path, name: str, models: list[str],
               options: Any, converged: bool) -> dict[str, Any]:
    progress, pixel = model.progress, particles.pixel_size
    length = particles.box * pixel
    return optimiser_list(
        root=str(root), models=models, data=f"{name}_data.star", sampling=f"{name}_sampling.star",
        iteration=model.iteration, iterations=999, halves=not converged, seed=settings.seed,
        diameter=settings.diameter, zero_mask=settings.zero_mask, solvent_mask=getattr(options, "mask", None),
        auto=True, use_ctf=settings.use_ctf, intact=settings.intact_first_peak, changed={
            "rlnDoSolventFscCorrection": int(settings.solvent_fsc),
            "rlnHighresLimitExpectation": settings.highres_limit or -1.0,
            "rlnIncrementImageSize": 10,
            "rlnAutoLocalSearchesHealpixOrder": settings.local_order,
            "rlnNumberOfIterWithoutResolutionGain": progress.without_gain,
            "rlnBestResolutionThusFar": progress.best_shell / length,
            "rlnNumberOfIterWithoutChangingAssignments": progress.without_change,
            "rlnOverallAccuracyRotations": model.accuracy[0],
            "rlnOverallAccuracyTranslationsAngst": model.accuracy[1] * pixel,
            "rlnChangesOptimalOrientations": model.change[0],
            "rlnChangesOptimalOffsets": model.change[1] * pixel,
            "rlnSmallestChangesOrientations": min(progress.smallest_rotation, 999.0),
            "rlnSmallestChangesOffsets": min(progress.smallest_offset, 999.0),
            "rlnHasConverged": int(converged),
            "rlnHasHighFscAtResolLimit": int(model.fsc[min(model.size // 2, len(model.fsc)) - 1] > 0.2),
        })


def read_refinement(path: str | os.PathLike[str], particles: Particles) -> Refinement:
    """Read the state after the iteration that an optimiser file describes; the particles are those of the job.

    Raises
    ------
    CryosnakeError
        when the file is no optimiser of a half-set refinement, or one of its files is missing or does not fit
    """
    from cryosnake.programs.refine3d.model import next_size

    tables = read_star(path)
    if "optimiser_general" not in tables:
        raise CryosnakeError(f"{path} is no optimiser file. Continue from run_itNNN_optimiser.star of the same job.")
    general = tables["optimiser_general"].iloc[0]
    if "rlnModelStarFile2" not in general:
        raise CryosnakeError(f"{path} has no second half-set model: it is the end of a refinement or of another job "
                             "type. Continue from run_itNNN_optimiser.star.")
    models = [read_star(general[label]) for label in ("rlnModelStarFile", "rlnModelStarFile2")]
    state, half = read_assignments(str(general["rlnExperimentalDataStarFile"]), particles)
    pixel, box = particles.pixel_size, particles.box
    sampling_row = read_star(general["rlnOrientSamplingStarFile"])["sampling_general"].iloc[0]
    model_general = models[0]["model_general"].iloc[0]
    sampling = Sampling(int(sampling_row["rlnHealpixOrder"]), float(sampling_row["rlnOffsetRange"]) / pixel,
                        float(sampling_row["rlnOffsetStep"]) / pixel, float(model_general["rlnSigmaPriorRotAngle"]))
    curve = models[0]["model_class_1"]
    fsc, ssnr = curve["rlnGoldStandardFsc"].to_numpy(float), curve["rlnSsnrMap"].to_numpy(float)
    if len(fsc) != box // 2 + 1:
        raise CryosnakeError(f"{path} belongs to images of {2 * len(fsc) - 2} pixels, the particles have {box}. "
                             "Continue with the particles that the job began with.")
    size = int(model_general["rlnCurrentImageSize"])
    return Refinement(
        int(general["rlnCurrentIteration"]), half, state,
        [_read_statistics(tables, particles, sampling) for tables in models],
        [read_mrc(str(tables["model_classes"]["rlnReferenceImage"].iloc[0]))[0] for tables in models],
        sampling, _read_progress(general, box * pixel), next_size(fsc, ssnr, size, box), fsc, ssnr,
        [np.zeros(1), np.zeros(1)],
        (float(general["rlnOverallAccuracyRotations"]), float(general["rlnOverallAccuracyTranslationsAngst"]) / pixel),
        (float(general["rlnChangesOptimalOrientations"]), float(general["rlnChangesOptimalOffsets"]) / pixel),
    )


def _read_progress(general: Any, length: float) -> Progress:
    return Progress(round(float(general["rlnBestResolutionThusFar"]) * length),
                    int(general["rlnNumberOfIterWithoutResolutionGain"]),
                    int(general["rlnNumberOfIterWithoutChangingAssignments"]),
                    float(general["rlnSmallestChangesOrientations"]), float(general["rlnSmallestChangesOffsets"]))


def _read_statistics(tables: dict[str, pd.DataFrame], particles: Particles, sampling: Sampling) -> Statistics:
    general = tables["model_general"].iloc[0]
    direction = tables[_MODEL_DIRECTIONS]["rlnOrientationDistribution"].to_numpy(float)
    if sampling.sigma > 0:
        direction = np.ones(1)
    return Statistics(read_noise(tables, particles), tables["model_groups"]["rlnGroupScaleCorrection"].to_numpy(float),
                      float(general["rlnNormCorrectionAverage"]),
                      float(general["rlnSigmaOffsetsAngst"]) / particles.pixel_size, direction / direction.sum())


__all__ = ["Assignments", "read_refinement", "write_final", "write_iteration"]
