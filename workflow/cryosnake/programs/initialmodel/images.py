"""Particles with fewer pixels: what an initial model needs of them, small enough to stay in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from cryosnake.numerics.fourier_crop import resample_image
from cryosnake.numerics.refine.kernels.budget import budget
from cryosnake.programs.refinement.particles import Particles

_MARGIN = 1.25  # Nyquist over the finest frequency in use
_AT_ONCE = 1024
_RESIDENT_BYTES = 4 << 30  # small images are kept in memory up to this, and read again beyond


def small_particles(particles: Particles, resolution: float) -> Particles:
    """Return the particles with as many pixels as `resolution` (Å) needs, and no more than they have."""
    length = particles.box * particles.pixel_size
    box = min(2 * int(np.ceil(_MARGIN * length / resolution)), particles.box)
    small = replace(particles, box=box, pixel_size=length / box, cache={})
    if len(particles) * box**2 * 4 > min(_RESIDENT_BYTES, budget().total // 4):
        return replace(small, source=lambda rows: _cut(particles, rows, box))
    return replace(small, source=_kept_source(particles, box), follow=lambda rows: None)  # nothing to read ahead


def _cut(particles: Particles, rows: np.ndarray, box: int) -> np.ndarray:
    return resample_image(particles.images(rows), (box, box)).astype(np.float32)


def _kept_source(particles: Particles, box: int) -> Callable[[np.ndarray], np.ndarray]:
    """Return what gives images of `box` Fourier pixels and keeps all of them after the first call."""
    kept: list[np.ndarray] = []

    def images(rows: np.ndarray) -> np.ndarray:
        if not kept:
            everyone = np.arange(len(particles))
            parts = [everyone[begin : begin + _AT_ONCE] for begin in range(0, len(everyone), _AT_ONCE)]
            particles.follow(everyone)
            kept.append(np.concatenate([_cut(particles, part, box) for part in parts]))
        return kept[0][rows]

    return images
