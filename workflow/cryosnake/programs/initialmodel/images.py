"""Particle images with fewer pixels: as many as an initial model needs, few enough to stay in memory."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cryosnake.numerics.fourier_crop import resample_image
from cryosnake.numerics.refine.kernels.budget import budget
from cryosnake.parallel.stacks import Images
from cryosnake.programs.refinement.execution import Execution

_MARGIN = 1.25  # Nyquist over the finest frequency in use
_AT_ONCE = 1024
RESIDENT_BYTES = 4 << 30  # of small images; more than this are read again every time


def with_small_images(work: Execution, resolution: float) -> Execution:
    """Return the execution on images with as many pixels as `resolution` (Å) needs, at most those they have."""
    length = work.particles.length
    box = min(2 * int(np.ceil(_MARGIN * length / resolution)), work.particles.box)
    small = replace(work, particles=replace(work.particles, box=box, pixel_size=length / box), cache={})
    if len(work.particles) * box**2 * 4 > min(RESIDENT_BYTES, budget().total // 4):
        return replace(small, images=lambda rows: _cut(work, rows, box))
    return replace(small, images=_kept_images(work, box), expect_rows=lambda rows: None)  # nothing to read ahead


def _cut(work: Execution, rows: np.ndarray, box: int) -> np.ndarray:
    return resample_image(work.images(rows), (box, box)).astype(np.float32)


def _kept_images(work: Execution, box: int) -> Images:
    """Return a source of images of `box` Fourier pixels that keeps all of them after the first call."""
    kept: list[np.ndarray] = []

    def images(rows: np.ndarray) -> np.ndarray:
        if not kept:
            everyone = np.arange(len(work.particles))
            parts = [everyone[begin : begin + _AT_ONCE] for begin in range(0, len(everyone), _AT_ONCE)]
            work.expect_rows(everyone)
            kept.append(np.concatenate([_cut(work, part, box) for part in parts]))
        return kept[0][rows]

    return images
