"""Maps that a page can turn: cropped, low-passed to a small box, quantised, packed."""

from __future__ import annotations

import base64
import gzip
from dataclasses import dataclass

import numpy as np

from cryosnake.numerics.map_resample import refit_map
from cryosnake.numerics.masking import automatic_threshold
from cryosnake.report.panels.map import content_window

LARGEST_BOX = 96
_MOST_BYTES = 420_000  # packed, before base64


@dataclass(frozen=True, kw_only=True)
class Volume:
    """A map for the viewer: bytes (box, box, box) packed with gzip and base64; density = byte · `step`."""

    name: str
    box: int
    pixel_size: float  # Å
    step: float
    level: float  # threshold at the start, a density
    packed: str
    kind: str = "volume"


def volume_of(name: str, density: np.ndarray, pixel_size: float, resolution: float = 0.0) -> Volume:
    """Return a map (box, box, box) for the viewer.

    Densities below 0 are solvent and become 0. Where the map's own `resolution` (Å) is known, no finer voxels are kept
    than show it.
    """
    density = density[content_window(density)]
    extent = density.shape[0] * pixel_size
    box = min(LARGEST_BOX, density.shape[0])
    if resolution:
        box = min(box, max(32, int(3.4 * extent / resolution)))
    while True:
        box -= box % 2
        small = refit_map(density, pixel_size, box, extent / box) if box < density.shape[0] else density
        highest = max(float(small.max()), 1e-30)
        levels = np.clip(np.round(small * (255.0 / highest)), 0, 255).astype(np.uint8)
        packed = gzip.compress(levels.tobytes(), 9, mtime=0)
        if len(packed) <= _MOST_BYTES or box <= 32:
            break
        box = int(box * 0.85)
    level = automatic_threshold(density, pixel_size).value
    return Volume(name=name, box=box, pixel_size=extent / box, step=highest / 255.0, level=level,
                  packed=base64.b64encode(packed).decode())
