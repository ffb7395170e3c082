"""Particle images as a round lens would have made them, on one grid: read, resampled, without odd aberrations.

Images that were multiplied by their CTF are divided by it, so that their noise is that of others. Done once for each
image that is read: what compares images with references pays nothing. Even aberrations are part of the CTF.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.fft

from cryosnake.numerics.image_geometry import resampled, without_phase
from cryosnake.numerics.refine.grids.bands import Band, full_band
from cryosnake.numerics.refine.grids.images import shell_sums
from cryosnake.parallel.stacks import StackImages
from cryosnake.programs.optics.groups import OpticsGroup

_AT_ONCE = 32  # images
_DAMPING = 0.05  # of the mean squared CTF of a shell


@dataclass(frozen=True, kw_only=True)
class CorrectedImages:
    """Images of one box and pixel size.

    Attributes
    ----------
    box, pixel_size : int, float
        Pixels, Å.
    groups : sequence of OpticsGroup
    stacks : sequence of StackImages
        The images of each group as they are on disk.
    group_of, place_of : (n,) int64
        Index of each image's group, and of the image in it.
    ctf : callable
        From rows (m,) and a band to CTFs (m, pixels).
    """

    box: int
    pixel_size: float
    groups: Sequence[OpticsGroup]
    stacks: Sequence[StackImages]
    group_of: np.ndarray
    place_of: np.ndarray
    ctf: Callable[[np.ndarray, Band], np.ndarray]

    def __len__(self) -> int:
        return len(self.group_of)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of images, box, box."""
        return len(self), self.box, self.box

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """Return images (n, box, box) float32; raises what the stacks raise."""
        band = full_band(self.box)
        images, group_of = np.empty((len(rows), self.box, self.box), np.float32), self.group_of[rows]
        for number in np.unique(group_of):
            mine = np.flatnonzero(group_of == number)
            for begin in range(0, len(mine), _AT_ONCE):
                part = mine[begin : begin + _AT_ONCE]
                found = self.stacks[number](self.place_of[rows[part]])
                images[part] = corrected(found, self.groups[number], self.box, self.pixel_size)
                if self.groups[number].premultiplied:
                    images[part] = divided_by_ctf(images[part], self.ctf(rows[part], band), band)
        return images


def corrected(images: np.ndarray, group: OpticsGroup, box: int, pixel_size: float) -> np.ndarray:
    """Return images of a group on a grid of `box` pixels of `pixel_size` Å, undistorted, without odd aberrations."""
    if group.distorted or not group.fits(box, pixel_size):
        images = resampled(images, group.place(pixel_size), box)
    if group.turned:
        ky, kx = np.fft.fftfreq(box, pixel_size)[:, None], np.fft.rfftfreq(box, pixel_size)[None]
        images = without_phase(images, group.odd_phase(*np.broadcast_arrays(kx, ky)))
    return images


def divided_by_ctf(images: np.ndarray, ctf: np.ndarray, band: Band) -> np.ndarray:
    """Return images (n, box, box) that their CTFs c (n, pixels) have multiplied, times g c / (c² + ε) in the band.

    ε is a twentieth of the mean c² of a shell, and g = Σ c² / Σ c⁴ / (c² + ε) keeps the particle's scale. Times c
    again, in a comparison or a sum, that is the image as it was, but near zeros of c, where it tells nothing: what it
    kept by being multiplied in a larger box stays.
    """
    box, squared = band.box, ctf**2
    total = shell_sums(squared, band)
    damped = squared + np.maximum(_DAMPING * total / np.bincount(band.shell), 1e-6)[:, band.shell]
    scale = total / np.maximum(shell_sums(squared**2 / damped, band), 1e-6)
    factor = scale[:, band.shell] * ctf / damped
    whole = np.ones((len(images), box, box // 2 + 1), np.float32)
    ky, kx = band.ky.astype(np.int64), band.kx.astype(np.int64)
    whole[:, ky % box, kx] = factor
    whole[:, -ky[kx == 0] % box, 0] = factor[:, kx == 0]
    return np.asarray(scipy.fft.irfft2(scipy.fft.rfft2(images) * whole, s=(box, box)), np.float32)
