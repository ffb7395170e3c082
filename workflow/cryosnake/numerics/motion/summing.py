"""Sums of aligned frames, with and without dose weights."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np

from cryosnake.numerics.backend import Array, fft_of, namespace
from cryosnake.numerics.motion.dose import dose_exponents, dose_normalisation
from cryosnake.numerics.motion.local_model import local_shifts
from cryosnake.numerics.motion.warp import add_warped, spline_prefilter, tile_centres


@dataclass(frozen=True)
class DoseWeights:
    """Weights of all frames of all movies of a data set: `first` for the first frame, `step` from one to the next.

    Both are half planes (ny, nx // 2 + 1), float32. `first` holds the normalisation of the sum too.
    """

    first: Array
    step: Array


def make_dose_weights(shape: tuple[int, int], pixel_size: float, voltage: float, dose_per_frame: float,
                      doses: np.ndarray) -> DoseWeights:
    """Return the dose weights; see `dose`.

    Parameters
    ----------
    shape
        (ny, nx) of the sum.
    pixel_size
        Of the sum, Å.
    voltage
        kV.
    dose_per_frame
        e/Å².
    doses
        Accumulated dose of the frames, e/Å², (f,).
    """
    exponents = dose_exponents(shape, pixel_size, voltage)
    first = np.exp(np.float32(doses[0]) * exponents) * dose_normalisation(exponents, doses)
    return DoseWeights(first, np.exp(np.float32(dose_per_frame) * exponents))


def sum_frames(spectra: Array, image: tuple[int, int], shifts: np.ndarray, coefficients: np.ndarray | None = None,
               weights: DoseWeights | None = None) -> Array:
    """Add up the frames of a movie.

    Parameters
    ----------
    spectra
        rfft2 of the frames at the size of the sum, (f, ny, nx // 2 + 1).
    image
        (ny, nx).
    shifts
        Of the whole frames, (f, 2) as x, y in pixels of the sum.
    coefficients
        Local model (2, 18), in pixels of the sum; None: whole-frame shifts only.
    weights
        None: every frame counts 1.

    Returns
    -------
    Array
        float32 (ny, nx).
    """
    xp, fft = namespace(spectra), fft_of(spectra)
    ky, kx = np.fft.fftfreq(image[0]), np.fft.rfftfreq(image[1])
    weight = xp.ones_like(spectra[0].real) if weights is None else xp.array(weights.first)
    if coefficients is not None:
        weight *= xp.asarray(spline_prefilter(image))
        centres = tile_centres(image)
        total = xp.zeros(image, dtype=xp.float32)
    work = xp.zeros_like(spectra[0])
    for f, (spectrum, shift) in enumerate(zip(spectra, shifts, strict=True)):
        if f and weights is not None:
            weight *= weights.step
        rows = xp.asarray(np.exp(-2j * np.pi * shift[1] * ky).astype(np.complex64))
        columns = xp.asarray(np.exp(-2j * np.pi * shift[0] * kx).astype(np.complex64))
        if coefficients is None:
            _accumulate(work, spectrum, rows, columns, weight, True)
            continue
        _accumulate(work, spectrum, rows, columns, weight, False)
        local = local_shifts(coefficients, np.array([f]), centres.reshape(-1, 2), image).reshape(centres.shape)
        add_warped(total, fft.irfft2(work, s=image, overwrite_x=True), local)
    return fft.irfft2(work, s=image) if coefficients is None else total


def _accumulate(out: Array, spectrum: Array, rows: Array, columns: Array, weight: Array, add: bool) -> None:
    """Set `out` to the shifted, weighted spectrum, or add that to it."""
    if isinstance(out, np.ndarray):
        _accumulate_compiled(out, spectrum, rows, columns, weight, add)
        return
    shifted = spectrum * rows[:, None] * columns[None] * weight
    out[...] = out + shifted if add else shifted


@numba.njit(cache=True, parallel=True, fastmath=True)
def _accumulate_compiled(out: np.ndarray, spectrum: np.ndarray, rows: np.ndarray, columns: np.ndarray,
                         weight: np.ndarray, add: bool) -> None:
    for i in numba.prange(out.shape[0]):
        for j in range(out.shape[1]):
            value = spectrum[i, j] * (rows[i] * columns[j]) * weight[i, j]
            if add:
                out[i, j] += value
            else:
                out[i, j] = value
