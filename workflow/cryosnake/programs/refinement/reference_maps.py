"""The maps that a 3D refinement starts from, and its solvent mask, on the grid of the particles."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from cryosnake.errors import CryosnakeError
from cryosnake.io.mrc import read_header
from cryosnake.io.star import read_star
from cryosnake.jobs.options import Class3DOptions, Refine3DOptions
from cryosnake.numerics.refine.sums.maximisation import low_pass
from cryosnake.numerics.symmetry_axes import symmetry_agreement
from cryosnake.programs.maps.fitted_maps import Grid, contradict, fitted_map, fitted_mask
from cryosnake.programs.refinement.estep import reference_scale
from cryosnake.programs.refinement.particles import ParticleSet
from cryosnake.programs.refinement.step import ExpectationStep

_DEGREES = ("30 degrees", "15 degrees", "7.5 degrees", "3.7 degrees", "1.8 degrees", "0.9 degrees", "0.5 degrees",
            "0.2 degrees", "0.1 degrees")
_SYMMETRY_SEEN_AT, _SYMMETRIC = 30.0, 0.45  # Å; see _doubt_symmetry
_NARROWEST = 0.8  # box of a reference, in diameters of the particle: a mask's diameter has a margin


def order_of(text: str, name: str) -> int:
    """Return the HEALPix order of the coarse grid for RELION's name of the step after oversampling."""
    if text not in _DEGREES:
        raise CryosnakeError(f"{name}: {text!r} is not one of {', '.join(_DEGREES)}.")
    return _DEGREES.index(text)


def map_grid(particles: ParticleSet) -> Grid:
    """Return the box and pixel size of maps that are compared with particles."""
    return Grid(particles.box, particles.pixel_size, f"the particles of {particles.path}")


def read_reference(path: str | Path, particles: ParticleSet, options: Class3DOptions | Refine3DOptions,
                   remedy: str = "") -> np.ndarray:
    """Return a reference map for the particles, of any box and pixel size, without what is finer than initial_lowpass.

    Prints a warning where it has not the symmetry that is asked for.

    Raises
    ------
    CryosnakeError
        when it cannot hold the particle, is no map, or is zero; `remedy` ends the message
    """
    volume, pixel = fitted_map(path, "reference", map_grid(particles))
    if not volume.any():
        raise CryosnakeError(f"{path}: the reference is zero everywhere{remedy}.")
    width, diameter = read_header(path).nx * pixel, options.particle_diameter
    if width < _NARROWEST * diameter:
        raise CryosnakeError(f"{path}: the reference is {width:.0f} Å wide, the particle {diameter:g} Å "
                             "(particle_diameter). If its header has a wrong pixel size, correct that with a maptool "
                             f"job (map: {path}, pixel_size: Å).")
    doubt = _doubt_symmetry(path, volume, particles, options.symmetry)
    if doubt:
        print(doubt, flush=True)
    # a projection sums over voxels: as many more as these are smaller
    return low_pass(volume, particles.pixel_size, options.initial_lowpass) * np.float32(particles.pixel_size / pixel)


def _doubt_symmetry(path: str | Path, volume: np.ndarray, particles: ParticleSet, group: str) -> str:
    """Return what is to be said of a reference (box, box, box) that does not have the symmetry asked for, "" if it has.

    Compared at 30 Å: in simulations a map with the symmetry agreed with its turned copies by at least 0.64, under much
    noise, and one of another, or off its axes, by at most 0.32.
    """
    radius = min(max(particles.shell_at(_SYMMETRY_SEEN_AT), 4), particles.box // 2 - 2)
    agreement = symmetry_agreement(volume, group, radius)
    if agreement >= _SYMMETRIC:
        return ""
    return (f"WARNING: {path} does not have the symmetry {group} about its axes: its turned copies correlate by "
            f"{agreement:.2f}, expected at least {_SYMMETRIC:g}. Turn it onto them with a maptool job (symmetry: "
            f"{group}), or set the symmetry of the particle.")


def on_grey_scale(volume: np.ndarray, step: ExpectationStep, name: str,
                  measure: Callable[[ExpectationStep], float] = reference_scale) -> np.ndarray:
    """Return a map, the reference of the step, on the particles' grey scale; `name` is the subject of the message.

    Raises
    ------
    CryosnakeError
        when no such scale is found
    """
    scale = measure(step)
    if not np.isfinite(scale) or scale <= 0:
        raise CryosnakeError(f"{name} does not correlate with the particles at any orientation (scale {scale:g}). Is "
                             "its contrast inverted, or is it another molecule?")
    return volume * np.float32(scale)


def solvent_mask(path: str | Path | None, diameter: float, particles: ParticleSet) -> np.ndarray:
    """Return the solvent mask (box, box, box) of a file, of any box and pixel size, or a soft ball of `diameter` Å.

    Raises
    ------
    CryosnakeError
        when the file's values are not those of a mask, or it would cut the particle
    """
    if path is None:
        return particles.disc(diameter, 3)
    return fitted_mask(path, map_grid(particles))


def reference_names(path: str | Path, classes: int) -> list[str]:
    """Return the files of the reference maps: the path itself, or what a STAR file lists, one for each class.

    Raises
    ------
    CryosnakeError
        when the STAR file lists no map, or neither one nor as many as there are classes
    """
    if not str(path).endswith(".star"):
        return [str(path)]
    tables = read_star(path)
    table = tables.get("model_classes", next(iter(tables.values())))
    if "rlnReferenceImage" not in table:
        raise CryosnakeError(f"{path} has no column rlnReferenceImage. Give a map, the model.star of a 3D "
                             "classification, or a STAR file that lists maps in that column.")
    names = [str(name) for name in table["rlnReferenceImage"]]
    if any("@" in name for name in names):
        raise CryosnakeError(f"{path} lists images ({names[0]}), not maps: it is the model of a 2D classification.")
    if len(names) not in (1, classes):
        raise CryosnakeError(f"{path} lists {len(names)} maps, the job asks for {classes} classes. Set classes: "
                             f"{len(names)}, or give one map that all classes start from.")
    _check_list(path, names)
    return names


def _check_list(path: str | Path, names: list[str]) -> None:
    """Raise CryosnakeError where maps of a list contradict each other."""
    first = read_header(names[0])
    for name in names[1:]:
        other = read_header(name)
        if other.nx == first.nx and min(first.pixel_size, other.pixel_size) > 0 and contradict(
                first.pixel_size, other.pixel_size):
            raise CryosnakeError(f"{path}: {names[0]} has {first.pixel_size:.4g} Å per voxel and {name} "
                                 f"{other.pixel_size:.4g} Å, both in a box of {first.nx}: probably one of the "
                                 "two is wrong. Correct its header with a maptool job (pixel_size), or resample it "
                                 "with one.")
