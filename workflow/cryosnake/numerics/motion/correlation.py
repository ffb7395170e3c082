"""Cross-correlation of shifted spectra: sums, values, slopes and curvatures at a sub-pixel shift.

The correlation of frame F with the sum of all others S, both weighted by w(k), at a shift s (pixels, x and y) is

    C(s) = Σ_k w(k) Re[ conj(F(k) e^{-2πi k·s}) S(k) ]

over the full plane. Its slope and curvature in s come from the same sum with factors 2πk, so a Newton step finds the
peak without an interpolated map. Everything here works on half spectra in the band where the weight is not negligible.

On the CPU two compiled kernels make one pass over each spectrum; for other arrays the same is plain array code.
tests/numerics/test_motion_correlation.py compares both forms.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np

from cryosnake.numerics.backend import Array, fft_of, namespace, to_numpy


@dataclass(frozen=True)
class WeightedBand:
    """The low-frequency part of the spectra of images of (ny, nx) pixels, as images of fewer pixels.

    `ky` and `kx` are in cycles per pixel of the original image, `weight` (rows, columns) is the correlation weight,
    with the half spectrum's missing half counted in it.
    """

    shape: tuple[int, int]
    ky: Array
    kx: Array
    weight: Array


def make_band(image: tuple[int, int], bfactor: float, *, low: float = 0.0, like: Array | None = None) -> WeightedBand:
    """Return the band in which the weight of `band_of` exceeds 10⁻³, with a size that is fast to transform.

    Parameters
    ----------
    image
        (ny, nx) of the images.
    bfactor, low, like
        As for `band_of`.
    """
    limit = 2 * highest_frequency(bfactor)
    shape = (_good_even(limit * image[0], image[0]), _good_even(limit * image[1], image[1]))
    return band_of(shape, image, bfactor, low=low, like=like)


def band_of(shape: tuple[int, int], extent: tuple[float, float], bfactor: float, *, low: float = 0.0,
            like: Array | None = None) -> WeightedBand:
    """Return the band of images of `shape` that cover `extent` = (ny, nx) pixels of the movie.

    Frame and sum are both damped by exp(-B k²), as with RELION's B-factor, and cut off where their product is 10⁻³.
    Zero frequency and those up to `low` are left out: beam profile and ice gradient stay in place while the specimen
    moves.

    Parameters
    ----------
    shape
        Even (rows, columns).
    extent
        pixels of the movie.
    bfactor
        pixels²; 0 keeps everything.
    low
        cycles/pixel.
    like
        An array of the kind (NumPy, CuPy) that the band is made of.
    """
    xp = np if like is None else namespace(like)
    ky = np.fft.fftfreq(shape[0]) * shape[0] / extent[0]
    kx = np.fft.rfftfreq(shape[1]) * shape[1] / extent[1]
    squared = ky[:, None] ** 2 + kx[None] ** 2
    weight = np.exp(-2 * bfactor * squared) * ((squared <= highest_frequency(bfactor) ** 2) & (squared > low * low))
    weight[:, 1:] *= 2  # the half plane that rfft2 leaves out
    weight[shape[0] // 2, :] = 0  # the Nyquist lines have no sign, so no slope
    weight[:, shape[1] // 2] = 0
    as_float = [xp.asarray(array.astype(np.float32)) for array in (ky, kx, weight)]
    return WeightedBand((shape[0], shape[1]), *as_float)


def highest_frequency(bfactor: float) -> float:
    """Return the frequency where the correlation weight falls to 10⁻³, cycles/pixel, at most Nyquist."""
    return 0.5 if bfactor <= 0 else min(0.5, float(np.sqrt(np.log(1e3) / (2 * bfactor))))


def _good_even(wanted: float, most: int) -> int:
    """Return an even size with small prime factors, at least `wanted`, at most `most`, at least 4."""
    from scipy.fft import next_fast_len

    size = max(4, int(np.ceil(wanted)))
    while size < most:
        size = next_fast_len(size, real=True)
        if size % 2 == 0:
            break
        size += 1
    return min(size, most // 2 * 2)


def narrow(spectra: Array, band: WeightedBand, narrower: WeightedBand) -> Array:
    """Return the part of spectra (..., rows, columns) of `band` that lies in a narrower band."""
    xp = namespace(spectra)
    top = (narrower.shape[0] + 1) // 2
    half = narrower.shape[1] // 2 + 1
    bottom = band.shape[0] - (narrower.shape[0] - top)
    return xp.concatenate([spectra[..., :top, :half], spectra[..., bottom:, :half]], axis=-2)


def shifted_sum(spectra: Array, shifts: np.ndarray, band: WeightedBand) -> Array:
    """Return Σ_f F_f e^{-2πi k·s_f}, shape (rows, columns), of spectra (f, rows, columns) and shifts (f, 2) as x, y."""
    rows, columns = _phases(band, shifts)
    if isinstance(spectra, np.ndarray):
        return _shifted_sum(spectra, rows, columns)
    return _shifted_sum_by_arrays(spectra, rows, columns)


def shift_spectrum(spectrum: Array, shift: np.ndarray, band: WeightedBand) -> Array:
    """Return one spectrum (rows, columns) shifted by (x, y) pixels."""
    rows, columns = _phases(band, np.asarray(shift)[None])
    return spectrum * rows[0][:, None] * columns[0][None]


def moments(spectra: Array, total: Array, shifts: np.ndarray, band: WeightedBand) -> np.ndarray:
    """Return value, slopes and curvatures of the correlation of each frame with the sum of the others.

    Parameters
    ----------
    spectra
        Of the frames, not shifted, (f, rows, columns).
    total
        Sum of all shifted spectra, (rows, columns); a frame's own part is subtracted.
    shifts
        x and y, pixels, (f, 2): where the correlation is evaluated, and the shifts of the frames in `total`.
    band
        The band of both.

    Returns
    -------
    ndarray
        C, ∂C/∂x, ∂C/∂y, ∂²C/∂x², ∂²C/∂x∂y, ∂²C/∂y², float64, shape (f, 6).
    """
    rows, columns = _phases(band, shifts)
    if isinstance(spectra, np.ndarray):
        return _moments(spectra, total, rows, columns, band.weight, band.ky, band.kx)
    return _moments_by_arrays(spectra, total, rows, columns, band)


def correlation_map(frame: Array, total: Array, shift: np.ndarray, band: WeightedBand) -> Array:
    """Return the correlation of a frame with the sum of the others for every whole shift of the band's pixels.

    Arguments as for `moments`; the result (rows, columns of the band as an image) has the present shift at [0, 0].
    """
    xp = namespace(frame)
    shifted = shift_spectrum(frame, shift, band)
    product = xp.conj(shifted) * (total - shifted) * band.weight
    return fft_of(product).irfft2(product, s=band.shape)


def _phases(band: WeightedBand, shifts: np.ndarray) -> tuple[Array, Array]:
    """Return e^{-2πi k·s} as a factor for rows (f, rows) and one for columns (f, columns)."""
    xp = namespace(band.ky)
    x, y = (xp.asarray(np.asarray(shifts, dtype=np.float32)[:, axis]) for axis in (0, 1))
    return (xp.exp(-2j * np.pi * y[:, None] * band.ky).astype(np.complex64),
            xp.exp(-2j * np.pi * x[:, None] * band.kx).astype(np.complex64))


def _shifted_sum_by_arrays(spectra: Array, rows: Array, columns: Array) -> Array:
    return (spectra * rows[:, :, None] * columns[:, None]).sum(axis=0)


def _moments_by_arrays(spectra: Array, total: Array, rows: Array, columns: Array, band: WeightedBand) -> np.ndarray:
    xp = namespace(spectra)
    shifted = spectra * rows[:, :, None] * columns[:, None]
    product = xp.conj(shifted) * (total - shifted) * band.weight
    powers_x, powers_y = (xp.stack([xp.ones_like(k), 2 * np.pi * k, (2 * np.pi * k) ** 2]).astype(np.complex64)
                          for k in (band.kx, band.ky))
    table: np.ndarray = to_numpy(powers_x @ xp.swapaxes(product, 1, 2) @ powers_y.T).astype(np.complex128)  # (f, x, y)
    return np.stack([table[:, 0, 0].real, -table[:, 1, 0].imag, -table[:, 0, 1].imag,
                     -table[:, 2, 0].real, -table[:, 1, 1].real, -table[:, 0, 2].real], axis=1)


@numba.njit(cache=True, parallel=True, fastmath=True)
def _shifted_sum(spectra: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    total = np.zeros_like(spectra[0])
    for i in numba.prange(total.shape[0]):
        for f in range(spectra.shape[0]):
            for j in range(total.shape[1]):
                total[i, j] += spectra[f, i, j] * (rows[f, i] * columns[f, j])
    return total


@numba.njit(cache=True, parallel=True, fastmath=True)
def _moments(spectra: np.ndarray, total: np.ndarray, rows: np.ndarray, columns: np.ndarray, weight: np.ndarray,
             ky: np.ndarray, kx: np.ndarray) -> np.ndarray:
    two_pi = np.float32(2 * np.pi)
    result = np.zeros((spectra.shape[0], 6))
    for f in numba.prange(spectra.shape[0]):
        for i in range(total.shape[0]):
            real0 = imag0 = imag1 = real1 = real2 = np.float32(0)
            for j in range(total.shape[1]):
                value = spectra[f, i, j] * (rows[f, i] * columns[f, j])
                rest = total[i, j] - value
                w = weight[i, j]
                re = w * (value.real * rest.real + value.imag * rest.imag)
                im = w * (value.real * rest.imag - value.imag * rest.real)
                x = two_pi * kx[j]
                real0 += re
                imag0 += im
                imag1 += im * x
                real1 += re * x
                real2 += re * x * x
            y = two_pi * ky[i]
            result[f, 0] += real0
            result[f, 1] -= imag1
            result[f, 2] -= imag0 * y
            result[f, 3] -= real2
            result[f, 4] -= real1 * y
            result[f, 5] -= real0 * y * y
    return result
