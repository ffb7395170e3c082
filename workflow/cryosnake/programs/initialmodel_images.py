"""Particles with fewer pixels: what an initial model needs of them, small enough to stay in memory."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from cryosnake.numerics.fourier_crop import resample_image
from cryosnake.programs.particles import RESIDENT_BYTES, Particles

_MARGIN = 1.25  # Nyquist over the finest frequency in use
_AT_ONCE = 1024


@dataclass(frozen=True)
class SmallParticles(Particles):
    """Particles whose images are cut to `box` Fourier pixels when they are read; `source` has them whole."""

    source: Particles = field(kw_only=True)

    def images(self, rows: np.ndarray) -> np.ndarray:
        """See `Particles.images`."""
        if len(self) * self.box**2 * 4 > RESIDENT_BYTES:
            return self._cut(rows)
        if "all" not in self._cache:
            everyone = np.arange(len(self))
            self._cache["all"] = np.concatenate([self._cut(everyone[i : i + _AT_ONCE])
                                                 for i in range(0, len(self), _AT_ONCE)])
        return self._cache["all"][rows]

    def _cut(self, rows: np.ndarray) -> np.ndarray:
        return resample_image(self.source._read(rows), (self.box, self.box)).astype(np.float32)


def small_particles(particles: Particles, resolution: float) -> SmallParticles:
    """Return the particles with as many pixels as `resolution` (Å) needs, and no more than they have."""
    length = particles.box * particles.pixel_size
    box = min(2 * int(np.ceil(_MARGIN * length / resolution)), particles.box)
    return SmallParticles(particles.path, particles.tables, box, length / box, particles.optics, particles.group,
                          particles.group_names, source=particles)
