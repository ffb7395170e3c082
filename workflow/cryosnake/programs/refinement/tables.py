"""Tables that the STAR files of Class2D and Refine3D share.

RELION's σ² and τ² are those of one component of a Fourier pixel: half of the powers E|n|² and E|V|² used here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from cryosnake.errors import CryosnakeError
from cryosnake.io.star import read_table
from cryosnake.numerics.euler import euler_to_matrix, matrix_to_euler
from cryosnake.programs.refinement.particles import Particles, with_columns
from cryosnake.programs.refinement.state import Assignments

_MOST_SSNR = 999.0


def data_tables(particles: Particles, state: Assignments, half: np.ndarray | None) -> dict[str, pd.DataFrame]:
    """Return optics and particles: all input columns, with what the refinement found out."""
    rot, tilt, psi = matrix_to_euler(state.pose)
    values: dict[str, Any] = {
        "rlnGroupNumber": particles.group + 1, "rlnAngleRot": rot, "rlnAngleTilt": tilt, "rlnAnglePsi": psi,
        "rlnOriginXAngst": state.offset[:, 0] * particles.pixel_size,
        "rlnOriginYAngst": state.offset[:, 1] * particles.pixel_size, "rlnClassNumber": state.class_index + 1,
        "rlnNormCorrection": state.norm}
    if half is not None:
        values["rlnRandomSubset"] = half
    values |= {"rlnLogLikeliContribution": state.log_likelihood, "rlnMaxValueProbDistribution": state.top_weight,
               "rlnNrOfSignificantSamples": state.significant}
    return with_columns(particles, values)


def read_assignments(path: str, particles: Particles) -> tuple[Assignments, np.ndarray]:
    """Return assignments and half sets (0 without) of a data file, in the order of `particles`.

    Raises
    ------
    CryosnakeError
        when a particle of the job is not in the file
    """
    table = read_table(path, "particles", ("rlnImageName", "rlnAngleRot", "rlnNormCorrection"))
    table = table.set_index("rlnImageName")
    names = particles.table["rlnImageName"]
    if not names.isin(table.index).all():
        raise CryosnakeError(f"{path} lacks {(~names.isin(table.index)).sum()} of the particles of {particles.path}. "
                             "Continue with the particles that the job began with.")
    rows = table.loc[names]

    def column(label: str) -> np.ndarray:
        return rows[label].to_numpy(np.float64) if label in rows else np.zeros(len(rows))

    state = Assignments(
        euler_to_matrix(column("rlnAngleRot"), column("rlnAngleTilt"), column("rlnAnglePsi")),
        np.stack([column("rlnOriginXAngst"), column("rlnOriginYAngst")], -1) / particles.pixel_size,
        np.maximum(column("rlnClassNumber").astype(np.int64) - 1, 0), column("rlnNormCorrection"),
        column("rlnMaxValueProbDistribution"), column("rlnLogLikeliContribution"),
        column("rlnNrOfSignificantSamples").astype(np.int64))
    return state, column("rlnRandomSubset").astype(np.int64)


def spectral_columns(particles: Particles) -> dict[str, np.ndarray]:
    """Return index, resolution in 1/Å and Å of the shells 0 … box / 2."""
    shells = np.arange(particles.box // 2 + 1)
    length = particles.box * particles.pixel_size
    return {"rlnSpectralIndex": shells, "rlnResolution": shells / length,
            "rlnAngstromResolution": np.where(shells > 0, length / np.maximum(shells, 1), 999.0)}


def class_table(particles: Particles, ssnr: np.ndarray, fsc: np.ndarray, weight: np.ndarray, dimensions: int = 3,
                ) -> pd.DataFrame:
    """Return model_class_N of a reference whose mean Fourier weights (shells,) are those of a 2-fold padded grid."""
    shells = particles.box // 2 + 1
    full = np.zeros(shells)
    count = min(len(weight), shells)
    full[:count] = weight[:count] * 2**dimensions
    sigma2 = np.divide(0.5, full, out=np.zeros(shells), where=full > 0)
    shown = np.minimum(ssnr, _MOST_SSNR)
    return pd.DataFrame({
        **spectral_columns(particles), "rlnSsnrMap": shown, "rlnGoldStandardFsc": fsc,
        "rlnFourierCompleteness": (full > 0).astype(float), "rlnReferenceSigma2": sigma2,
        "rlnReferenceTau2": shown * sigma2, "rlnSpectralOrientabilityContribution": np.zeros(shells)})


def group_table(particles: Particles, rows: np.ndarray, scale: np.ndarray) -> pd.DataFrame:
    """Return model_groups: the micrographs, how many of the chosen particles each has, and its intensity."""
    number = len(particles.group_names)
    return pd.DataFrame({
        "rlnGroupNumber": np.arange(1, number + 1), "rlnGroupName": particles.group_names,
        "rlnGroupNrParticles": np.bincount(particles.group[rows], minlength=number), "rlnGroupScaleCorrection": scale})


def noise_tables(particles: Particles, noise: np.ndarray, rows: np.ndarray) -> dict[str, pd.DataFrame]:
    """Return the noise spectra: by optics group (RELION 4 and 5), and by micrograph as RELION 3.1 reads them."""
    tables = {f"model_optics_group_{number}": _spectrum(particles, spectrum)
              for number, spectrum in enumerate(noise, 1)}
    for index in range(len(particles.group_names)):
        members = particles.optics[(particles.group == index) & rows] if rows.any() else particles.optics[:0]
        optics = members[0] if len(members) else particles.optics[particles.group == index][0]
        tables[f"model_group_{index + 1}"] = _spectrum(particles, noise[optics])
    return tables


def _spectrum(particles: Particles, noise: np.ndarray) -> pd.DataFrame:
    columns = spectral_columns(particles)
    return pd.DataFrame({"rlnSpectralIndex": columns["rlnSpectralIndex"], "rlnResolution": columns["rlnResolution"],
                         "rlnSigma2Noise": 0.5 * noise})


def read_noise(tables: dict[str, pd.DataFrame], particles: Particles) -> np.ndarray:
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


def optimiser_list(*, root: str, models: list[str], data: str, sampling: str, iteration: int, iterations: int,
                   halves: bool, seed: int, diameter: float, zero_mask: bool, solvent_mask: str | None, auto: bool,
                   use_ctf: bool, intact: bool, changed: dict[str, Any]) -> dict[str, Any]:
    """Return optimiser_general with all that RELION 3.1 expects there; `changed` replaces or adds values."""
    files: dict[str, Any] = {"rlnOutputRootName": root, "rlnModelStarFile": models[0]}
    if len(models) > 1:
        files["rlnModelStarFile2"] = models[1]
    values: dict[str, Any] = {
        **files, "rlnExperimentalDataStarFile": data, "rlnOrientSamplingStarFile": sampling,
        "rlnCurrentIteration": iteration, "rlnNumberOfIterations": iterations, "rlnDoSplitRandomHalves": int(halves),
        "rlnJoinHalvesUntilThisResolution": 40.0 if auto else -1.0, "rlnAdaptiveOversampleOrder": 1,
        "rlnAdaptiveOversampleFraction": 0.999, "rlnRandomSeed": seed, "rlnParticleDiameter": diameter,
        "rlnWidthMaskEdge": 5, "rlnDoZeroMask": int(zero_mask), "rlnDoSolventFlattening": 1,
        "rlnDoSolventFscCorrection": 0, "rlnSolventMaskName": solvent_mask or "None", "rlnSolventMask2Name": "None",
        "rlnBodyStarFile": "None", "rlnTauSpectrumName": "None", "rlnMaximumCoarseImageSize": -1,
        "rlnHighresLimitExpectation": -1.0, "rlnLowresLimitExpectation": -1.0, "rlnIncrementImageSize": 10,
        "rlnDoMapEstimation": 1, "rlnDoFastSubsetOptimisation": 0, "rlnDoExternalReconstruct": 0,
        "rlnDoStochasticGradientDescent": 0, "rlnDoStochasticEM": 0, "rlnSgdInitialIterations": 50,
        "rlnSgdFinalIterations": 50, "rlnSgdInBetweenIterations": 200, "rlnSgdInitialResolution": 35.0,
        "rlnSgdFinalResolution": 15.0, "rlnSgdInitialSubsetSize": 100, "rlnSgdFinalSubsetSize": 500,
        "rlnSgdMuFactor": 0.0, "rlnSgdSigma2FudgeInitial": 8.0, "rlnSgdSigma2FudgeHalflife": -1, "rlnSgdSkipAnneal": 0,
        "rlnSgdSubsetSize": -1, "rlnSgdWriteEverySubset": 1, "rlnSgdStepsize": 0.5, "rlnDoAutoRefine": int(auto),
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
        "rlnDoCorrectScale": 1, "rlnDoCorrectCtf": int(use_ctf), "rlnDoIgnoreCtfUntilFirstPeak": int(intact),
        "rlnCtfDataArePhaseFlipped": 0, "rlnDoOnlyFlipCtfPhases": 0, "rlnRefsAreCtfCorrected": 1,
        "rlnFixSigmaNoiseEstimates": 0, "rlnFixSigmaOffsetEstimates": 0, "rlnMaxNumberOfPooledParticles": 30}
    unknown = set(changed) - set(values)
    assert not unknown, unknown
    return values | changed
