"""Particle images as a round lens would have made them: read, corrected for magnification and odd aberrations.

Done once for each image that is read: what compares images with references pays nothing. Even aberrations are part of
the CTF.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cryosnake.numerics.image_geometry import resampled, without_phase
from cryosnake.parallel.stacks import StackImages
from cryosnake.programs.optics.groups import OpticsGroup

_AT_ONCE = 32  # images


@dataclass(frozen=True, kw_only=True)
class CorrectedImages:
    """Images of one box and pixel size, from stacks.

    Attributes
    ----------
    stacks : StackImages
    groups : sequence of OpticsGroup
    group_of : (n,) int64
        Index of each image's group.
    """

    stacks: StackImages
    groups: Sequence[OpticsGroup]
    group_of: np.ndarray

    def __len__(self) -> int:
        return len(self.stacks)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of images, box, box."""
        return self.stacks.shape

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """Return images (n, box, box) float32; raises what the stacks raise."""
        images, group_of = self.stacks(rows), self.group_of[rows]
        for number in np.unique(group_of):
            mine = np.flatnonzero(group_of == number)
            for begin in range(0, len(mine), _AT_ONCE):
                part = mine[begin : begin + _AT_ONCE]
                images[part] = corrected(images[part], self.groups[number])
        return images


def corrected(images: np.ndarray, group: OpticsGroup) -> np.ndarray:
    """Return images (n, box, box) of a group without its magnification and odd aberrations."""
    box = images.shape[1]
    if group.distorted:  # the image is the particle at M⁻ᵀ x
        images = resampled(images, group.magnification.T, box)
    if group.turned:
        ky, kx = (np.fft.fftfreq(box) / group.pixel_size)[:, None], np.fft.rfftfreq(box)[None] / group.pixel_size
        images = without_phase(images, group.odd_phase(*np.broadcast_arrays(kx, ky)))
    return images
