"""The files of Refine3D, with RELION's names, tables and units, and reading them back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from cryosnake.errors import CryosnakeError
from cryosnake.io.mrc import read_mrc, write_mrc
from cryosnake.io.star import read_star, write_star
from cryosnake.jobs.options import Refine3DOptions
from cryosnake.numerics.refine.search.schedule import Convergence, Sampling
from cryosnake.programs.refine3d.model import Refinement, grid_of, next_size, resolution_of, resolution_shell
from cryosnake.programs.refinement import tables
from cryosnake.programs.refinement.recipe import Recipe
from cryosnake.programs.refinement.reference_maps import order_of
from cryosnake.programs.refinement.state import Statistics

_Recipe = Recipe[Refine3DOptions, Any, Any]
_MODEL_DIRECTIONS = "model_pdf_orient_class_1"


def write_iteration(recipe: _Recipe, model: Refinement) -> None:
    """Write `<root>_itNNN_…`; the optimiser last, so that it never names a file that is not there."""
    stem = f"{recipe.root}_it{model.iteration:03d}"
    halves = [f"{stem}_half{half}" for half in (1, 2)]
    for name, volume in zip(halves, model.volumes, strict=True):
        write_mrc(f"{name}_class001.mrc", volume, recipe.particles.pixel_size)
    _write_tables(recipe, model, stem, halves)


def write_final(recipe: _Recipe, model: Refinement) -> None:
    """Write `<root>_…` of the last iteration, in which both halves were joined."""
    assert model.joined is not None
    root, pixel_size = str(recipe.root), recipe.particles.pixel_size
    for half, volume in enumerate(model.unfiltered, 1):
        write_mrc(f"{root}_half{half}_class001_unfil.mrc", volume, pixel_size)
    write_mrc(f"{root}_class001.mrc", model.joined, pixel_size)
    _write_tables(recipe, model, root, [root])


def _write_tables(recipe: _Recipe, model: Refinement, stem: str, names: list[str]) -> None:
    """Write `<stem>_….star` and, for each half or the joined map, `<name>_model.star`."""
    for half, name in enumerate(names):
        write_star(f"{name}_model.star", _model_tables(recipe, model, half, f"{name}_class001.mrc"))
    write_star(f"{stem}_data.star", tables.data(recipe.particles, model.assignments, model.half))
    write_star(f"{stem}_sampling.star", _sampling_tables(recipe, model))
    write_star(f"{stem}_optimiser.star", _optimiser(recipe, model, stem, [f"{name}_model.star" for name in names]))


def _model_tables(recipe: _Recipe, model: Refinement, half: int, image: str) -> dict[str, Any]:
    particles, statistics, rows = recipe.particles, model.statistics[half], model.half == half + 1
    resolution = (resolution_of(model, particles.length) if model.last else
                  particles.length / resolution_shell(model.ssnr))
    accuracy = np.array([model.accuracy]) * (1.0, particles.pixel_size)
    return {
        "model_general": tables.general(particles, statistics, model.assignments.of(rows), model.sampling.sigma, {
            "rlnCurrentResolution": resolution, "rlnCurrentImageSize": model.size}),
        "model_classes": tables.classes([image], np.ones(1), np.array([resolution]), accuracy),
        "model_class_1": tables.of_class(particles, model.ssnr, model.fsc, model.weight[half]),
        **tables.groups_and_noise(particles, statistics, rows),
        _MODEL_DIRECTIONS: pd.DataFrame({"rlnOrientationDistribution": _directions(recipe, model, half)})}


def _directions(recipe: _Recipe, model: Refinement, half: int) -> np.ndarray:
    if model.sampling.sigma == 0:
        return model.statistics[half].direction
    count = len(_pixels(recipe, model))
    return np.full(count, 1.0 / count)


def _pixels(recipe: _Recipe, model: Refinement) -> np.ndarray:
    """Return the directions of an asymmetric unit."""
    return grid_of(recipe.options, Sampling(model.sampling.order, 0, 1)).pixels


def _sampling_tables(recipe: _Recipe, model: Refinement) -> dict[str, Any]:
    sampling, pixel = model.sampling, recipe.particles.pixel_size
    return tables.sampling(recipe, sampling.order, _pixels(recipe, model),
                           (sampling.offset_range * pixel, sampling.offset_step * pixel),
                           {"rlnSamplingPerturbInstance": model.perturbation})


def _optimiser(recipe: _Recipe, model: Refinement, stem: str, models: list[str]) -> dict[str, Any]:
    convergence, particles = model.convergence, recipe.particles
    return tables.optimiser(recipe, stem, models, model.iteration, {
        "rlnDoSplitRandomHalves": int(not model.last), "rlnJoinHalvesUntilThisResolution": 40.0, "rlnDoAutoRefine": 1,
        "rlnDoSolventFscCorrection": int(recipe.options.solvent_fsc),
        "rlnAutoLocalSearchesHealpixOrder": order_of(recipe.options.local_sampling, "local_sampling"),
        "rlnNumberOfIterWithoutResolutionGain": convergence.without_gain,
        "rlnBestResolutionThusFar": convergence.best_shell / particles.length,
        "rlnNumberOfIterWithoutChangingAssignments": convergence.without_change,
        "rlnOverallAccuracyRotations": model.accuracy[0],
        "rlnOverallAccuracyTranslationsAngst": model.accuracy[1] * particles.pixel_size,
        "rlnChangesOptimalOrientations": model.change[0],
        "rlnChangesOptimalOffsets": model.change[1] * particles.pixel_size,
        "rlnSmallestChangesOrientations": min(convergence.smallest_rotation, 999.0),
        "rlnSmallestChangesOffsets": min(convergence.smallest_offset, 999.0),
        "rlnHasConverged": int(model.last),
        "rlnHasHighFscAtResolLimit": int(model.fsc[min(model.size // 2, len(model.fsc)) - 1] > 0.2)})


def read_refinement(path: str, recipe: _Recipe) -> Refinement:
    """Read the state after the iteration that an optimiser file describes; the particles are those of the job.

    Raises
    ------
    CryosnakeError
        when the file is not an optimiser of a half-set refinement, or one of its files is missing or does not fit
    """
    general, particles = tables.read_optimiser(path), recipe.particles
    if "rlnModelStarFile2" not in general:
        raise CryosnakeError(f"{path} has no second half-set model: it is from the last iteration or another job type. "
                             " Continue from run_itNNN_optimiser.star.")
    models = [read_star(general[label]) for label in ("rlnModelStarFile", "rlnModelStarFile2")]
    assignments, half = tables.read_assignments(str(general["rlnExperimentalDataStarFile"]), particles)
    pixel, box = particles.pixel_size, particles.box
    searched = read_star(general["rlnOrientSamplingStarFile"])["sampling_general"].iloc[0]
    known, curve = models[0]["model_general"].iloc[0], models[0]["model_class_1"]
    sampling = Sampling(int(searched["rlnHealpixOrder"]), float(searched["rlnOffsetRange"]) / pixel,
                        float(searched["rlnOffsetStep"]) / pixel, float(known["rlnSigmaPriorRotAngle"]))
    fsc, ssnr = curve["rlnGoldStandardFsc"].to_numpy(float), curve["rlnSsnrMap"].to_numpy(float)
    tables.require_box(path, 2 * len(fsc) - 2, particles)
    return Refinement(
        iteration=int(general["rlnCurrentIteration"]), half=half, assignments=assignments,
        statistics=[_read_statistics(result, recipe, sampling) for result in models],
        volumes=[read_mrc(str(result["model_classes"]["rlnReferenceImage"].iloc[0]))[0] for result in models],
        sampling=sampling, convergence=_read_convergence(general, particles.length),
        size=next_size(fsc, ssnr, int(known["rlnCurrentImageSize"]), box), fsc=fsc, ssnr=ssnr,
        weight=[np.zeros(1), np.zeros(1)],
        accuracy=(float(general["rlnOverallAccuracyRotations"]),
                  float(general["rlnOverallAccuracyTranslationsAngst"]) / pixel),
        change=(float(general["rlnChangesOptimalOrientations"]), float(general["rlnChangesOptimalOffsets"]) / pixel,
                0.0))


def _read_convergence(general: pd.Series, length: float) -> Convergence:
    return Convergence(best_shell=round(float(general["rlnBestResolutionThusFar"]) * length),
                       without_gain=int(general["rlnNumberOfIterWithoutResolutionGain"]),
                       without_change=int(general["rlnNumberOfIterWithoutChangingAssignments"]),
                       smallest_rotation=float(general["rlnSmallestChangesOrientations"]),
                       smallest_offset=float(general["rlnSmallestChangesOffsets"]))


def _read_statistics(result: dict[str, pd.DataFrame], recipe: _Recipe, sampling: Sampling) -> Statistics:
    direction = result[_MODEL_DIRECTIONS]["rlnOrientationDistribution"].to_numpy(float)
    return tables.read_statistics(result, recipe.particles, direction if sampling.sigma == 0 else np.ones(1))
