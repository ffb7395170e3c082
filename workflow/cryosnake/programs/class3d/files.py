"""The files of Class3D, with RELION's names, tables and units, and reading them back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from cryosnake.errors import CryosnakeError
from cryosnake.io.mrc import read_mrc, write_mrc
from cryosnake.io.star import read_star, write_star
from cryosnake.jobs.options import Class3DOptions
from cryosnake.numerics.refine.classes.averages import class_shells
from cryosnake.programs.class3d.model import Classification3D, Stage
from cryosnake.programs.refinement import tables
from cryosnake.programs.refinement.recipe import Recipe, next_size
from cryosnake.programs.refinement.state import Statistics

_Recipe = Recipe[Class3DOptions, Any, Any]


def write_classes(recipe: _Recipe, model: Classification3D, stage: Stage) -> None:
    """Write `<root>_itNNN_…` of an iteration; the optimiser last, so that it never names a file that is not there."""
    stem, particles, options = f"{recipe.root}_it{model.iteration:03d}", recipe.particles, recipe.options
    maps = [f"{stem}_class{number:03d}.mrc" for number in range(1, options.classes + 1)]
    for path, volume in zip(maps, model.volumes, strict=True):
        write_mrc(path, volume, particles.pixel_size)
    write_star(f"{stem}_data.star", tables.data(particles, model.assignments))
    write_star(f"{stem}_model.star", _model_tables(recipe, model, stage, maps))
    shifts = options.offset_range * particles.pixel_size, 2.0 * options.offset_step * particles.pixel_size
    turned = {} if options.align else {"rlnSamplingPerturbFactor": 0.0}
    write_star(f"{stem}_sampling.star", tables.sampling(
        recipe, stage.order, _listed_pixels(stage), shifts,
        {"rlnSamplingPerturbInstance": model.perturbation if options.align else 0.0} | turned))
    accuracy = model.accuracy.min(0)
    write_star(f"{stem}_optimiser.star", tables.optimiser(recipe, stem, [f"{stem}_model.star"], model.iteration, {
        "rlnSolventMaskName": str(recipe.inputs.get("mask", "None")),
        "rlnDoSkipAlign": int(not options.align),
        "rlnAdaptiveOversampleOrder": int(options.align),
        "rlnOverallAccuracyRotations": accuracy[0],
        "rlnOverallAccuracyTranslationsAngst": accuracy[1] * particles.pixel_size,
        "rlnChangesOptimalOrientations": model.change[0],
        "rlnChangesOptimalOffsets": model.change[1] * particles.pixel_size,
        "rlnChangesOptimalClasses": model.change[2],
        "rlnBestResolutionThusFar": class_shells(model.ssnr).max() / particles.length}))


def _model_tables(recipe: _Recipe, model: Classification3D, stage: Stage, maps: list[str]) -> dict[str, Any]:
    statistics, particles, options = model.statistics, recipe.particles, recipe.options
    resolution = particles.length / class_shells(model.ssnr)
    general = tables.general(particles, statistics, model.assignments, stage.sigma, {
        "rlnCurrentResolution": float(resolution.min()), "rlnCurrentImageSize": model.size,
        "rlnNrClasses": options.classes, "rlnTau2FudgeFactor": options.tau2_fudge})
    accuracy = np.where(model.accuracy < 999.0, model.accuracy * (1.0, particles.pixel_size), 999.0)
    result: dict[str, Any] = {"model_general": general,
                              "model_classes": tables.classes(maps, model.class_fractions, resolution, accuracy)}
    for k in range(options.classes):
        result[f"model_class_{k + 1}"] = tables.of_class(particles, model.ssnr[k], np.zeros(model.ssnr.shape[1]),
                                                     model.weight[k])
    result |= tables.groups_and_noise(particles, statistics, np.ones(len(particles), bool))
    for k, prior in enumerate(_directions(model, stage)):
        result[f"model_pdf_orient_class_{k + 1}"] = pd.DataFrame({"rlnOrientationDistribution": prior})
    return result


def _directions(model: Classification3D, stage: Stage) -> np.ndarray:
    """Return the prior (classes, directions); class fractions are spread evenly over directions without a prior."""
    if stage.has_directions:
        return model.statistics.direction.reshape(len(model.volumes), -1)
    count = len(_listed_pixels(stage))
    return np.repeat(model.class_fractions[:, None] / count, count, axis=1)


def _listed_pixels(stage: Stage) -> np.ndarray:
    """Return the directions that the files list: without alignment only one, as relion_refine --skip_align does.

    RELION 3.1 cannot continue such a classification, not even its own; with a full list it would search orientations.
    """
    pixels = stage.grid(1).pixels
    return pixels if stage.align else pixels[:1]


def read_classification(path: str, recipe: _Recipe, first: Stage) -> Classification3D:
    """Read the state after the iteration that an optimiser file describes; particles and first stage are the job's.

    Raises
    ------
    CryosnakeError
        when the file is not an optimiser of such a classification, or one of its files is missing or does not fit
    """
    general, particles, count = tables.read_optimiser(path), recipe.particles, recipe.options.classes
    model = read_star(str(general["rlnModelStarFile"]))
    if int(model["model_general"].iloc[0]["rlnReferenceDimensionality"]) != 3:
        raise CryosnakeError(f"{path} belongs to a 2D classification. Continue from that of a 3D classification.")
    tables.require_classes(path, len(model["model_classes"]), recipe)
    assignments, _ = tables.read_assignments(str(general["rlnExperimentalDataStarFile"]), particles)
    volumes = np.stack([read_mrc(str(name))[0] for name in model["model_classes"]["rlnReferenceImage"]])
    tables.require_box(path, volumes.shape[1], particles)
    ssnr = np.stack([model[f"model_class_{k + 1}"]["rlnSsnrMap"].to_numpy(float) for k in range(count)])
    return Classification3D(
        iteration=int(general["rlnCurrentIteration"]), assignments=assignments, volumes=volumes, ssnr=ssnr,
        statistics=_read_statistics(path, model, recipe, first), size=next_size(ssnr, particles.box),
        weight=np.zeros((count, 1)), accuracy=np.full((count, 2), 999.0))


def _read_statistics(path: str, model: dict[str, pd.DataFrame], recipe: _Recipe, first: Stage) -> Statistics:
    options, direction = recipe.options, model["model_classes"]["rlnClassDistribution"].to_numpy(float)
    everywhere = float(model["model_general"].iloc[0]["rlnSigmaPriorRotAngle"]) == 0
    if everywhere and first.has_directions:
        direction = np.concatenate([model[f"model_pdf_orient_class_{k + 1}"]["rlnOrientationDistribution"].to_numpy(
            float) for k in range(options.classes)])
        if len(direction) != options.classes * len(first.grid(1).pixels):
            raise CryosnakeError(f"{path} was made with another angular sampling or symmetry than the job asks for; "
                                 "continue with the options that the job started with, or start a new one.")
    return tables.read_statistics(model, recipe.particles, direction)
