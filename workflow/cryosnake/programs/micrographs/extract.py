"""Extract: particle images, one micrograph at a time."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cryosnake.errors import CryosnakeError, Rejected
from cryosnake.io.checked_numbers import checked_field, number_of
from cryosnake.io.mrc import write_mrc
from cryosnake.io.star import write_star
from cryosnake.jobs.forms import Partly
from cryosnake.jobs.options import ExtractOptions
from cryosnake.numerics.backend import Array, choose_device, to_device, to_numpy
from cryosnake.numerics.extraction.boxes import cut_boxes, outside, rescale
from cryosnake.numerics.extraction.normalise import DustLimits, background, default_background_radius, normalise
from cryosnake.programs.micrographs.extract_again import (
    Refined,
    again,
    image_optics,
    read_refined,
    refined_optics,
    unknown_micrographs,
)
from cryosnake.programs.micrographs.extract_inputs import picked_elsewhere, read_coordinates, read_micrograph
from cryosnake.programs.micrographs.optics_values import optics_value, say_optics

# Columns that a particle inherits from its micrograph, in RELION's order, and those that RELION adds.
QUALITY_COLUMNS = ("rlnCtfMaxResolution", "rlnCtfFigureOfMerit")
CTF_COLUMNS = ("rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle")
CTF_EXTRA = {"rlnCtfBfactor": 0.0, "rlnCtfScalefactor": 1.0, "rlnPhaseShift": 0.0}
AT_ONCE = 1 << 26  # pixels of boxes in memory at a time


@dataclass(frozen=True, kw_only=True)
class ExtractState:
    """Settings shared by all micrographs of an optics group; `pixels` is the background, None without normalisation."""

    pixel_size: float  # Å, of the micrograph
    box: int
    size: int
    sign: float
    pixels: np.ndarray | None
    dust: DustLimits
    float16: bool
    device: str
    refined: Refined | None


def prepare(options: ExtractOptions, optics: Mapping[str, Any], inputs: Mapping[str, Path]) -> ExtractState:
    """Return the settings for one optics group, and the particles to extract again if given.

    Raises
    ------
    CryosnakeError
        if a size is odd, the background is empty, or neither or both of coordinates and particles are given
    """
    size = options.rescale or options.box_size
    for name, value in (("box_size", options.box_size), ("rescale", size)):
        if value % 2:
            raise CryosnakeError(f"extract: {name} is {value}; refinement needs an even box, set {value + 1}")
    if ("coordinates" in inputs) == ("particles" in inputs):
        raise CryosnakeError("extract: connect either `coordinates` (of AutoPick) or `particles` (to extract again)")
    refined = read_refined(inputs["particles"], options) if "particles" in inputs else None
    if refined is None and (options.recenter or options.reset_offsets):
        raise CryosnakeError("extract: recenter and reset_offsets are for refined particles; connect `particles`, or "
                             "leave them out")
    pixel_size = optics_value(optics, "rlnMicrographPixelSize")
    say_optics(optics, f"{pixel_size:g} Å per pixel")
    return ExtractState(pixel_size=pixel_size, box=options.box_size, size=size,
                        sign=-1.0 if options.invert else 1.0,
                        pixels=_background(options, size) if options.normalise else None,
                        dust=DustLimits(options.white_dust, options.black_dust), float16=options.float16,
                        device=choose_device(options.device), refined=refined)


def process(row: Mapping[str, Any], optics: Mapping[str, Any], state: ExtractState, root: Path,
            ) -> list[dict[str, Any]] | Partly:
    """Extract the particles of one micrograph, write `{root}.mrcs` and `{root}_extract.star`; return their rows.

    Particles whose coordinates are no numbers or lie off the micrograph are left out.

    Raises
    ------
    Rejected
        if the micrograph has no particles
    CryosnakeError
        if the micrograph or its coordinates are missing or damaged, the box is larger than the micrograph, none of its
        particles lies on it, or its CTF is not numbers
    """
    table = _particles(row, state)
    path, micrograph = read_micrograph(row)
    usable, left_out = _usable(path, micrograph.shape, _positions(table), state.box)
    table = table[usable].reset_index(drop=True)
    positions = _positions(table)
    images = _images(to_device(micrograph, state.device), positions, state, root)
    stack = root.with_name(root.name + ".mrcs")
    write_mrc(stack, images, state.pixel_size * state.box / state.size, stack=True,
              float16=state.float16)
    names = [f"{number:06d}@{stack.as_posix()}" for number in range(1, len(table) + 1)]
    if state.refined is None:
        table = _with_micrograph(table, row, names)
    else:
        table = _with_ctf(table, row).assign(rlnImageName=names)
    write_star(root.with_name(root.name + "_extract.star"), {"images": table})
    rows = [{str(label): value for label, value in record.items()} for record in table.to_dict("records")]
    return Partly(rows, left_out) if left_out else rows


def unknown(state: ExtractState, names: Collection[str]) -> dict[str, dict[str, str]]:
    """Return the micrographs of the particles to extract again that are none of these; see `PerMicrograph`."""
    return {} if state.refined is None else {str(state.refined.path): unknown_micrographs(state.refined, names)}


def optics_of_output(groups: list[dict[str, Any]], options: ExtractOptions, inputs: Mapping[str, Path],
                     ) -> list[dict[str, Any]]:
    """Return the optics table of the particles: the micrographs', or, extracted again, the particles' own."""
    size = options.rescale or options.box_size
    if "particles" in inputs:
        return refined_optics(inputs["particles"], groups, options.box_size, size)
    return [image_optics(group, options.box_size, size) for group in groups]


def _background(options: ExtractOptions, size: int) -> np.ndarray:
    radius: float = default_background_radius(options.box_size, size)
    if options.background_diameter is not None:
        radius = np.floor(0.5 * options.background_diameter * size / options.box_size)
    try:
        return background(size, radius)
    except ValueError as error:
        raise CryosnakeError(f"extract: {error}; set a smaller background_diameter, or a larger box_size") from error


def _particles(row: Mapping[str, Any], state: ExtractState) -> pd.DataFrame:
    if state.refined is None:
        table = picked_elsewhere(read_coordinates(row), row)
    else:
        table = again(state.refined, str(row["rlnMicrographName"]), state.pixel_size)
        if not state.refined.optics:
            table = table.assign(rlnOpticsGroup=int(row["rlnOpticsGroup"]))
    if len(table) == 0:
        raise Rejected(f"{row['rlnMicrographName']}: it has no particles")
    return table


def _positions(table: pd.DataFrame) -> np.ndarray:
    return table[["rlnCoordinateX", "rlnCoordinateY"]].to_numpy(np.float64)


def _usable(path: Path, shape: tuple[int, ...], positions: np.ndarray, box: int) -> tuple[np.ndarray, str]:
    """Return which particles (n,) have numbers for coordinates and a box on the micrograph, and why others have not."""
    if box > min(shape):
        raise CryosnakeError(f"{path} has {shape[1]} × {shape[0]} pixels, less than the box of {box}; set a smaller "
                             "box_size")
    numbers = np.isfinite(positions).all(1)
    off = numbers.copy()
    off[numbers] = outside(positions[numbers], box, (shape[0], shape[1]))
    reasons = []
    if not numbers.all():
        reasons.append(f"a coordinate of {np.count_nonzero(~numbers)} particle(s) is not a number; pick it again")
    if off.any():
        x, y = positions[off][0]
        reasons.append(f"the box of {off.sum()} particle(s) lies off the micrograph of {shape[1]} × {shape[0]} pixels, "
                       f"the first at x {x:g}, y {y:g}; were they picked at another pixel size?")
    usable = numbers & ~off
    if not usable.any():
        raise CryosnakeError(f"{path}: {' '.join(reasons)}")
    return usable, f"{len(usable) - usable.sum()} of {len(usable)} left out: {' '.join(reasons)}" if reasons else ""


def _images(micrograph: Array, positions: np.ndarray, state: ExtractState, root: Path) -> np.ndarray:
    """Return finished images (n, size, size) float32."""
    # The same dust is always replaced by the same noise, whenever and wherever the micrograph is extracted.
    rng = np.random.default_rng(zlib.crc32(root.name.encode()))
    result = np.empty((len(positions), state.size, state.size), np.float32)
    step = max(1, AT_ONCE // state.box**2)
    for start in range(0, len(positions), step):
        part = slice(start, start + step)
        images = rescale(cut_boxes(micrograph, positions[part], state.box), state.size)
        if state.pixels is not None:
            images = normalise(images, state.pixels, state.dust, rng)
        result[part] = to_numpy(state.sign * images)
    return result


def _with_ctf(table: pd.DataFrame, row: Mapping[str, Any]) -> pd.DataFrame:
    """Return particles to extract again, with the micrograph's CTF where they have none."""
    if "rlnDefocusU" in table or "rlnDefocusU" not in row:
        return table
    return table.assign(**{label: value for label, value in _ctf(row).items() if label not in table})


def _ctf(row: Mapping[str, Any]) -> dict[str, float]:
    found = {label: number_of(row[label]) for label in QUALITY_COLUMNS if label in row}
    found |= {label: checked_field(row, label) for label in CTF_COLUMNS if label in row}
    if "rlnDefocusU" in row:
        found |= {label: checked_field(row, label, default) for label, default in CTF_EXTRA.items()}
    return found


def _with_micrograph(table: pd.DataFrame, row: Mapping[str, Any], names: list[str]) -> pd.DataFrame:
    """Return coordinates, then image, micrograph and optics group, then CTF, in RELION's order."""
    columns: dict[str, Any] = {"rlnImageName": names, "rlnMicrographName": row["rlnMicrographName"],
                               "rlnOpticsGroup": int(row["rlnOpticsGroup"])}
    columns |= _ctf(row)
    return table.drop(columns=[label for label in columns if label in table]).assign(**columns)
