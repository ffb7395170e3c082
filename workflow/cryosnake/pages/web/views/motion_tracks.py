"""The motion of a movie as tracks over its micrograph: of the whole frame, and of places by the local model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cryosnake.errors import CryosnakeError
from cryosnake.io.star import read_star
from cryosnake.numerics.motion.local_model import local_shifts

_PLACES = 5  # tracks of the local model along each side
_LONGEST = 0.1  # of the micrograph's width
_ENLARGED = (1, 2, 5, 10, 20, 50, 100)
_UNUSED = 9000.0  # px: what programs write for frames that were left out is larger
_SHIFT = ["rlnMicrographShiftX", "rlnMicrographShiftY"]


@dataclass(frozen=True)
class Tracks:
    """Tracks (n, frames, 2) in px of the picture, row 0 at the bottom, drawn so many times as large as the motion.

    The first is that of the whole frame, in the middle. A track begins at its place, in the first frame.
    """

    tracks: np.ndarray
    enlarged: int


def motion_tracks(metadata: Path, shape: tuple[int, int]) -> Tracks | None:
    """Return the tracks on a micrograph of this shape (rows, columns), None where its metadata can't be read."""
    try:
        tables = read_star(metadata)
        general, frames = tables["general"], tables["global_shift"]
        size = general[["rlnImageSizeX", "rlnImageSizeY"]].iloc[0].to_numpy(float)
        shifts = frames[_SHIFT].to_numpy(float)
        model = tables.get("local_motion_model")
        coefficients = None if model is None else model["rlnMotionModelCoeff"].to_numpy(float).reshape(2, 18)
    except (CryosnakeError, OSError, KeyError, ValueError, IndexError):
        return None
    shifts = shifts[(np.abs(shifts) < _UNUSED).all(1)]
    places, paths = [size / 2], [shifts]
    if coefficients is not None and len(shifts):
        steps = (np.arange(_PLACES) + 0.5) / _PLACES
        grid = np.stack(np.meshgrid(steps, steps), -1).reshape(-1, 2) * size
        local = local_shifts(coefficients, np.arange(len(shifts)), grid, (int(size[1]), int(size[0])))
        places += list(grid)
        paths += [shifts + local[:, number] for number in range(len(grid))]
    if len(shifts) < 2:
        return None
    return _drawn(np.array(places), np.array(paths), size, shape)


def _drawn(places: np.ndarray, paths: np.ndarray, size: np.ndarray, shape: tuple[int, int]) -> Tracks:
    """Return tracks for places (n, 2) and shifts (n, frames, 2) in px of a movie of a size (2,), x and y."""
    scale = np.array([shape[1], shape[0]]) / size  # a micrograph may be binned
    moved = -(paths - paths[:, :1]) * scale  # what a frame is shifted by takes its motion back
    longest = float(np.abs(moved).max()) or 1.0
    enlarged = max((one for one in _ENLARGED if one * longest <= _LONGEST * shape[1]), default=1)
    tracks = (places * scale)[:, None] + enlarged * moved
    tracks[..., 1] = shape[0] - tracks[..., 1]
    return Tracks(tracks, enlarged)
