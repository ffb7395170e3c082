"""MapTool: changes a map, its half maps and its mask alike."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from cryosnake.errors import CryosnakeError
from cryosnake.io.mrc import write_mrc
from cryosnake.jobs.forms import Progress
from cryosnake.jobs.options import MapToolOptions
from cryosnake.numerics.alignment import mirror, transform_map
from cryosnake.numerics.filters import low_pass
from cryosnake.numerics.map_resample import refit_map, refit_mask
from cryosnake.numerics.symmetry_axes import find_axes
from cryosnake.programs.maps.fitted_maps import Grid, calibrated, check_cut, fitted_map, fitted_mask
from cryosnake.programs.maps.maskcreate_maps import read_map
from cryosnake.programs.maps.postprocess_inputs import read_halves

MAP, HALVES, MASK = "map.mrc", ("half1_map.mrc", "half2_map.mrc"), "mask.mrc"
_AXES_RESOLUTION = 20.0  # Å, that the search of axes uses at most
_SYMMETRIC = 0.3  # mean correlation with turned copies: 0.2 for maps without the symmetry, 0.3 to 0.6 for noisy ones
Volumes = dict[str, np.ndarray]  # by their files


def run(options: MapToolOptions, inputs: Mapping[str, str | Path], out: str | Path, progress: Progress) -> None:
    """Write map.mrc, half1_map.mrc, half2_map.mrc and mask.mrc, those whose inputs are given, below `out`.

    Raises
    ------
    CryosnakeError
        when there is nothing to do, maps do not fit together, a mask would be cut, or a map has not the symmetry
    """
    given = {slot: str(path) for slot, path in inputs.items() if path}
    _check(options, given)
    progress(0, 3, "reading the maps")
    volumes, pixel_size = _read(options, given)
    progress(1, 3, "changing them")
    if options.invert:
        volumes = {name: volume if name == MASK else -volume for name, volume in volumes.items()}
    if options.flip_hand:
        volumes = {name: mirror(volume) for name, volume in volumes.items()}
    if options.symmetry is not None:
        volumes = _on_axes(volumes, pixel_size, options.symmetry, next(iter(given.values())))
    volumes, pixel_size = _on_grid(volumes, pixel_size, options, given.get("mask", ""))
    if MAP in volumes:
        volumes[MAP] = _finished(volumes, pixel_size, options)
    progress(2, 3, "writing them")
    for name, volume in volumes.items():
        write_mrc(Path(out) / name, volume, pixel_size)
    progress(3, 3, "done")


def _check(options: MapToolOptions, given: Mapping[str, str]) -> None:
    """Raise CryosnakeError where there is nothing to change, or to do."""
    if not {"map", "half_maps"} & set(given):
        raise CryosnakeError("maptool: there is nothing to change; connect a map, half_maps, or both")
    if "second" in given and "map" not in given:
        raise CryosnakeError("maptool: a second map is joined with a map, not with half maps; connect `map`")
    wanted = (options.pixel_size, options.invert, options.flip_hand, options.symmetry, options.new_pixel_size,
              options.box, options.low_pass, "second" in given, "mask" in given and options.apply_mask)
    if not any(wanted):
        raise CryosnakeError("maptool: nothing is to be done; set flip_hand, invert, symmetry, new_pixel_size, box, "
                             "low_pass or pixel_size, or connect a mask or a second map")


def _read(options: MapToolOptions, given: Mapping[str, str]) -> tuple[Volumes, float]:
    """Return the volumes on the grid of the map (or of the half maps), and its pixel size in Å."""
    volumes: Volumes = {}
    first = given.get("map") or given["half_maps"]
    if "map" in given:
        volumes[MAP], pixel_size = read_map(first, options.pixel_size)
    if "half_maps" in given:
        halves = read_halves(given["half_maps"], options.pixel_size)
        volumes |= dict(zip(HALVES, (halves.half1, halves.half2), strict=True))
        pixel_size = halves.pixel_size
        if MAP in volumes:
            _check_same(first, volumes[MAP], given["half_maps"], halves.half1)
    grid = Grid(len(next(iter(volumes.values()))), pixel_size, first)
    if "second" in given:
        path = given["second"]
        other, _ = fitted_map(path, "second map", grid, calibrated(path, first, options.pixel_size))
        volumes[MAP] = (volumes[MAP] + other) * np.float32(0.5 if options.combine == "average" else 1.0)
    if "mask" in given:
        volumes[MASK] = fitted_mask(given["mask"], grid, calibrated(given["mask"], first, options.pixel_size))
    return volumes, pixel_size


def _check_same(name: str, volume: np.ndarray, half_name: str, half: np.ndarray) -> None:
    if volume.shape != half.shape:
        raise CryosnakeError(f"{name} has a box of {len(volume)} voxels, {half_name} one of {len(half)}; give map and "
                             "half maps of one refinement, or change them in two jobs")


def _on_axes(volumes: Volumes, pixel_size: float, group: str, path: str) -> Volumes:
    """Return the volumes turned and shifted so that the axes of a point group are where RELION expects them."""
    density = volumes[MAP] if MAP in volumes else volumes[HALVES[0]] + volumes[HALVES[1]]
    box = len(density)
    radius = min(max(int(box * pixel_size / _AXES_RESOLUTION), 4), box // 2 - 2)
    axes = find_axes(density * volumes.get(MASK, np.float32(1.0)), group, radius)
    if axes.agreement < _SYMMETRIC:
        raise CryosnakeError(f"{path}: the map has not the symmetry {group}: its turned copies correlate by "
                             f"{axes.agreement:.2f} at best, expected at least {_SYMMETRIC:g}. Leave symmetry out, or "
                             "set that of the particle.")
    moved = pixel_size * float(np.linalg.norm(axes.alignment.shift))
    print(f"axes of {group} found at {box * pixel_size / radius:.0f} Å; the turned copies of the map correlate by "
          f"{axes.agreement:.2f}; moved by {moved:.1f} Å")
    return {name: transform_map(volume, axes.alignment, order=1 if name == MASK else 5)
            for name, volume in volumes.items()}


def _on_grid(volumes: Volumes, pixel_size: float, options: MapToolOptions, mask: str) -> tuple[Volumes, float]:
    """Return the volumes in the box and at the pixel size that are wanted; `mask` is the mask's file, for messages."""
    old = len(next(iter(volumes.values())))
    wanted = options.new_pixel_size or pixel_size
    same_extent = old if wanted == pixel_size else 2 * round(old * pixel_size / wanted / 2)
    box = options.box or same_extent
    grid = Grid(box, wanted, "the new box")
    if (box, wanted) == (old, pixel_size):
        return volumes, pixel_size
    print(f"{old} voxels of {pixel_size:.4g} Å become {grid}")
    if MASK in volumes:
        check_cut(volumes[MASK], pixel_size, mask, grid)
    return {name: (refit_mask if name == MASK else refit_map)(volume, pixel_size, box, wanted)
            for name, volume in volumes.items()}, wanted


def _finished(volumes: Volumes, pixel_size: float, options: MapToolOptions) -> np.ndarray:
    """Return the map, low-passed and masked where that is wanted."""
    volume = volumes[MAP]
    if options.low_pass:
        volume = low_pass(volume, options.low_pass, pixel_size)
    if options.apply_mask and MASK in volumes:
        volume = volume * volumes[MASK]
    if not volume.any():
        raise CryosnakeError("maptool: nothing is left of the map; check its mask, and the second map")
    return volume
