"""Sums of aligned frames, with and without dose weights."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np

from cryosnake.numerics.backend import Array, fft_of, namespace
from cryosnake.numerics.motion.dose import dose_exponents, dose_normalisation
from cryosnake.numerics.motion.local_model import local_shifts
from cryosnake.numerics.motion.warp import add_warped, spline_prefilter, tile_centres

_AT_REST = 0.1  # pixels


@dataclass(frozen=True)
class DoseWeights:
    """Weights of all frames of all movies of a data set: `first` for the first frame, `step` from one to the next.

    Both are half planes (ny, nx // 2 + 1), float32. `first` includes the normalisation of the sum.
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
        None: every frame has weight 1.

    Returns
    -------
    Array
        float32 (ny, nx).
    """
    xp, fft = namespace(spectra), fft_of(spectra)
    ky, kx = np.fft.fftfreq(image[0]), np.fft.rfftfreq(image[1])
    weight = xp.ones_like(spectra[0].real) if weights is None else xp.array(weights.first)
    total = xp.zeros(image, dtype=xp.float32)
    work = xp.empty_like(spectra[0])
    if coefficients is not None:
        weight *= xp.asarray(spline_prefilter(image))
        centres = tile_centres(image)
    for group in _groups_at_rest(coefficients, len(spectra), image):
        for f in group:
            if f and weights is not None:
                weight *= weights.step
            rows = xp.asarray(np.exp(-2j * np.pi * shifts[f, 1] * ky).astype(np.complex64))
            columns = xp.asarray(np.exp(-2j * np.pi * shifts[f, 0] * kx).astype(np.complex64))
            _accumulate(work, spectra[f], rows, columns, weight, f != group[0])
        picture = fft.irfft2(work, s=image, overwrite_x=True)
        if coefficients is None:
            return picture
        local = local_shifts(coefficients, np.array(group), centres.reshape(-1, 2), image).mean(axis=0)
        add_warped(total, picture, local.reshape(centres.shape))
    return total


def _groups_at_rest(coefficients: np.ndarray | None, count: int, image: tuple[int, int]) -> list[range]:
    """Return runs of frames within which local motion is below a tenth of a pixel, so that one warp serves them all.

    Using their mean is wrong by a twentieth of a pixel at most, which dampens Nyquist by less than 1 %; late frames
    hardly move, so at least half of the inverse transforms are saved.
    """
    if coefficients is None:
        return [range(count)]
    grid = np.stack(np.meshgrid(np.linspace(0, image[1], 5), np.linspace(0, image[0], 5)), axis=-1).reshape(-1, 2)
    local = local_shifts(coefficients, np.arange(count), grid, image)
    firsts = [0]
    for f in range(1, count):
        if np.linalg.norm(local[f] - local[firsts[-1]], axis=-1).max() > _AT_REST:
            firsts.append(f)
    return [range(first, after) for first, after in zip(firsts, [*firsts[1:], count], strict=True)]


def _accumulate(out: Array, spectrum: Array, rows: Array, columns: Array, weight: Array, add: bool) -> None:
    """Set `out` to the shifted, weighted spectrum, or add this to it."""
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
