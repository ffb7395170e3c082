"""The files of InitialModel, with RELION's names, tables and units."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cryosnake.atomic import write_text
from cryosnake.io.mrc import write_mrc
from cryosnake.io.star import write_star
from cryosnake.numerics import healpix
from cryosnake.numerics.map_resample import resample_map
from cryosnake.numerics.refine.grids.grids import sphere_grid
from cryosnake.numerics.refine.sums.maximisation import last_shell_above
from cryosnake.numerics.refine.sums.reconstruction import mean_weight
from cryosnake.programs.initialmodel.model import Model, Settings
from cryosnake.programs.initialmodel.verdict import Verdict
from cryosnake.programs.refinement.particles import Particles
from cryosnake.programs.refinement.state import Assignments
from cryosnake.programs.refinement.tables import class_table, data_tables, group_table, noise_tables, optimiser_list

_ORDER = 2  # HEALPix order that is written: that of the last search, before oversampling


def write_maps(particles: Particles, small: Particles, volumes: np.ndarray, root: Path, iteration: int,
               ) -> list[str]:
    """Write `<root>_itNNN_classKKK.mrc` with the particles' box and pixel size; return their names."""
    names = []
    for number, volume in enumerate(volumes, 1):
        names.append(f"{root}_it{iteration:03d}_class{number:03d}.mrc")
        write_mrc(names[-1], _at_full_size(volume, small, particles), particles.pixel_size)
    return names


def _at_full_size(volume: np.ndarray, small: Particles, particles: Particles) -> np.ndarray:
    """Return the map with the whole images' box, on their grey scale: RELION's goes with 1 / box²."""
    return resample_map(volume, particles.box) * np.float32(small.box / particles.box)


def write_final(particles: Particles, small: Particles, model: Model, settings: Settings, root: Path, options: Any,
                verdict: Verdict) -> None:
    """Write the last `<root>_itNNN_…`, convergence.json and initial_model.mrc."""
    name = f"{root}_it{options.iterations:03d}"
    state = replace(model.state, offset=model.state.offset * (small.pixel_size / particles.pixel_size))
    maps = write_maps(particles, small, model.volumes, root, options.iterations)
    write_star(f"{name}_data.star", data_tables(particles, state, None))
    write_star(f"{name}_model.star", _model_tables(particles, small, model, settings, state, maps))
    write_star(f"{name}_sampling.star", _sampling_tables(settings))
    write_star(f"{name}_optimiser.star", {"optimiser_general": optimiser_list(
        root=str(root), models=[f"{name}_model.star"], data=f"{name}_data.star", sampling=f"{name}_sampling.star",
        iteration=options.iterations, iterations=options.iterations, halves=False, seed=settings.seed,
        diameter=settings.diameter, zero_mask=settings.zero_mask, solvent_mask=None, auto=False,
        use_ctf=settings.use_ctf, intact=settings.intact_first_peak, changed={
            "rlnSgdInitialResolution": options.initial_resolution, "rlnSgdFinalResolution": options.final_resolution,
            "rlnSgdInitialSubsetSize": options.initial_batch, "rlnSgdFinalSubsetSize": options.final_batch,
            "rlnBestResolutionThusFar": 1.0 / verdict.resolution, "rlnHasConverged": int(not verdict.doubts)})})
    write_text(root.parent / "convergence.json", json.dumps(verdict.as_dict(), indent=1) + "\n")
    largest = int(np.bincount(state.class_index, minlength=settings.classes).argmax())
    write_mrc(root.parent / "initial_model.mrc", _at_full_size(model.volumes[largest], small, particles),
              particles.pixel_size)


def _model_tables(particles: Particles, small: Particles, model: Model, settings: Settings, state: Assignments,
                  maps: list[str]) -> dict[str, Any]:
    length, count = particles.box * particles.pixel_size, settings.classes
    ssnr = np.zeros((count, particles.box // 2 + 1))
    ssnr[:, : model.ssnr.shape[1]] = model.ssnr
    resolution = np.array([length / max(last_shell_above(curve, 1.0), 1) for curve in ssnr])
    general = {
        "rlnReferenceDimensionality": 3, "rlnDataDimensionality": 2, "rlnOriginalImageSize": particles.box,
        "rlnCurrentResolution": float(resolution.min()), "rlnCurrentImageSize": 2 * model.radius,
        "rlnPaddingFactor": 2.0, "rlnIsHelix": 0, "rlnFourierSpaceInterpolator": 1, "rlnMinRadiusNnInterpolation": 10,
        "rlnPixelSize": particles.pixel_size, "rlnNrClasses": count, "rlnNrBodies": 1,
        "rlnNrGroups": len(particles.group_names), "rlnNrOpticsGroups": len(model.statistics.noise),
        "rlnTau2FudgeFactor": 1.0, "rlnNormCorrectionAverage": 1.0,
        "rlnSigmaOffsetsAngst": model.statistics.offset_sigma * small.pixel_size, "rlnOrientationalPriorMode": 0,
        "rlnSigmaPriorRotAngle": 0.0, "rlnSigmaPriorTiltAngle": 0.0, "rlnSigmaPriorPsiAngle": 0.0,
        "rlnLogLikelihood": float(state.log_likelihood.sum()), "rlnAveragePmax": float(state.top_weight.mean())}
    share = np.bincount(state.class_index, minlength=count) / len(state.class_index)
    classes = pd.DataFrame({
        "rlnReferenceImage": maps, "rlnClassDistribution": share, "rlnAccuracyRotations": np.full(count, 999.0),
        "rlnAccuracyTranslationsAngst": np.full(count, 999.0), "rlnEstimatedResolution": resolution,
        "rlnOverallFourierCompleteness": np.ones(count)})
    tables: dict[str, Any] = {"model_general": general, "model_classes": classes}
    everyone = np.ones(len(particles), bool)
    for k in range(count):
        weight = mean_weight(model.sums[:, k].sum(0), model.radius)
        tables[f"model_class_{k + 1}"] = class_table(particles, ssnr[k], ssnr[k] / (ssnr[k] + 2.0), weight)
    tables["model_groups"] = group_table(particles, everyone, model.statistics.scale)
    tables |= noise_tables(particles, _full_noise(model, small, particles), everyone)
    directions = len(sphere_grid(_ORDER, settings.symmetry).pixels)
    for k in range(count):
        tables[f"model_pdf_orient_class_{k + 1}"] = pd.DataFrame({
            "rlnOrientationDistribution": np.full(directions, share[k] / directions)})
    return tables


def _full_noise(model: Model, small: Particles, particles: Particles) -> np.ndarray:
    """Return the noise spectra to the Nyquist frequency of the whole images: the last known power goes on."""
    known = model.statistics.noise[:, : small.box // 2]
    return np.pad(known, ((0, 0), (0, particles.box // 2 + 1 - known.shape[1])), mode="edge")


def _sampling_tables(settings: Settings) -> dict[str, Any]:
    step = healpix.angular_step(_ORDER)
    general = {
        "rlnIs3DSampling": 1, "rlnIs3DTranslationalSampling": 0, "rlnHealpixOrder": _ORDER,
        "rlnSymmetryGroup": settings.symmetry.upper(), "rlnTiltAngleLimit": -91.0, "rlnPsiStep": step,
        "rlnOffsetRange": settings.offset_range, "rlnOffsetStep": 3.0, "rlnHelicalOffsetStep": -1.0,
        "rlnSamplingPerturbInstance": 0.0, "rlnSamplingPerturbFactor": 0.5, "rlnHealpixOrderOriginal": _ORDER,
        "rlnPsiStepOriginal": step, "rlnOffsetRangeOriginal": settings.offset_range, "rlnOffsetStepOriginal": 3.0}
    rot, tilt = healpix.pixel_angles(_ORDER, sphere_grid(_ORDER, settings.symmetry).pixels)
    return {"sampling_general": general, "sampling_directions": pd.DataFrame({"rlnAngleRot": rot,
                                                                              "rlnAngleTilt": tilt})}
