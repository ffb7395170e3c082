"""Bands of Fourier shells as small real volumes: a band ending at radius r needs no more than 2 r voxels per axis."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy.fft

from cryosnake.numerics.backend import Array, fft_of, namespace, to_numpy
from cryosnake.numerics.filters import frequency_radius


@dataclass(frozen=True)
class ShellBands:
    """Bands p(|k| − s) at the shells s = `centres`, p(d) = cos(π d / 2 `half_width`) for |d| < half_width.

    Lengths are in Fourier pixels (shells). Sampled every `step`, the bands add up to the same sum at all |k|.
    """

    centres: np.ndarray
    half_width: float
    step: int
    last: int

    def profile(self, radius: Array, centre: float) -> Array:
        """Return the band's factor at |k| = radius."""
        xp = namespace(radius)
        return xp.cos(xp.clip((radius - centre) / self.half_width, -1.0, 1.0) * (0.5 * math.pi))

    def total(self, radius: np.ndarray) -> np.ndarray:
        """Return the sum of all bands and of those that would continue them towards |k| = 0."""
        return np.sum([self.profile(radius, s) for s in self.centres], axis=0) + self.below(radius)

    def below(self, radius: np.ndarray) -> np.ndarray:
        """Return the sum of the bands that would lie below the first centre."""
        first, reach = int(self.centres[0]), math.ceil(radius.max(initial=0.0) + self.half_width)
        lower = range(first - self.step, -reach - self.step, -self.step)
        return np.sum([self.profile(radius, s) for s in lower], axis=0)

    def grid(self, centre: float, order: int) -> int:
        """Return how many voxels per axis are needed for a band times a weight with `order` periods per box.

        The products of two bands extend twice as far, and alias onto the low frequencies seen by the windows only from
        opposite ends of the band, with random signs: negligible against the squares that add up there. Sizes come in
        steps of an eighth, so that neighbouring bands share one.
        """
        wanted = max(16, min(2 * self.last, math.ceil(2.0 * (centre + self.half_width)) + order))
        coarse = max(2, 1 << max(0, wanted.bit_length() - 4))
        return _even_fast(math.ceil(wanted / coarse) * coarse)


def shell_bands(box: int, box_size: float, window_diameter: float, lowest: float) -> ShellBands:
    """Return the bands for a window that is `window_diameter` Å wide in a box of `box_size` Å.

    A window blurs the transform by 1 / diameter; a shell seen through it is a band of that width (at half power).
    Narrower bands would extend beyond the window, wider ones blur the FSC curve more. With a step of three quarters of
    the width the resolution differs by half a per cent (root mean square) from that with every shell. The last band
    is at Nyquist, the first at the resolution `lowest` (Å) or just before.
    """
    width = max(1.0, box_size / window_diameter)
    step = max(1, round(0.75 * width))
    last = box // 2
    first = min(max(1, math.floor(box_size / lowest)), last - 1)
    count = min(math.ceil((last - first) / step), (last - 1) // step)
    return ShellBands(last - step * np.arange(count, -1, -1), 1.2 * width, step, last)


@dataclass(frozen=True)
class SortedTransform:
    """The coefficients of half transforms inside the last complete shell, in order of |k|.

    `radius` (n,) float32, `index` (3, n) int32 with signed frequencies z, y, x; `values` contains one (n,) complex64
    per map, divided by the number of voxels.
    """

    radius: Array
    index: Array
    values: tuple[Array, ...]

    def band(self, bands: ShellBands, centre: float, size: int) -> list[Array]:
        """Return the real band-passed maps (size, size, size) float32, voxel 0 at the box's corner."""
        fft = fft_of(self.radius)
        part = self._between(centre - bands.half_width, centre + bands.half_width)
        factor = bands.profile(self.radius[part], centre) * float(size) ** 3
        place = self._place(part, size)
        return [fft.irfftn(_spectrum(values[part] * factor, place, size), s=(size,) * 3, overwrite_x=True)
                for values in self.values]

    def below(self, bands: ShellBands, size: int) -> Array:
        """Return the half transform of the maps' mean below the first band, (size, size, size // 2 + 1)."""
        xp = namespace(self.radius)
        part = self._between(0.0, float(bands.centres[0]) + bands.half_width)
        factor = xp.asarray(bands.below(to_numpy(self.radius[part])).astype(np.float32)) / len(self.values)
        mean = sum(values[part] for values in self.values) * factor
        return _spectrum(mean, self._place(part, size), size)

    def _between(self, low: float, high: float) -> slice:
        xp = namespace(self.radius)
        start, end = xp.searchsorted(self.radius, xp.asarray([low, high], dtype=xp.float32))
        return slice(int(start), int(end))

    def _place(self, part: slice, size: int) -> Array:
        """Return the flat indices of coefficients in the half transform of a box of `size` voxels."""
        z, y, x = self.index[:, part]
        return ((z % size) * size + y % size) * (size // 2 + 1) + x


def _spectrum(coefficients: Array, place: Array, size: int) -> Array:
    spectrum = namespace(coefficients).zeros(size * size * (size // 2 + 1), dtype=coefficients.dtype)
    spectrum[place] = coefficients
    return spectrum.reshape(size, size, -1)


def sort_transforms(*volumes: Array) -> SortedTransform:
    """Return the sorted coefficients of maps (box, box, box), without the Nyquist plane."""
    xp, fft = namespace(volumes[0]), fft_of(volumes[0])
    box = volumes[0].shape[0]
    radius = frequency_radius(box, volumes[0]).ravel()
    inside = xp.nonzero(radius < 0.5 * box)[0]
    order = inside[xp.argsort(radius[inside])]
    half = box // 2 + 1
    signed = xp.asarray(np.fft.fftfreq(box, 1.0 / box).astype(np.int32))
    index = xp.stack([signed[order // (half * box)], signed[order // half % box],
                      (order % half).astype(xp.int32)])
    values = tuple(fft.rfftn(volume).ravel()[order] / np.float32(box**3) for volume in volumes)
    return SortedTransform(radius[order], index, values)


def add_to_spectrum(total: Array, part: Array, box: int) -> None:
    """Add the transform of a small volume (n, n, n) to the half transform of a box, both divided by their voxels."""
    fft, size = fft_of(part), part.shape[0]
    half = min(size, box) // 2
    spectrum, scale = fft.rfftn(part), np.float32(size) ** -3
    for z_from, z_to in _rows(half, size, box):
        for y_from, y_to in _rows(half, size, box):
            total[z_to, y_to, :half] += spectrum[z_from, y_from, :half] * scale


def _rows(half: int, size: int, box: int) -> list[tuple[slice, slice]]:
    """Return the rows of frequencies 0 … half − 1 and −half + 1 … −1 in either transform."""
    return [(slice(0, half), slice(0, half)), (slice(size - half + 1, size), slice(box - half + 1, box))]


def _even_fast(length: int) -> int:
    """Return the next even length for which the FFT is fast."""
    return 2 * scipy.fft.next_fast_len((length + 1) // 2, real=False)
