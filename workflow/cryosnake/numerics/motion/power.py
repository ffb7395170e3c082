"""The power spectrum from which the CTF is fitted, in RELION's form.

Frames are summed in groups, the amplitudes of the groups are added. In groups of about 4 e/Å² fine rings survive the
motion of the ice, in larger ones faint rings rise above the noise: which is best is measured on the frames. The sum is
cropped at 1 / 2.8 Å and resampled, as an image, to 512 pixels, with zero frequency at the centre. RELION uses unaligned
frames; here whole frames are aligned, which costs nothing and keeps the fine rings.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cryosnake.numerics.backend import Array, fft_of, namespace, to_numpy
from cryosnake.numerics.fourier_crop import resample_half_spectrum, resample_image
from cryosnake.numerics.motion.correlation import WeightedBand, shift_spectrum

_PIXEL = 1.4  # Å, RELION's for CTF fitting
_CANDIDATES = 24
_BAND = (1 / 10.0, 1 / 5.0)  # Å⁻¹: the rings that determine the defocus, and are not yet the particles' own


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


def power_spectrum(spectra: Array, shifts: np.ndarray, image: tuple[int, int], pixel_size: float,
                   groups: Sequence[int], size: int = 512) -> tuple[np.ndarray, float]:
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
    groups
        Frames per group, ascending; of several the one with the clearest rings is used.
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
    frequency = xp.hypot(ky[:, None], kx[None]) / pixel_size
    inside = (frequency >= _BAND[0]) & (frequency <= _BAND[1])
    half = (cut[0], cut[1] // 2 + 1)
    sums = [_GroupSum(group=group, amplitudes=xp.zeros(half, dtype=xp.float32)) for group in groups]
    single = 0.0
    for f in range(len(spectra)):
        frame = shift_spectrum(resample_half_spectrum(spectra[f], image[1], cut), shifts[f], band)
        single += _power(frame, inside) if len(groups) > 1 else 0.0
        for each in sums:
            each.add(frame, inside, f == len(spectra) - 1)
    best = max(sums, key=lambda each: each.clarity(single)) if single > 0.0 else sums[0]
    whole = _whole_plane(best.amplitudes, cut[1]) / (cut[0] * cut[1])
    return to_numpy(resample_image(whole, (size, size))), pixel_size * image[1] / cut[1]


@dataclass(kw_only=True)
class _GroupSum:
    """The amplitudes (rows, columns // 2 + 1) of groups of `group` frames, and the power of the groups in the band."""

    group: int
    amplitudes: Array
    power: float = 0.0
    count: int = 0
    frames: Array | None = None
    held: int = 0

    def add(self, frame: Array, inside: Array, last: bool) -> None:
        """Add a frame, and the group to the amplitudes when it is full or the frame is the last one."""
        self.frames = frame if self.frames is None else self.frames + frame
        self.held += 1
        if self.held == self.group or last:
            self.amplitudes += namespace(frame).abs(self.frames)
            self.power += _power(self.frames, inside)
            self.count += 1
            self.frames, self.held = None, 0

    def clarity(self, single: float) -> float:
        """Return how clear the rings are, from the power of the frames one by one: contrast × √(number of groups).

        What frames have in common adds up in amplitude, noise in power: the excess of the groups' power over that of
        the frames is signal over noise. It grows with the group until the ice has moved; the mean over the groups
        removes noise, and with it the speckle of ice that has moved.
        """
        excess = max(0.0, self.power / single - 1.0)
        return math.sqrt(self.count) * excess / (1.0 + excess)


def _power(spectrum: Array, inside: Array) -> float:
    chosen = spectrum[inside]
    return float((chosen.real**2 + chosen.imag**2).sum(dtype=np.float64))


def _whole_plane(half: Array, width: int) -> Array:
    """Return, from a half plane, the symmetric amplitudes (rows, width) with zero frequency at the centre."""
    xp = namespace(half)
    rows = half.shape[0]
    mirrored = half[(-xp.arange(rows)) % rows][:, xp.arange(width - width // 2 - 1, 0, -1)]
    return fft_of(half).fftshift(xp.concatenate([half, mirrored], axis=1))
