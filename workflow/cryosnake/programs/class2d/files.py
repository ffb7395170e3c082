"""The files of Class2D, with RELION's names, tables and units, and reading them back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from cryosnake.io.mrc import read_mrc, write_mrc
from cryosnake.io.star import read_star, write_star
from cryosnake.jobs.options import Class2DOptions
from cryosnake.numerics.refine.classes.averages import class_shells
from cryosnake.programs.class2d.model import Classification, Validation, class_resolutions, plane_grid
from cryosnake.programs.refinement import tables
from cryosnake.programs.refinement.particles import ParticleSet
from cryosnake.programs.refinement.recipe import Recipe, next_size

_Recipe = Recipe[Class2DOptions, Any, Any]


def write_classes(recipe: _Recipe, model: Classification) -> None:
    """Write `<root>_itNNN_…`; the optimiser last, so that it never names a file that is not there."""
    stem, particles = f"{recipe.root}_it{model.iteration:03d}", recipe.particles
    write_mrc(f"{stem}_classes.mrcs", model.averages, particles.pixel_size, stack=True)
    data = tables.data(particles, model.assignments)
    if model.validation is not None:  # in the last iteration: unmasked averages too, and particle scores
        data["particles"] = data["particles"].assign(cryosnakeParticleScore=model.validation.membership)
        write_mrc(f"{recipe.root}_unmasked_classes.mrcs", model.unmasked, particles.pixel_size, stack=True)
    write_star(f"{stem}_data.star", data)
    write_star(f"{stem}_model.star", _model_tables(recipe, model, f"{stem}_classes.mrcs"))
    write_star(f"{stem}_sampling.star", {"sampling_general": _sampling(recipe, model)})
    write_star(f"{stem}_optimiser.star", tables.optimiser(recipe, stem, [f"{stem}_model.star"], model.iteration, {
        "rlnChangesOptimalOrientations": model.change[0],
        "rlnChangesOptimalOffsets": model.change[1] * particles.pixel_size,
        "rlnChangesOptimalClasses": model.change[2],
        "rlnBestResolutionThusFar": class_shells(model.ssnr).max() / particles.length}))


def _model_tables(recipe: _Recipe, model: Classification, images: str) -> dict[str, Any]:
    statistics, particles, count = model.statistics, recipe.particles, recipe.options.classes
    resolution = class_resolutions(model, particles.length)
    general = tables.general(particles, statistics, model.assignments, 0.0, {
        "rlnReferenceDimensionality": 2, "rlnCurrentResolution": float(resolution.min()),
        "rlnCurrentImageSize": model.size, "rlnNrClasses": count, "rlnTau2FudgeFactor": recipe.options.tau2_fudge})
    names = [f"{k:06d}@{images}" for k in range(1, count + 1)]
    classes = tables.classes(names, statistics.direction, resolution).assign(
        rlnClassPriorOffsetX=np.zeros(count), rlnClassPriorOffsetY=np.zeros(count))
    result: dict[str, Any] = {"model_general": general, "model_classes": classes}
    if model.validation is not None:
        _add_validation(result, particles, model, model.validation)
    for k in range(count):
        result[f"model_class_{k + 1}"] = tables.of_class(particles, model.ssnr[k], np.zeros(model.ssnr.shape[1]),
                                                     model.weight[k], dimensions=2)
    return result | tables.groups_and_noise(particles, statistics, np.ones(len(particles), bool))


def _add_validation(result: dict[str, Any], particles: ParticleSet, model: Classification, validation: Validation,
                    ) -> None:
    """Add score and accuracies to model_classes, and the reasons as class_ranking."""
    ranking, classes, (rotation, shift) = validation.ranking, result["model_classes"], validation.accuracy.T
    count = len(classes)
    classes["rlnAccuracyRotations"] = rotation
    classes["rlnAccuracyTranslationsAngst"] = np.where(shift < 999.0, shift * particles.pixel_size, 999.0)
    classes["rlnClassScore"] = ranking.score
    members = np.bincount(model.assignments.class_index, minlength=count)
    result["class_ranking"] = pd.DataFrame({
        "rlnClassNumber": np.arange(1, count + 1), "rlnClassScore": ranking.score, "cryosnakeParticles": members,
        **{f"cryosnake{name.title()}": answer for name, answer in ranking.answers.items()},
        "cryosnakeReason": [ranking.reason(k) or "None" for k in range(count)]})


def _sampling(recipe: _Recipe, model: Classification) -> dict[str, Any]:
    pixel, step, options = recipe.particles.pixel_size, plane_grid(recipe.options, 0.0).step, recipe.options
    reach, offset = options.offset_range * pixel, 2.0 * options.offset_step * pixel
    return {"rlnIs3DSampling": 0, "rlnIs3DTranslationalSampling": 0, "rlnPsiStep": step, "rlnOffsetRange": reach,
            "rlnOffsetStep": offset, "rlnHelicalOffsetStep": -1.0, "rlnSamplingPerturbInstance": model.perturbation,
            "rlnSamplingPerturbFactor": 0.5, "rlnHealpixOrderOriginal": -1, "rlnPsiStepOriginal": step,
            "rlnOffsetRangeOriginal": reach, "rlnOffsetStepOriginal": offset}


def read_classification(path: str, recipe: _Recipe) -> Classification:
    """Read the state after the iteration that an optimiser file describes; the particles are those of the job.

    Raises
    ------
    CryosnakeError
        when the file is not the optimiser of a 2D classification, or one of its files is missing or does not fit
    """
    general, particles = tables.read_optimiser(path), recipe.particles
    model = read_star(str(general["rlnModelStarFile"]))
    classes = model["model_classes"]
    tables.require_classes(path, len(classes), recipe)
    assignments, _ = tables.read_assignments(str(general["rlnExperimentalDataStarFile"]), particles)
    averages = read_mrc(str(classes["rlnReferenceImage"].iloc[0]).partition("@")[2])[0]
    ssnr = np.stack([model[f"model_class_{k + 1}"]["rlnSsnrMap"].to_numpy(float) for k in range(len(classes))])
    tables.require_box(path, 2 * ssnr.shape[1] - 2, particles)
    return Classification(
        iteration=int(general["rlnCurrentIteration"]), assignments=assignments, averages=averages, ssnr=ssnr,
        statistics=tables.read_statistics(model, particles, classes["rlnClassDistribution"].to_numpy(float)),
        size=next_size(ssnr, particles.box), weight=_weights(model, len(classes)), rows=np.arange(len(particles)))


def _weights(model: dict[str, pd.DataFrame], classes: int) -> np.ndarray:
    """Return the mean weights (classes, shells) behind rlnReferenceSigma2, see `tables.of_class`."""
    sigma2 = np.stack([model[f"model_class_{k + 1}"]["rlnReferenceSigma2"].to_numpy(float) for k in range(classes)])
    return np.divide(0.125, sigma2, out=np.zeros_like(sigma2), where=sigma2 > 0)
