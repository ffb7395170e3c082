"""The files of InitialModel, with RELION's names, tables and units."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from cryosnake.atomic import write_text
from cryosnake.io.mrc import write_mrc
from cryosnake.io.star import write_star
from cryosnake.jobs.options import InitialModelOptions
from cryosnake.numerics.fsc import last_shell_above
from cryosnake.numerics.map_resample import resample_map
from cryosnake.numerics.refine.grids.grids import sphere_grid
from cryosnake.numerics.refine.sums.reconstruction import mean_weight
from cryosnake.programs.initialmodel.model import InitialMaps
from cryosnake.programs.initialmodel.verdict import Verdict
from cryosnake.programs.refinement import tables
from cryosnake.programs.refinement.particles import ParticleSet
from cryosnake.programs.refinement.recipe import Recipe
from cryosnake.programs.refinement.state import Assignments

_Recipe = Recipe[InitialModelOptions, Any, Any]
_ORDER = 2  # HEALPix order that is written: that of the last search, before oversampling


def write_maps(recipe: _Recipe, model: InitialMaps, whole: ParticleSet) -> list[str]:
    """Write `<root>_itNNN_classKKK.mrc` with the whole images' box and pixel size; return their names."""
    names = [f"{recipe.root}_it{model.iteration:03d}_class{number:03d}.mrc" for number in range(
        1, len(model.volumes) + 1)]
    for name, volume in zip(names, model.volumes, strict=True):
        write_mrc(name, _at_full_size(volume, whole), whole.pixel_size)
    return names


def _at_full_size(volume: np.ndarray, whole: ParticleSet) -> np.ndarray:
    """Return the map with the whole images' box, on their grey scale: RELION's goes with 1 / box²."""
    return resample_map(volume, whole.box) * np.float32(len(volume) / whole.box)


def write_final(recipe: _Recipe, model: InitialMaps, whole: ParticleSet, verdict: Verdict) -> None:
    """Write the last `<root>_itNNN_…`, convergence.json and initial_model.mrc."""
    stem, options = f"{recipe.root}_it{model.iteration:03d}", recipe.options
    found = model.assignments
    found = replace(found, offset=found.offset * (recipe.particles.pixel_size / whole.pixel_size))
    maps = write_maps(recipe, model, whole)
    write_star(f"{stem}_data.star", tables.data(whole, found))
    write_star(f"{stem}_model.star", _model_tables(recipe, model, whole, found, maps))
    write_star(f"{stem}_sampling.star", tables.sampling(
        recipe, _ORDER, sphere_grid(_ORDER, options.symmetry).pixels, (options.offset_range, 3.0), {}))
    write_star(f"{stem}_optimiser.star", tables.optimiser(recipe, stem, [f"{stem}_model.star"], model.iteration, {
        "rlnSgdInitialResolution": options.initial_resolution, "rlnSgdFinalResolution": options.final_resolution,
        "rlnSgdInitialSubsetSize": options.initial_batch, "rlnSgdFinalSubsetSize": options.final_batch,
        "rlnBestResolutionThusFar": 1.0 / verdict.resolution, "rlnHasConverged": int(not verdict.doubts)}))
    write_text(recipe.root.parent / "convergence.json", json.dumps(verdict.as_dict(), indent=1) + "\n")
    largest = int(np.bincount(found.class_index, minlength=options.classes).argmax())
    write_mrc(recipe.root.parent / "initial_model.mrc", _at_full_size(model.volumes[largest], whole), whole.pixel_size)


def _model_tables(recipe: _Recipe, model: InitialMaps, whole: ParticleSet, found: Assignments,
                  maps: list[str]) -> dict[str, Any]:
    statistics, count = model.statistics, recipe.options.classes
    ssnr = np.zeros((count, whole.shells))
    ssnr[:, : model.ssnr.shape[1]] = model.ssnr
    resolution = np.array([whole.length / max(last_shell_above(curve, 1.0), 1) for curve in ssnr])
    share = np.bincount(found.class_index, minlength=count) / len(found.class_index)
    result: dict[str, Any] = {
        "model_general": tables.general(whole, statistics, found, 0.0, {
            "rlnCurrentResolution": float(resolution.min()), "rlnCurrentImageSize": 2 * model.radius,
            "rlnNrClasses": count, "rlnNormCorrectionAverage": 1.0,
            "rlnSigmaOffsetsAngst": statistics.offset_sigma * recipe.particles.pixel_size}),
        "model_classes": tables.classes(maps, share, resolution)}
    for k in range(count):
        weight = mean_weight(model.sums[:, k].sum(0), model.radius)
        result[f"model_class_{k + 1}"] = tables.of_class(whole, ssnr[k], ssnr[k] / (ssnr[k] + 2.0), weight)
    noise = statistics.noise[:, : recipe.particles.box // 2]  # the last power is repeated to the Nyquist frequency
    noise = np.pad(noise, ((0, 0), (0, whole.shells - noise.shape[1])), mode="edge")
    result |= tables.groups_and_noise(whole, replace(statistics, noise=noise), np.ones(len(whole), bool))
    directions = len(sphere_grid(_ORDER, recipe.options.symmetry).pixels)
    for k in range(count):
        result[f"model_pdf_orient_class_{k + 1}"] = pd.DataFrame({
            "rlnOrientationDistribution": np.full(directions, share[k] / directions)})
    return result
