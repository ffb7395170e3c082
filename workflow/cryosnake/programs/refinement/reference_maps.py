"""Reading the inputs of a 3D refinement: reference maps and solvent mask, checked against the particles."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from cryosnake.errors import CryosnakeError
from cryosnake.io.mrc import read_mrc, within_one
from cryosnake.io.star import read_star
from cryosnake.numerics.refine.sums.maximisation import low_pass
from cryosnake.programs.refinement.estep import reference_scale
from cryosnake.programs.refinement.particles import ParticleSet
from cryosnake.programs.refinement.step import ExpectationStep

_DEGREES = ("30 degrees", "15 degrees", "7.5 degrees", "3.7 degrees", "1.8 degrees", "0.9 degrees", "0.5 degrees",
            "0.2 degrees", "0.1 degrees")


def order_of(text: str, name: str) -> int:
    """Return the HEALPix order of the coarse grid for RELION's name of the step after oversampling."""
    if text not in _DEGREES:
        raise CryosnakeError(f"{name}: {text!r} is not one of {', '.join(_DEGREES)}.")
    return _DEGREES.index(text)


def read_map(path: str | Path, what: str, particles: ParticleSet) -> np.ndarray:
    """Return a map (box, box, box) that fits the particles; `what` names it in messages.

    Raises
    ------
    CryosnakeError
        when it contains NaN, or has another box or pixel size than the particles
    """
    volume, pixel = read_mrc(path)
    if not np.isfinite(volume).all():
        raise CryosnakeError(f"{path}: the {what} contains NaN or infinite values. Make it again.")
    remedy = ("Rescale it, for example with relion_image_handler --rescale_angpix "
              f"{particles.pixel_size:g} --new_box {particles.box}.")
    if volume.shape != (particles.box,) * 3:
        raise CryosnakeError(f"{path}: the {what} is {' × '.join(map(str, volume.shape))} voxels, the particles of "
                             f"{particles.path} are {particles.box} pixels wide. {remedy}")
    if pixel > 0 and abs(pixel / particles.pixel_size - 1.0) > 0.01:
        raise CryosnakeError(f"{path}: the {what} has {pixel:g} Å per voxel, the particles of {particles.path} "
                             f"{particles.pixel_size:g}. {remedy}")
    return volume


def read_reference(path: str | Path, particles: ParticleSet, resolution: float, remedy: str = "") -> np.ndarray:
    """Return a reference map that fits the particles, without what is finer than a resolution in Å.

    Raises
    ------
    CryosnakeError
        when it does not fit, or is zero; `remedy` ends the message
    """
    volume = read_map(path, "reference", particles)
    if not volume.any():
        raise CryosnakeError(f"{path}: the reference is zero everywhere{remedy}.")
    return low_pass(volume, particles.pixel_size, resolution)


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
    """Return the solvent mask (box, box, box) of a file, or a soft ball of `diameter` Å.

    Raises
    ------
    CryosnakeError
        when the file's values are not those of a mask, or it does not fit the particles
    """
    if path is None:
        return particles.disc(diameter, 3)
    return within_one(read_map(path, "mask", particles), path)


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
    return names
