"""Patches of a movie: windows of the aligned, band-limited frames and their spectra."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.fft import next_fast_len

from cryosnake.numerics.backend import Array, fft_of, namespace
from cryosnake.numerics.motion.correlation import WeightedBand, band_of, shift_spectrum

SMALLEST = 96  # pixels of the movie: a smaller patch has no room for a peak with the usual B-factor
_WIDENED = 1.2  # windows overlap by this factor; the margin is tapered


@dataclass(frozen=True, kw_only=True)
class Patches:
    """Spectra (p, f, rows, columns) of all patches in `band`; `centres` (p, 2) are x, y in pixels of the movie."""

    spectra: Array
    band: WeightedBand
    centres: np.ndarray
    bfactor: float
    extent: tuple[float, float]  # of one window, pixels of the movie


def patch_grid(image: tuple[int, int], wanted: tuple[int, int]) -> tuple[int, int]:
    """Return the number of patches along x and y of an image of (ny, nx) pixels: fewer if it is small.

    Fewer than three in a direction cannot determine the second-order terms of the local model: then (1, 1).
    """
    along_x, along_y = min(wanted[0], image[1] // SMALLEST), min(wanted[1], image[0] // SMALLEST)
    return (along_x, along_y) if min(along_x, along_y) >= 3 else (1, 1)


def frame_groups(n_frames: int, size: int) -> list[range]:
    """Return consecutive groups of `size` frames; the frames left over widen the last groups, as in RELION."""
    count = max(1, n_frames // max(1, size))
    extra = n_frames - count * (n_frames // count)
    lengths = [n_frames // count + (i >= count - extra) for i in range(count)]
    ends = np.cumsum(lengths)
    return [range(int(end) - length, int(end)) for end, length in zip(ends, lengths, strict=True)]


def cut_patches(spectra: Array, band: WeightedBand, image: tuple[int, int], shifts: np.ndarray, grid: tuple[int, int],
                groups: list[range], bfactor: float) -> Patches:
    """Cut the frames, after whole-frame alignment, into windows.

    Parameters
    ----------
    spectra
        Of the frames in `band`, (f, rows, columns).
    band
        Their band.
    image
        (ny, nx) of the movie.
    shifts
        Of the whole frames, (f, 2), pixels.
    grid
        Number of patches along x and y.
    groups
        Frames that are summed before they are cut (`frame_groups`).
    bfactor
        pixels², of the patches' band.
    """
    xp, fft = namespace(spectra), fft_of(spectra)
    step = (image[0] / band.shape[0], image[1] / band.shape[1])
    rows, columns = _window(band.shape[0], grid[1]), _window(band.shape[1], grid[0])
    tops, lefts = _starts(band.shape[0], rows, grid[1]), _starts(band.shape[1], columns, grid[0])
    taper = xp.asarray((_taper(rows)[:, None] * _taper(columns)[None]).astype(np.float32))
    extent = (rows * step[0], columns * step[1])
    out = xp.empty((len(tops) * len(lefts), len(groups), rows, columns // 2 + 1), dtype=np.complex64)
    for g, group in enumerate(groups):
        total = sum(shift_spectrum(spectra[f], shifts[f], band) for f in group)
        picture = fft.irfft2(total, s=band.shape)
        windows = xp.stack([picture[t : t + rows, c : c + columns] for t in tops for c in lefts])
        windows = (windows - windows.mean(axis=(1, 2), keepdims=True)) * taper
        out[:, g] = fft.rfft2(windows)
    middle = ((columns - 1) / 2, (rows - 1) / 2)
    centres = np.array([((c + middle[0]) * step[1], (t + middle[1]) * step[0]) for t in tops for c in lefts])
    # The window cannot measure waves longer than itself.
    patch_band = band_of((rows, columns), extent, bfactor, low=1.0 / max(extent), like=spectra)
    return Patches(spectra=out, band=patch_band, centres=centres, bfactor=bfactor, extent=extent)


def _window(size: int, count: int) -> int:
    wanted = int(np.ceil(size / count * (_WIDENED if count > 1 else 1)))
    while wanted % 2 or next_fast_len(wanted, real=True) != wanted:
        wanted += 1
    return min(wanted, size)


def _starts(size: int, window: int, count: int) -> list[int]:
    centres = (np.arange(count) + 0.5) * size / count
    return [int(np.clip(round(c - window / 2), 0, size - window)) for c in centres]


def _taper(size: int) -> np.ndarray:
    """Return a window of ones with raised-cosine edges over the outer sixth on either side."""
    distance = np.minimum(np.arange(size), np.arange(size)[::-1]) + 0.5
    return 0.5 - 0.5 * np.cos(np.pi * np.minimum(1.0, distance / (size / 6)))
