"""The power spectrum from which the CTF is fitted, in RELION's form.

Frames are summed in groups of about 4 e/Å² (fine rings survive motion, noise stays low); the amplitudes of the groups
are added. The sum is cropped at 1 / 2.8 Å and resampled, as an image, to 512 pixels, with zero frequency at the
centre. RELION uses unaligned frames; here whole frames are aligned, which costs nothing and keeps the fine rings.
"""

from __future__ import annotations

import numpy as np

from cryosnake.numerics.backend import Array, fft_of, namespace, to_numpy
from cryosnake.numerics.fourier_crop import resample_half_spectrum, resample_image
from cryosnake.numerics.motion.correlation import WeightedBand, shift_spectrum

_PIXEL = 1.4  # Å, RELION's for CTF fitting
_CANDIDATES = 24


def spectrum_size(image: tuple[int, int], pixel_size: float) -> tuple[int, int]:
    """Return the even (rows, columns) to which an image's spectrum is cropped, so that its pixel becomes about 1.4 Å.

    Both axes must end at the same frequency, or Thon rings become ellipses (0.05 % are 10 Å of astigmatism). Sizes
    are whole numbers, so of the next few the pair with the best ratio is used.
    """
    if pixel_size >= _PIXEL:
        return image
    least = int(np.ceil(image[1] * pixel_size / _PIXEL / 2)) * 2
    columns = np.arange(least, min(image[1], least + 2 * _CANDIDATES) + 1, 2)
    rows = np.rint(columns * image[0] / image[1] / 2).astype(int) * 2
    best = int(np.argmin(np.round(np.abs(rows / image[0] * image[1] / columns - 1), 6)))
    return int(rows[best]), int(columns[best])


def power_spectrum(spectra: Array, shifts: np.ndarray, image: tuple[int, int], pixel_size: float, group: int,
                   size: int = 512) -> tuple[np.ndarray, float]:
    """Return the spectrum for CTF fitting and its pixel size.

    Parameters
    ----------
    spectra
        rfft2 of the frames, (f, ny, nx // 2 + 1).
    shifts
        Of the whole frames, (f, 2) as x, y in pixels.
    image
        (ny, nx).
    pixel_size
        Å.
    group
        Frames per group.
    size
        Of the result.

    Returns
    -------
    tuple
        Amplitudes, float32 (size, size), zero frequency at [size // 2, size // 2]; pixel size in Å, whose Nyquist
        frequency is the spectrum's edge.
    """
    xp = namespace(spectra)
    cut = spectrum_size(image, pixel_size)
    ky = xp.asarray((np.fft.fftfreq(cut[0]) * cut[0] / image[0]).astype(np.float32))
    kx = xp.asarray((np.fft.rfftfreq(cut[1]) * cut[1] / image[1]).astype(np.float32))
    band = WeightedBand(cut, ky, kx, ky)
    amplitudes = xp.zeros((cut[0], cut[1] // 2 + 1), dtype=xp.float32)
    for first in range(0, len(spectra), group):
        frames = range(first, min(first + group, len(spectra)))
        amplitudes += xp.abs(sum(shift_spectrum(resample_half_spectrum(spectra[f], image[1], cut), shifts[f], band)
                                 for f in frames))
    whole = _whole_plane(amplitudes, cut[1]) / (cut[0] * cut[1])
    return to_numpy(resample_image(whole, (size, size))), pixel_size * image[1] / cut[1]


def _whole_plane(half: Array, width: int) -> Array:
    """Return, from a half plane, the symmetric amplitudes (rows, width) with zero frequency at the centre."""
    xp = namespace(half)
    rows = half.shape[0]
    mirrored = half[(-xp.arange(rows)) % rows][:, xp.arange(width - width // 2 - 1, 0, -1)]
    return fft_of(half).fftshift(xp.concatenate([half, mirrored], axis=1))
