"""The Fourier pixels of an image up to a resolution, in order of their radius: a lower band is a prefix."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, field

import numpy as np

from cryosnake.numerics.backend import Array, is_gpu, namespace
from cryosnake.numerics.projection import half_plane


@dataclass(frozen=True)
class Band:
    """Half-plane Fourier pixels with 0 ≤ |k| ≤ box // 2 of images of `box` pixels, sorted by |k|.

    Attributes
    ----------
    kx, ky : (pixels,) float32
        Frequencies, pixels of the transform; each Friedel pair once.
    shell : (pixels,) int64
        round(|k|).
    """

    box: int
    kx: np.ndarray
    ky: np.ndarray
    shell: np.ndarray
    _: KW_ONLY
    _there: dict[int, tuple[Array, Array]] = field(default_factory=dict, repr=False, compare=False)

    def frequencies(self, like: Array) -> tuple[Array, Array]:
        """Return kx and ky on the device of `like`: in host memory or on the current GPU."""
        if not is_gpu(like):
            return self.kx, self.ky
        import cupy

        device = cupy.cuda.Device().id
        if device not in self._there:
            self._there[device] = (cupy.asarray(self.kx), cupy.asarray(self.ky))
        return self._there[device]

    def count(self, size: int) -> int:
        """Return how many pixels have |k| ≤ size // 2."""
        radius = size // 2
        return int(np.searchsorted(self.kx**2 + self.ky**2, radius * radius + 0.5))

    def cut(self, size: int) -> Band:
        """Return the band of the pixels with |k| ≤ size // 2."""
        n = self.count(size)
        return Band(self.box, self.kx[:n], self.ky[:n], self.shell[:n])

    def shell_starts(self) -> np.ndarray:
        """Return the start of each shell, for np.add.reduceat; the shells are in order and none is empty."""
        return np.searchsorted(self.shell, np.arange(int(self.shell[-1]) + 1))

    def phases(self, shifts: np.ndarray, like: Array | None = None) -> Array:
        """Return exp(−2πi k·s / box), complex64 (n, pixels), that moves images by shifts (n, 2), x and y in pixels.

        They are computed on the device of `like`, in host memory without it.
        """
        xp, like = (np, self.kx) if like is None else (namespace(like), like)
        frequencies = xp.stack(self.frequencies(like)).astype(xp.float64)
        turns = xp.asarray(shifts, xp.float64) @ frequencies / -self.box
        angle = (2.0 * np.pi * (turns - xp.rint(turns))).astype(xp.float32)
        result = xp.empty(angle.shape, xp.complex64)
        result.real[...], result.imag[...] = xp.cos(angle), xp.sin(angle)
        return result

    def phases_each(self, shifts: np.ndarray) -> np.ndarray:
        """Return the phases of one shift for each image (n, 2): the same formula, in single precision."""
        angle = np.float32(-2.0 * np.pi / self.box) * (shifts.astype(np.float32) @ np.stack([self.kx, self.ky]))
        return np.exp(1j * angle).astype(np.complex64)


def full_band(box: int) -> Band:
    """Return the band up to the Nyquist frequency.

    >>> band = full_band(8)
    >>> band.kx.size, band.count(2), band.cut(2).shell.tolist()
    (25, 3, [0, 1, 1])
    """
    kx, ky = half_plane(box)
    squared = kx * kx + ky * ky
    order = np.lexsort((ky, kx, squared))
    return Band(box, kx[order], ky[order], np.rint(np.sqrt(squared[order])).astype(np.int64))
