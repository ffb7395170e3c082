"""Maps that a page can turn: cropped, low-passed to a small box, quantised, packed."""

from __future__ import annotations

import base64
import gzip
from dataclasses import dataclass

import numpy as np

from cryosnake.numerics.map_resample import refit_map, refit_mask
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
    colours: str = ""  # a second volume: 0 where resolution is `best`, 31 where it is `worst`
    best: float = 0.0  # Å
    worst: float = 0.0


def volume_of(name: str, density: np.ndarray, pixel_size: float, resolution: float = 0.0,
              local: np.ndarray | None = None) -> Volume:
    """Return a map (box, box, box) for the viewer.

    Densities below 0 are solvent and become 0. Where the map's own `resolution` (Å) is known, no finer voxels are kept
    than show it. `local` (box, box, box) is the resolution at each voxel in Å, 0 where there is none, as colour. A map
    whose header has no pixel size counts with 1 Å.

    Raises
    ------
    ValueError
        where it is no cube, or has no density above 0
    """
    if density.ndim != 3 or len(set(density.shape)) > 1 or not np.nanmax(density) > 0.0:
        raise ValueError(f"{name} is no map with density in a cube")
    pixel_size = pixel_size or 1.0
    window = content_window(density)
    density = density[window]
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
    colours, best, worst = "", 0.0, 0.0
    if local is not None:
        colours, best, worst = _colours(local[window], density > level, pixel_size, box, extent / box)
    return Volume(name=name, box=box, pixel_size=extent / box, step=highest / 255.0, level=level, colours=colours,
                  packed=base64.b64encode(packed).decode(), best=best, worst=worst)


def _colours(local: np.ndarray, inside: np.ndarray, pixel_size: float, box: int,
             new_pixel_size: float) -> tuple[str, float, float]:
    """Return the local resolution in 32 steps, packed, and its limits in Å: 5 and 95 % inside the surface."""
    known = local > 0.0
    if not (known & inside).any():
        return "", 0.0, 0.0
    best, worst = (float(value) for value in np.percentile(local[known & inside], (5, 95)))
    total = refit_mask(np.where(known, local, 0.0).astype(np.float32), pixel_size, box, new_pixel_size)
    weight = refit_mask(known.astype(np.float32), pixel_size, box, new_pixel_size)
    fine = np.where(weight > 0.05, total / np.maximum(weight, 0.05), worst)
    steps = np.clip(np.round(31 * (fine - best) / max(worst - best, 1e-6)), 0, 31).astype(np.uint8)
    return base64.b64encode(gzip.compress(steps.tobytes(), 9, mtime=0)).decode(), best, worst
