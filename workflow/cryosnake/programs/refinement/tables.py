"""Tables that the STAR files of refinements and classifications share.

RELION's σ² and τ² are those of one component of a Fourier pixel: half of the powers E|n|² and E|V|² used here.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pandas as pd

from cryosnake.errors import CryosnakeError
from cryosnake.io.star import read_star, read_table
from cryosnake.numerics import healpix
from cryosnake.numerics.euler import euler_to_matrix, matrix_to_euler
from cryosnake.programs.refinement.particles import ParticleSet
from cryosnake.programs.refinement.recipe import Recipe
from cryosnake.programs.refinement.state import Assignments, Statistics

_MOST_SSNR = 999.0


def data(particles: ParticleSet, found: Assignments, half: np.ndarray | None = None) -> dict[str, pd.DataFrame]:
    """Return optics and particles: all input columns, with the results of the refinement."""
    rot, tilt, psi = matrix_to_euler(found.pose)
    origins = particles.origins_of(found.offset)
    values: dict[str, Any] = {
        "rlnGroupNumber": particles.group + 1, "rlnAngleRot": rot, "rlnAngleTilt": tilt, "rlnAnglePsi": psi,
        "rlnOriginXAngst": origins[:, 0], "rlnOriginYAngst": origins[:, 1], "rlnClassNumber": found.class_index + 1,
        "rlnNormCorrection": found.norm}
    if half is not None:
        values["rlnRandomSubset"] = half
    values |= {"rlnLogLikeliContribution": found.log_likelihood, "rlnMaxValueProbDistribution": found.top_weight,
               "rlnNrOfSignificantSamples": found.significant}
    return {"optics": particles.tables["optics"], "particles": particles.table.assign(**values)}


def read_assignments(path: str, particles: ParticleSet) -> tuple[Assignments, np.ndarray]:
    """Return assignments and half sets (0 without) of a data file, in the order of `particles`.

    Raises
    ------
    CryosnakeError
        when a particle of the job is not in the file
    """
    table = read_table(path, "particles", ("rlnImageName", "rlnAngleRot", "rlnNormCorrection"))
    place = _numbered(table["rlnImageName"]).get_indexer(_numbered(particles.table["rlnImageName"]))
    if (place < 0).any():
        raise CryosnakeError(f"{path} lacks {(place < 0).sum()} of the particles of {particles.path}. "
                             "Continue with the particles that the job started with.")
    rows = table.iloc[place]

    def column(label: str) -> np.ndarray:
        return rows[label].to_numpy(np.float64) if label in rows else np.zeros(len(rows))

    assignments = Assignments(
        pose=euler_to_matrix(column("rlnAngleRot"), column("rlnAngleTilt"), column("rlnAnglePsi")),
        offset=particles.offsets_of(np.stack([column("rlnOriginXAngst"), column("rlnOriginYAngst")], -1)),
        class_index=np.maximum(column("rlnClassNumber").astype(np.int64) - 1, 0), norm=column("rlnNormCorrection"),
        top_weight=column("rlnMaxValueProbDistribution"), log_likelihood=column("rlnLogLikeliContribution"),
        significant=column("rlnNrOfSignificantSamples").astype(np.int64))
    return assignments, column("rlnRandomSubset").astype(np.int64)


def _numbered(names: pd.Series) -> pd.MultiIndex:
    """Return image names with the number of each copy of an image, in their order."""
    return pd.MultiIndex.from_arrays([names.astype(str), names.groupby(names).cumcount()])


def spectral_columns(particles: ParticleSet) -> dict[str, np.ndarray]:
    """Return index, resolution in 1/Å and Å of the shells 0 … box / 2."""
    shells, length = np.arange(particles.shells), particles.length
    return {"rlnSpectralIndex": shells, "rlnResolution": shells / length,
            "rlnAngstromResolution": np.where(shells > 0, length / np.maximum(shells, 1), 999.0)}


def general(particles: ParticleSet, statistics: Statistics, assignments: Assignments, sigma: float,
                  known: dict[str, Any]) -> dict[str, Any]:
    """Return model_general; `known` replaces values, and `sigma` is that of local searches, degrees."""
    values = {
        "rlnReferenceDimensionality": 3, "rlnDataDimensionality": 2, "rlnOriginalImageSize": particles.box,
        "rlnCurrentResolution": 999.0, "rlnCurrentImageSize": particles.box, "rlnPaddingFactor": 2.0, "rlnIsHelix": 0,
        "rlnFourierSpaceInterpolator": 1, "rlnMinRadiusNnInterpolation": 10, "rlnPixelSize": particles.pixel_size,
        "rlnNrClasses": 1, "rlnNrBodies": 1, "rlnNrGroups": len(particles.group_names),
        "rlnNrOpticsGroups": len(statistics.noise), "rlnTau2FudgeFactor": 1.0,
        "rlnNormCorrectionAverage": statistics.norm_average,
        "rlnSigmaOffsetsAngst": statistics.offset_sigma * particles.pixel_size,
        "rlnOrientationalPriorMode": int(sigma > 0), "rlnSigmaPriorRotAngle": sigma, "rlnSigmaPriorTiltAngle": sigma,
        "rlnSigmaPriorPsiAngle": sigma, "rlnLogLikelihood": float(assignments.log_likelihood.sum()),
        "rlnAveragePmax": float(assignments.top_weight.mean())}
    return _replaced(values, known)


def classes(images: list[str], share: np.ndarray, resolution: np.ndarray, accuracy: np.ndarray | None = None,
                  ) -> pd.DataFrame:
    """Return model_classes; resolutions (classes,) in Å, accuracies (classes, 2) in degrees and Å, 999 if unknown."""
    accuracy = np.full((len(images), 2), 999.0) if accuracy is None else accuracy
    return pd.DataFrame({
        "rlnReferenceImage": images, "rlnClassDistribution": share, "rlnAccuracyRotations": accuracy[:, 0],
        "rlnAccuracyTranslationsAngst": accuracy[:, 1], "rlnEstimatedResolution": resolution,
        "rlnOverallFourierCompleteness": np.ones(len(images))})


def of_class(particles: ParticleSet, ssnr: np.ndarray, fsc: np.ndarray, weight: np.ndarray, dimensions: int = 3,
                ) -> pd.DataFrame:
    """Return model_class_N of a reference whose mean Fourier weights (shells,) are those of a 2-fold padded grid."""
    shells = particles.shells
    full = np.zeros(shells)
    count = min(len(weight), shells)
    full[:count] = weight[:count] * 2**dimensions
    sigma2 = np.divide(0.5, full, out=np.zeros(shells), where=full > 0)
    shown = np.minimum(ssnr, _MOST_SSNR)
    return pd.DataFrame({
        **spectral_columns(particles), "rlnSsnrMap": shown, "rlnGoldStandardFsc": fsc,
        "rlnFourierCompleteness": (full > 0).astype(float), "rlnReferenceSigma2": sigma2,
        "rlnReferenceTau2": shown * sigma2, "rlnSpectralOrientabilityContribution": np.zeros(shells)})


def groups_and_noise(particles: ParticleSet, statistics: Statistics, rows: np.ndarray) -> dict[str, pd.DataFrame]:
    """Return model_groups and the noise spectra, of the chosen particles `rows` (n,) bool.

    A group is a micrograph: how many of the particles it has, and its intensity. Spectra are by optics group (RELION 4
    and 5), and by micrograph as RELION 3.1 reads them.
    """
    number = len(particles.group_names)
    found = {"model_groups": pd.DataFrame({
        "rlnGroupNumber": np.arange(1, number + 1), "rlnGroupName": particles.group_names,
        "rlnGroupNrParticles": np.bincount(particles.group[rows], minlength=number),
        "rlnGroupScaleCorrection": statistics.scale})}
    for index, spectrum in enumerate(statistics.noise, 1):
        found[f"model_optics_group_{index}"] = _spectrum(particles, spectrum)
    for index in range(number):
        members = particles.optics[(particles.group == index) & rows] if rows.any() else particles.optics[:0]
        optics = members[0] if len(members) else particles.optics[particles.group == index][0]
        found[f"model_group_{index + 1}"] = _spectrum(particles, statistics.noise[optics])
    return found


def _spectrum(particles: ParticleSet, noise: np.ndarray) -> pd.DataFrame:
    columns = spectral_columns(particles)
    return pd.DataFrame({"rlnSpectralIndex": columns["rlnSpectralIndex"], "rlnResolution": columns["rlnResolution"],
                         "rlnSigma2Noise": 0.5 * noise})


def read_noise(tables: dict[str, pd.DataFrame], particles: ParticleSet) -> np.ndarray:
    """Return the noise spectra (optics groups, shells) of a model file; RELION 3.1's are those of a micrograph each."""
    spectra = []
    for index in range(len(particles.tables["optics"])):
        name = f"model_optics_group_{index + 1}"
        if name not in tables:
            members = particles.group[particles.optics == index]
            name = f"model_group_{(members[0] if len(members) else 0) + 1}"
        if name not in tables:
            raise CryosnakeError(f"the model file has no noise spectrum data_{name}; it belongs to other particles.")
        spectra.append(2.0 * tables[name]["rlnSigma2Noise"].to_numpy(np.float64))
    return np.stack(spectra)


def optimiser(recipe: Recipe[Any, Any, Any], stem: str, models: list[str], iteration: int, known: dict[str, Any],
                     ) -> dict[str, dict[str, Any]]:
    """Return the optimiser file's table, with all that RELION 3.1 expects there; `known` replaces values."""
    options, files = recipe.options, {"rlnOutputRootName": str(recipe.root), "rlnModelStarFile": models[0]}
    if len(models) > 1:
        files["rlnModelStarFile2"] = models[1]
    values: dict[str, Any] = {
        **files, "rlnExperimentalDataStarFile": f"{stem}_data.star",
        "rlnOrientSamplingStarFile": f"{stem}_sampling.star", "rlnCurrentIteration": iteration,
        "rlnNumberOfIterations": getattr(options, "iterations", 999), "rlnDoSplitRandomHalves": 0,
        "rlnJoinHalvesUntilThisResolution": -1.0, "rlnAdaptiveOversampleOrder": 1,
        "rlnAdaptiveOversampleFraction": 0.999, "rlnRandomSeed": options.seed,
        "rlnParticleDiameter": options.particle_diameter, "rlnWidthMaskEdge": 5,
        "rlnDoZeroMask": int(options.zero_mask), "rlnDoSolventFlattening": 1,
        "rlnDoSolventFscCorrection": 0, "rlnSolventMaskName": "None", "rlnSolventMask2Name": "None",
        "rlnBodyStarFile": "None", "rlnTauSpectrumName": "None", "rlnMaximumCoarseImageSize": -1,
        "rlnHighresLimitExpectation": getattr(options, "highres_limit", None) or -1.0,
        "rlnLowresLimitExpectation": -1.0, "rlnIncrementImageSize": 10,
        "rlnDoMapEstimation": 1, "rlnDoFastSubsetOptimisation": 0, "rlnDoExternalReconstruct": 0,
        "rlnDoStochasticGradientDescent": 0, "rlnDoStochasticEM": 0, "rlnSgdInitialIterations": 50,
        "rlnSgdFinalIterations": 50, "rlnSgdInBetweenIterations": 200, "rlnSgdInitialResolution": 35.0,
        "rlnSgdFinalResolution": 15.0, "rlnSgdInitialSubsetSize": 100, "rlnSgdFinalSubsetSize": 500,
        "rlnSgdMuFactor": 0.0, "rlnSgdSigma2FudgeInitial": 8.0, "rlnSgdSigma2FudgeHalflife": -1, "rlnSgdSkipAnneal": 0,
        "rlnSgdSubsetSize": -1, "rlnSgdWriteEverySubset": 1, "rlnSgdStepsize": 0.5, "rlnDoAutoRefine": 0,
        "rlnAutoLocalSearchesHealpixOrder": 4, "rlnNumberOfIterWithoutResolutionGain": 0,
        "rlnBestResolutionThusFar": 0.0, "rlnNumberOfIterWithoutChangingAssignments": 0, "rlnDoSkipAlign": 0,
        "rlnDoSkipRotate": 0, "rlnOverallAccuracyRotations": 999.0, "rlnOverallAccuracyTranslationsAngst": 999.0,
        "rlnChangesOptimalOrientations": 999.0, "rlnChangesOptimalOffsets": 999.0, "rlnChangesOptimalClasses": 0.0,
        "rlnSmallestChangesOrientations": 999.0, "rlnSmallestChangesOffsets": 999.0, "rlnSmallestChangesClasses": 0,
        "rlnLocalSymmetryFile": "None", "rlnDoHelicalRefine": 0, "rlnIgnoreHelicalSymmetry": 0,
        "rlnFourierMask": "None", "rlnHelicalTwistInitial": 0.0, "rlnHelicalRiseInitial": 0.0,
        "rlnHelicalCentralProportion": 0.3, "rlnHelicalMaskTubeInnerDiameter": -1.0,
        "rlnHelicalMaskTubeOuterDiameter": -1.0, "rlnHelicalSymmetryLocalRefinement": 0,
        "rlnHelicalSigmaDistance": -1.0, "rlnHelicalKeepTiltPriorFixed": 0, "rlnHasConverged": 0,
        "rlnHasHighFscAtResolLimit": 0, "rlnHasLargeSizeIncreaseIterationsAgo": 0, "rlnDoCorrectNorm": 1,
        "rlnDoCorrectScale": 1, "rlnDoCorrectCtf": int(options.ctf),
        "rlnDoIgnoreCtfUntilFirstPeak": int(options.ctf_intact_first_peak),
        "rlnCtfDataArePhaseFlipped": 0, "rlnDoOnlyFlipCtfPhases": 0, "rlnRefsAreCtfCorrected": 1,
        "rlnFixSigmaNoiseEstimates": 0, "rlnFixSigmaOffsetEstimates": 0, "rlnMaxNumberOfPooledParticles": 30}
    return {"optimiser_general": _replaced(values, known)}


def _replaced(values: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
    assert not set(known) - set(values), known
    return values | known


def sampling(recipe: Recipe[Any, Any, Any], order: int, pixels: np.ndarray, shifts: tuple[float, float],
                    known: dict[str, Any]) -> dict[str, Any]:
    """Return the sampling file's tables in 3D.

    Parameters
    ----------
    order : int
        HEALPix order, without oversampling.
    pixels : (n,) int64
        The directions that are listed.
    shifts : (float, float)
        Range and step, without oversampling, Å.
    known : dict
        Replaces values.
    """
    step, (reach, offset) = healpix.angular_step(order), shifts
    general = {
        "rlnIs3DSampling": 1, "rlnIs3DTranslationalSampling": 0, "rlnHealpixOrder": order,
        "rlnSymmetryGroup": recipe.options.symmetry.upper(), "rlnTiltAngleLimit": -91.0, "rlnPsiStep": step,
        "rlnOffsetRange": reach, "rlnOffsetStep": offset, "rlnHelicalOffsetStep": -1.0,
        "rlnSamplingPerturbInstance": 0.0, "rlnSamplingPerturbFactor": 0.5, "rlnHealpixOrderOriginal": order,
        "rlnPsiStepOriginal": step, "rlnOffsetRangeOriginal": reach, "rlnOffsetStepOriginal": offset}
    rot, tilt = healpix.pixel_angles(order, pixels)
    return {"sampling_general": _replaced(general, known),
            "sampling_directions": pd.DataFrame({"rlnAngleRot": rot, "rlnAngleTilt": tilt})}


def read_optimiser(path: str | os.PathLike[str]) -> pd.Series:
    """Return the row of an optimiser file.

    Raises
    ------
    CryosnakeError
        when it is not an optimiser file
    """
    tables = read_star(path)
    if "optimiser_general" not in tables:
        raise CryosnakeError(f"{path} is not an optimiser file. Continue from run_itNNN_optimiser.star of the same "
                             "job.")
    return tables["optimiser_general"].iloc[0]


def read_statistics(tables: dict[str, pd.DataFrame], particles: ParticleSet, direction: np.ndarray) -> Statistics:
    """Return the statistics of a model file; `direction` is that of the classes or orientations, of any sum."""
    general = tables["model_general"].iloc[0]
    return Statistics(noise=read_noise(tables, particles),
                      scale=tables["model_groups"]["rlnGroupScaleCorrection"].to_numpy(float),
                      norm_average=float(general["rlnNormCorrectionAverage"]),
                      offset_sigma=float(general["rlnSigmaOffsetsAngst"]) / particles.pixel_size,
                      direction=direction / direction.sum())


def require_classes(path: str, found: int, recipe: Recipe[Any, Any, Any]) -> None:
    """Raise CryosnakeError unless an optimiser file has as many classes as the job asks for."""
    if found != recipe.options.classes:
        raise CryosnakeError(f"{path} has {found} classes, the job asks for {recipe.options.classes}; set classes: "
                             f"{found} or start a new job.")


def require_box(path: str, box: int, particles: ParticleSet) -> None:
    """Raise CryosnakeError unless an optimiser file belongs to images of the particles' size."""
    if box != particles.box:
        raise CryosnakeError(f"{path} belongs to images of {box} pixels, the particles have {particles.box}. Continue "
                             "with the particles that the job started with.")
