"""Inputs of PostProcess and LocalRes: two half maps and a mask that fit together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cryosnake.errors import CryosnakeError
from cryosnake.programs.maps.fitted_maps import Grid, calibrated, fitted_mask
from cryosnake.programs.maps.maskcreate_maps import half_names, read_map


@dataclass(frozen=True, kw_only=True)
class Halves:
    """Two half maps (box, box, box) float32, their names and their pixel size in Å."""

    half1: np.ndarray
    half2: np.ndarray
    pixel_size: float
    name1: str
    name2: str


def read_halves(path: str, pixel_size: float | None) -> Halves:
    """Return both half maps, one of which is `path`; `pixel_size` (Å) overrides the headers.

    Raises
    ------
    CryosnakeError
        when a map is missing, broken, or does not fit the other
    """
    name1, name2 = _names(path)
    half1, size = read_map(name1, pixel_size)
    half2, size2 = read_map(name2, pixel_size)
    halves = Halves(half1=half1, half2=half2, pixel_size=size, name1=name1, name2=name2)
    _check_fit(name2, half2, size2, halves)
    if np.array_equal(half1, half2):
        raise CryosnakeError(f"{name1} and {name2} are the same map; give the unfiltered half maps of a refinement of "
                             "two independent halves")
    return halves


def read_mask(path: str, halves: Halves, pixel_size: float | None) -> np.ndarray:
    """Return the mask (box, box, box) of the half maps, 0 to 1, whatever its own box and pixel size.

    Raises
    ------
    CryosnakeError
        when it is none, is empty or keeps the whole box, or would cut the particle
    """
    grid = Grid(len(halves.half1), halves.pixel_size, halves.name1)
    mask = fitted_mask(path, grid, calibrated(path, halves.name1, pixel_size))
    if mask.min() > 0.5:
        raise CryosnakeError(f"{path} covers the whole box: no value below 0.5; make it with a higher threshold")
    return mask


def _check_fit(name: str, volume: np.ndarray, size: float, halves: Halves) -> None:
    if volume.shape != halves.half1.shape:
        raise CryosnakeError(f"{name} has a box of {volume.shape[0]} voxels, {halves.name1} one of "
                             f"{halves.half1.shape[0]}; make it again from maps of this refinement")
    if abs(size - halves.pixel_size) > 0.01 * halves.pixel_size:
        raise CryosnakeError(f"{name} has a pixel size of {size:.4g} Å, {halves.name1} one of "
                             f"{halves.pixel_size:.4g} Å; make it again, or set pixel_size when a header is wrong")


def _names(path: str) -> tuple[str, str]:
    names = half_names(path)
    if names is None:
        raise CryosnakeError(f"{path}: the name of a half map contains half1 or half2, half_A or half_B, half_map_1 or "
                             "half_map_2, by which the other is found; rename both, or give "
                             "run_half1_class001_unfil.mrc of a refinement")
    for name in names:
        if not Path(name).exists():
            raise CryosnakeError(f"{name}, the other half of {path}, does not exist; both halves of the refinement are "
                                 "needed")
    return names
