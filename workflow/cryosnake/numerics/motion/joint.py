"""Local motion of all patches and frames at once: the most probable smooth model, given their correlations.

Every patch p and frame f has a correlation C_pf(s) with the sum of the patch's other frames. RELION takes the highest
point of each and fits its polynomial to these points; where a patch has little signal many points are noise. Here
the polynomial itself is optimised on Σ C_pf, so each patch counts by the sharpness of its peak (its curvature) and no
single peak has to be found. The whole-frame shift of each frame is refined together with it. A Gaussian prior with
the size of the local motion keeps the model near zero where the data do not determine it.

C / τ is treated as log-likelihood with τ = var(∇C) / curvature, which makes the variance of its slope equal to its
curvature, as it must be (the two forms of Fisher information).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cryosnake.numerics.backend import Array
from cryosnake.numerics.motion.correlation import (
    WeightedBand,
    band_of,
    highest_frequency,
    moments,
    narrow,
    shifted_sum,
)
from cryosnake.numerics.motion.local_model import local_shifts, spatial_terms, time_terms
from cryosnake.numerics.motion.patches import Patches

_COARSE = 4.0
_ROUNDS = 12
_CONVERGED = 0.01  # pixels
_LONGEST_STEP = 2.0  # pixels
_OUTLIER = 3.0  # standard deviations of a slope, beyond which a patch and frame count less


@dataclass(frozen=True, kw_only=True)
class LocalMotion:
    """Result of the joint fit.

    `coefficients` (2, 18) as in `local_model`; `corrections` (g, 2) to the shift of each frame group; `measured`
    (g, p, 2) local shifts of single patches; `trust` (g, p) their weight in the fit, 1 for those that agree;
    `variance` of the noise of one group's whole-frame shift, pixels² per axis.
    """

    coefficients: np.ndarray
    corrections: np.ndarray
    measured: np.ndarray
    trust: np.ndarray
    variance: float


def fit_local_motion(patches: Patches, times: np.ndarray, image: tuple[int, int], expected: float) -> LocalMotion:
    """Find the local motion.

    Parameters
    ----------
    patches
        Of the frames after whole-frame alignment.
    times
        Frame number of each group after the first frame of the sum (the mean over the group), (g,).
    image
        (ny, nx) of the movie.
    expected
        Prior standard deviation of the local motion, pixels.
    """
    n_groups, n_patches = len(times), len(patches.centres)
    basis, to_model = _basis(times, patches.centres, image)
    state = np.zeros((2, n_groups + basis.shape[1]))
    for factor in (_COARSE, 1.0):
        spectra, band = _narrowed(patches, factor)
        for _ in range(_ROUNDS):
            shifts = _shifts_of(state, basis, n_groups, n_patches)
            found = _all_moments(spectra, band, shifts)
            step, trust = _step(found, basis, state, expected)
            state = state + step
            if np.abs(_shifts_of(step, basis, n_groups, n_patches)).max() < _CONVERGED:
                break
    coefficients = to_model @ state[:, n_groups:].T
    model = local_shifts(_full(coefficients), times, patches.centres, image)
    return LocalMotion(coefficients=_full(coefficients), corrections=state[:, :n_groups].T,
                       measured=model + _single_steps(found), trust=trust, variance=_variance(found, trust))


def _narrowed(patches: Patches, factor: float) -> tuple[Array, WeightedBand]:
    if factor == 1.0:
        return patches.spectra, patches.band
    bfactor = factor * max(patches.bfactor, 1.0)
    reach = 2 * highest_frequency(bfactor)
    rows, columns = (min(size, int(np.ceil(reach * length / 2)) * 2 + 2)
                     for size, length in zip(patches.band.shape, patches.extent, strict=True))
    extent = (patches.extent[0], patches.extent[1])
    band = band_of((rows, columns), extent, bfactor, low=1.0 / max(extent), like=patches.spectra)
    return narrow(patches.spectra, patches.band, band), band


def _basis(times: np.ndarray, centres: np.ndarray, image: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the local terms, orthonormal with mean square 1 over patches and groups, and the inverse transform.

    The terms without x and y are left out: they belong to the whole frame.

    Returns
    -------
    tuple
        Basis (g · p, 15), and the matrix (15, 15) that converts its coefficients to those of the model.
    """
    terms = np.einsum("ft,ps->fpst", time_terms(times), spatial_terms(centres, image)[:, 1:])
    flat = terms.reshape(-1, 15)
    q, r = np.linalg.qr(flat / np.linalg.norm(flat, axis=0))
    size = np.sqrt(len(flat))
    return q * size, np.linalg.inv(r * np.linalg.norm(flat, axis=0)) * size


def _full(coefficients: np.ndarray) -> np.ndarray:
    """Return (2, 18) coefficients from (15, 2) without the terms of the whole frame."""
    return np.concatenate([np.zeros((2, 3)), coefficients.T], axis=1)


def _shifts_of(state: np.ndarray, basis: np.ndarray, n_groups: int, n_patches: int) -> np.ndarray:
    """Return the shifts (g, p, 2) of a state: whole-frame shifts and coefficients of the basis, for x and y."""
    whole = state[:, :n_groups].T[:, None]
    return whole + (basis @ state[:, n_groups:].T).reshape(n_groups, n_patches, 2)


def _all_moments(spectra: Array, band: WeightedBand, shifts: np.ndarray) -> np.ndarray:
    """Return the moments (g, p, 6) of every patch and group at its shift."""
    found = np.empty((*shifts.shape[:2], 6))
    for p, of_patch in enumerate(spectra):
        found[:, p] = moments(of_patch, shifted_sum(of_patch, shifts[:, p], band), shifts[:, p], band)
    return found


def _step(found: np.ndarray, basis: np.ndarray, state: np.ndarray, expected: float) -> tuple[np.ndarray, np.ndarray]:
    """Return one Gauss-Newton step of the state, and the trust (g, p)."""
    n_groups, n_patches = found.shape[:2]
    curvature = _patch_curvature(found)
    slope = found[..., 1:3]
    trust = _trust(slope, curvature)
    tau = _tau(slope, curvature, trust)
    design = np.concatenate([np.repeat(np.eye(n_groups), n_patches, axis=0), basis], axis=1)
    size = design.shape[1]
    matrix = np.empty((2, size, 2, size))
    for a in (0, 1):
        for b in (0, 1):
            matrix[a, :, b] = design.T @ (design * (trust * curvature[:, a, b]).reshape(-1, 1))
    right = design.T @ (trust[..., None] * slope).reshape(-1, 2)
    prior = np.zeros((2, size))
    prior[:, n_groups:] = tau / expected**2
    full = matrix.reshape(2 * size, 2 * size) + np.diag(prior.ravel())
    full += 1e-9 * np.trace(full) / len(full) * np.eye(len(full))  # all frames may move together
    step = np.linalg.solve(full, (right.T - prior * state).ravel()).reshape(2, size)
    longest = np.abs(_shifts_of(step, basis, n_groups, n_patches)).max()
    return step * min(1.0, _LONGEST_STEP / max(longest, 1e-12)), trust


def _tau(slope: np.ndarray, curvature: np.ndarray, trust: np.ndarray) -> float:
    """Return τ, the variance of the slopes / curvature: C / τ is a log-likelihood."""
    return float(np.sum(trust * np.sum(slope**2, axis=2)) / np.sum(trust * np.trace(curvature, axis1=1, axis2=2)))


def _variance(found: np.ndarray, trust: np.ndarray) -> float:
    """Return the variance of the shift of one group, all patches together, pixels² per axis."""
    curvature = _patch_curvature(found)
    total = np.einsum("gp,pab->ab", trust, curvature) / len(found)
    return float(np.trace(np.linalg.inv(total)) / 2 * _tau(found[..., 1:3], curvature, trust))


def _patch_curvature(found: np.ndarray) -> np.ndarray:
    """Return the curvature (p, 2, 2) of each patch's peak, mean over its frames, positive definite."""
    mean = -found[..., 3:].mean(axis=0)
    matrices = mean[:, [0, 1, 1, 2]].reshape(-1, 2, 2)
    values, vectors = np.linalg.eigh(matrices)
    floor = 0.05 * max(float(np.median(values)), float(values.max()) * 1e-3)
    return np.asarray((vectors * np.maximum(values, floor)[:, None, :]) @ np.swapaxes(vectors, 1, 2))


def _trust(slope: np.ndarray, curvature: np.ndarray) -> np.ndarray:
    """Return weights (g, p): 1 up to three standard deviations of the slope, falling with its square beyond.

    So a patch that stays with the camera, or is torn, has almost no influence (Huber's weights, the root of these,
    leave a third of the error). The median of |slope|² of pure noise in two dimensions is 2 ln 2 variances; a
    sharper patch may have more.
    """
    squared = np.sum(slope**2, axis=2)
    sharpness = np.trace(curvature, axis1=1, axis2=2)
    variance = np.median(squared) / (2 * np.log(2)) * np.maximum(1.0, sharpness / np.median(sharpness))
    return np.minimum(1.0, _OUTLIER**2 * variance / np.maximum(squared, 1e-30))


def _single_steps(found: np.ndarray) -> np.ndarray:
    """Return the step of each patch and group on its own, (g, p, 2), at most 2 pixels: for the record and plots."""
    steps = np.linalg.solve(_patch_curvature(found)[None], found[..., 1:3, None])[..., 0]
    length = np.linalg.norm(steps, axis=2, keepdims=True)
    return np.asarray(steps * np.minimum(1.0, _LONGEST_STEP / np.maximum(length, 1e-12)))
