"""Particles with fewer pixels: what an initial model needs of them, small enough to stay in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from cryosnake.numerics.fourier_crop import resample_image
from cryosnake.programs.particles import Particles

_MARGIN = 1.25  # Nyquist over the finest frequency in use
_AT_ONCE = 1024
_RESIDENT_BYTES = 4 << 30  # small images are kept in memory up to this, and read again beyond
SmallParticles = Particles


def small_particles(particles: Particles, resolution: float) -> SmallParticles:
    """Return the particles with as many pixels as `resolution` (Å) needs, and no more than they have."""
    length = particles.box * particles.pixel_size
    box = min(2 * int(np.ceil(_MARGIN * length / resolution)), particles.box)
    return replace(particles, box=box, pixel_size=length / box, source=_cut_source(particles, box))


def _cut_source(particles: Particles, box: int) -> Callable[[np.ndarray], np.ndarray]:
    """Return what gives images of `box` Fourier pixels; it keeps all of them after the first call, if they fit."""
    kept: list[np.ndarray] = []

    def cut(rows: np.ndarray) -> np.ndarray:
        return resample_image(particles.images(rows), (box, box)).astype(np.float32)

    def images(rows: np.ndarray) -> np.ndarray:
        if len(particles) * box**2 * 4 > _RESIDENT_BYTES:
            return cut(rows)
        if not kept:
            everyone = np.arange(len(particles))
            kept.append(np.concatenate([cut(everyone[i : i + _AT_ONCE]) for i in range(0, len(everyone), _AT_ONCE)]))
        return kept[0][rows]

    return images
