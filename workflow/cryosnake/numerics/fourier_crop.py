"""Resampling of images by cropping or padding their Fourier transforms (rfft2): same field of view, other pixels.

Values scale with the number of pixels, so that the mean of an image is preserved. At the smaller size's Nyquist
frequency only one of the two conjugate lines is kept, in numpy's order (the negative rows, the last column).
"""

from __future__ import annotations

from cryosnake.numerics.backend import Array, fft_of, namespace


def resample_half_spectrum(spectrum: Array, width: int, shape: tuple[int, int]) -> Array:
    """Crop or pad the rfft2 of images.

    Parameters
    ----------
    spectrum
        Shape (..., ny, nx // 2 + 1).
    width
        nx, the width of the images.
    shape
        The new (ny, nx).

    Returns
    -------
    Array
        Shape (..., new ny, new nx // 2 + 1), scaled so that irfft2 keeps the mean of the images.
    """
    xp = namespace(spectrum)
    height, (rows, columns) = spectrum.shape[-2], shape
    scale = xp.asarray(rows * columns / (height * width), dtype=spectrum.real.dtype)
    fewest = min(rows, height)
    top, half = (fewest + 1) // 2, min(columns, width) // 2 + 1
    out = xp.zeros((*spectrum.shape[:-2], rows, columns // 2 + 1), dtype=spectrum.dtype)
    out[..., :top, :half] = spectrum[..., :top, :half] * scale
    bottom = fewest - top
    out[..., rows - bottom :, :half] = spectrum[..., height - bottom :, :half] * scale
    return out


def resample_image(image: Array, shape: tuple[int, int]) -> Array:
    """Resample images (..., ny, nx) to another size (ny, nx) over the same field of view, keeping the mean."""
    if tuple(image.shape[-2:]) == tuple(shape):
        return image
    fft = fft_of(image)
    return fft.irfft2(resample_half_spectrum(fft.rfft2(image), image.shape[-1], shape), s=shape)


def binned_shape(shape: tuple[int, int], bin_factor: float) -> tuple[int, int]:
    """Return the even size of an image binned by Fourier crop, as RELION rounds it: down, then to even.

    Raises
    ------
    ValueError
        When the factor is below 1, or nothing is left of the image.
    """
    if not bin_factor >= 1:
        raise ValueError(f"the binning factor is {bin_factor}; it must be 1 or more")
    if bin_factor == 1:
        return shape
    rows, columns = (int(n / bin_factor) // 2 * 2 for n in shape)
    if min(rows, columns) < 2:
        raise ValueError(f"nothing is left of {shape[0]} x {shape[1]} pixels binned by {bin_factor}")
    return rows, columns
