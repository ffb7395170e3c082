"""Maps and masks of any box and pixel size, fitted to those of the particles or maps that they are used with."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cryosnake.errors import CryosnakeError
from cryosnake.io.mrc import read_header, within_one
from cryosnake.numerics.map_resample import refit_map, refit_mask
from cryosnake.programs.maps.maskcreate_maps import read_cube

_SAME = 0.01  # relative difference of pixel sizes that calibration and the rounding of headers make
_CONTRADICTION = 1.2  # ratio of pixel sizes of maps that have the same box, of which one is probably wrong
_INSIDE = 0.5  # what a mask keeps


@dataclass(frozen=True)
class Grid:
    """Box in voxels and pixel size in Å of which a map is to be, and whose they are, for messages."""

    box: int
    pixel_size: float
    owner: str

    def __str__(self) -> str:
        return f"{self.box} of {self.pixel_size:.4g} Å"


def fitted_map(path: str | Path, what: str, grid: Grid, pixel_size: float | None = None) -> tuple[np.ndarray, float]:
    """Return a map (box, box, box) float32 on a grid, and the pixel size in Å that it had; `what` names it in messages.

    Where box or pixel size are others, it is cropped or padded in Fourier space (refit_map), with a line that says so.
    `pixel_size` (Å) overrides the header.

    Raises
    ------
    CryosnakeError
        when it is no cube, contains NaN, does not give its pixel size, or gives one that contradicts its box
    """
    volume, pixel = _read(path, what, grid, pixel_size)
    if _differs(volume, pixel, grid):
        volume = refit_map(volume, pixel, grid.box, grid.pixel_size)
    return volume, pixel


def fitted_mask(path: str | Path, grid: Grid, pixel_size: float | None = None) -> np.ndarray:
    """Return a mask (box, box, box) float32 of values from 0 to 1 on a grid; `pixel_size` (Å) overrides the header.

    Raises
    ------
    CryosnakeError
        as `fitted_map`; when its values are not those of a mask, it is empty, or it would cut the particle because
        its own box does, or the grid's
    """
    mask, pixel = _read(path, "mask", grid, pixel_size)
    mask = within_one(mask, path)
    if _differs(mask, pixel, grid):
        check_cut(mask, pixel, path, grid)
        mask = np.clip(refit_mask(mask, pixel, grid.box, grid.pixel_size), 0.0, 1.0)
    if not (mask > _INSIDE).any():
        raise CryosnakeError(f"{path} is an empty mask: no value above {_INSIDE:g}; make it with a lower threshold")
    return mask


def calibrated(path: str | Path, other: str | Path, pixel_size: float | None) -> float | None:
    """Return the pixel size of a map in Å where `pixel_size` overrides that of another one: as many times larger.

    None leaves it to the header.
    """
    if pixel_size is None:
        return None
    mine, its = read_header(path), read_header(other)
    if mine.nx == its.nx:
        return pixel_size
    known = min(mine.pixel_size, its.pixel_size) > 0
    return mine.pixel_size * pixel_size / its.pixel_size if known else None


def contradict(pixel_size: float, other: float) -> bool:
    """Return whether two pixel sizes of maps with the same box are so different that one is probably wrong."""
    return max(pixel_size / other, other / pixel_size) > _CONTRADICTION


def check_cut(mask: np.ndarray, pixel_size: float, path: str | Path, grid: Grid) -> None:
    """Check that a mask of `pixel_size` Å keeps what it keeps on a grid; `path` is its file.

    Raises
    ------
    CryosnakeError
        when its own box has cut it, or that of the grid would
    """
    own, new = len(mask) * pixel_size, grid.box * grid.pixel_size
    faces = max(float(side.max()) for axis in range(3) for side in (mask.take(0, axis), mask.take(-1, axis)))
    if own < new - 2.0 * grid.pixel_size and faces > _INSIDE:
        raise CryosnakeError(f"{path}: the mask reaches the faces of its box, {own:.0f} Å wide, and would cut the "
                             f"particle in the {new:.0f} Å of {grid.owner}. Make it from a map of the whole box.")
    reach = math.ceil(new / pixel_size / 2.0) + 1
    middle = len(mask) // 2
    if own <= new or reach >= middle:
        return
    kept = slice(middle - reach, middle + reach + 1)
    outside = mask > _INSIDE
    outside[kept, kept, kept] = False
    if outside.any():
        raise CryosnakeError(f"{path}: the mask, {own:.0f} Å wide, keeps density outside the {new:.0f} Å of "
                             f"{grid.owner}, and would be cut. Is its pixel size right ({pixel_size:.4g} Å)? A larger "
                             "particle needs a larger box.")


def _read(path: str | Path, what: str, grid: Grid, pixel_size: float | None) -> tuple[np.ndarray, float]:
    """Return the map and its pixel size; that of the grid where it is the same, or not known in the same box."""
    volume, pixel = read_cube(str(path))
    box, pixel = len(volume), pixel_size or pixel
    if pixel <= 0 and box != grid.box:
        raise CryosnakeError(f"{path}: the {what} is {box} voxels wide and does not give its pixel size, {grid.owner} "
                             f"are {grid.box} wide. {_header_remedy(path, None)}")
    if pixel <= 0 or (box == grid.box and abs(pixel / grid.pixel_size - 1.0) <= _SAME):
        return volume, grid.pixel_size
    if box == grid.box and contradict(pixel, grid.pixel_size):
        raise CryosnakeError(
            f"{path}: the {what} has {pixel:.4g} Å per voxel, {grid.owner} {grid.pixel_size:.4g} Å, both in a box of "
            f"{box}: probably one of the two is wrong. {_header_remedy(path, grid.pixel_size)} If both are right, give "
            f"it another box with such a job (box: {box + 2}).")
    if _differs(volume, pixel, grid):
        print(f"{path}: the {what}, {box} voxels of {pixel:.4g} Å, is resampled to the {grid} of {grid.owner}")
    return volume, pixel


def _header_remedy(path: str | Path, pixel_size: float | None) -> str:
    """Return how to state the pixel size of a map."""
    value = "Å" if pixel_size is None else f"{pixel_size:.4g}"
    return f"Correct the header with a maptool job (map: {path}, pixel_size: {value})."


def _differs(volume: np.ndarray, pixel_size: float, grid: Grid) -> bool:
    return len(volume) != grid.box or pixel_size != grid.pixel_size
