"""Templates for picking, from a map or from class averages."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from cryosnake.errors import CryosnakeError
from cryosnake.io.mrc import read_header, read_images, read_mrc
from cryosnake.io.star import read_star
from cryosnake.jobs.options import AutoPickOptions
from cryosnake.numerics.picking.templates import TemplateBank, TemplateSettings, project_templates, rotate_templates


def load_templates(options: AutoPickOptions, inputs: Mapping[str, Path], pixel_size: float, diameter: float,
                   ) -> TemplateBank:
    """Return the templates at `pixel_size` Å for particles of `diameter` Å.

    Raises
    ------
    CryosnakeError
        if there is not exactly one reference, its pixel size is not known, it is not finite, blank or smaller than the
        particle, or its pixels are too large for the low-pass filter
    """
    given = [slot for slot in ("reference", "references") if slot in inputs]
    if len(given) != 1:
        raise CryosnakeError("autopick: method: template needs templates; connect either `reference` (a map) or "
                             "`references` (class averages)")
    path = Path(inputs[given[0]])
    settings = TemplateSettings(pixel_size=pixel_size, diameter=diameter, lowpass=options.lowpass,
                                psi_step=options.psi_step)
    if given == ["reference"]:
        volume, own = read_mrc(path)
        if volume.ndim != 3 or len(set(volume.shape)) != 1 or volume.shape[0] % 2:
            raise CryosnakeError(f"{path}: a map with three equal, even sides is needed, this one is "
                                 f"{' × '.join(map(str, volume.shape[::-1]))}; connect class averages as `references`")
        own = _check(path, volume[None], own, options, diameter)
        return project_templates(volume, own, settings, options.angular_step, options.symmetry)
    images, own = read_averages(path)
    own = _check(path, images, own, options, diameter)
    return rotate_templates(images, own, settings)


def read_averages(path: Path) -> tuple[np.ndarray, float]:
    """Read a stack (n, box, box), or the images named by a STAR file, without empty classes; and their pixel size.

    Raises
    ------
    CryosnakeError
        if nothing is left
    """
    if path.suffix == ".star":
        names = _names(path)
        images, pixel_size = read_images(names), read_header(names[0].partition("@")[2] or names[0]).pixel_size
    else:
        images, pixel_size = read_mrc(path)
        images = images.reshape(-1, *images.shape[-2:])
    finite = np.isfinite(images).all((1, 2))
    filled = ~finite | (images.reshape(len(images), -1).std(1) > 0)  # non-finite values raise an error later
    if not filled.any():
        raise CryosnakeError(f"{path}: all templates are blank; choose other class averages")
    return images[filled], pixel_size


def _names(path: Path) -> list[str]:
    for table in read_star(path).values():
        for label in ("rlnReferenceImage", "rlnImageName"):
            if label in table and len(table):
                return [str(name) for name in table[label]]
    raise CryosnakeError(f"{path}: no rlnReferenceImage with names of class averages; connect class_averages.star of a "
                         "Select job, or a stack (.mrcs)")


def _check(path: Path, images: np.ndarray, pixel_size: float, options: AutoPickOptions, diameter: float) -> float:
    """Check the images and return their pixel size in Å."""
    if not np.isfinite(images).all():
        raise CryosnakeError(f"{path}: contains NaN or infinite values; make the reference again")
    if not images.std() > 0:
        raise CryosnakeError(f"{path}: is blank; connect another reference")
    if images.shape[-1] != images.shape[-2]:
        raise CryosnakeError(f"{path}: templates must be square, these are {images.shape[-1]} × {images.shape[-2]}")
    pixel_size = options.reference_pixel_size or pixel_size
    if not pixel_size > 0:
        raise CryosnakeError(f"{path}: the header has no pixel size; set reference_pixel_size")
    if 2.0 * pixel_size > options.lowpass:
        raise CryosnakeError(f"{path}: pixels of {pixel_size:g} Å resolve nothing finer than {2 * pixel_size:g} Å; set "
                             f"lowpass to that or more (or correct a wrong pixel size with reference_pixel_size)")
    if images.shape[-1] * pixel_size < 0.9 * diameter:
        raise CryosnakeError(f"{path}: a box of {images.shape[-1] * pixel_size:.0f} Å ({images.shape[-1]} px of "
                             f"{pixel_size:g} Å) is too small for a particle of {diameter:g} Å; is the pixel size in "
                             "its header wrong (reference_pixel_size), or the diameter too large?")
    return float(pixel_size)
