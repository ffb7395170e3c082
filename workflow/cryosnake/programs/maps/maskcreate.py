"""MaskCreate: a soft solvent mask from a map (or from the mean of two half maps)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from cryosnake.errors import CryosnakeError
from cryosnake.io.mrc import write_mrc
from cryosnake.jobs.forms import Progress
from cryosnake.jobs.options import MaskCreateOptions
from cryosnake.numerics.backend import Array, choose_device, to_device, to_numpy
from cryosnake.numerics.filters import low_pass
from cryosnake.numerics.masking import (
    Threshold,
    automatic_threshold,
    drop_small_parts,
    enclosed_mass,
    solvent_mask,
    threshold_for_mass,
)
from cryosnake.programs.maps.maskcreate_maps import half_names, read_map


def run(options: MaskCreateOptions, inputs: Mapping[str, str | Path], out: str | Path, progress: Progress) -> None:
    """Write `mask.mrc` from `inputs["map"]`.

    Raises
    ------
    CryosnakeError
        when the map cannot be used, or nothing (or everything) lies above the threshold
    """
    progress(0, 2, "reading the map")
    path = str(inputs["map"])
    volume, pixel_size = _read(path, options.pixel_size)
    mask = make_mask(to_device(volume, choose_device(options.device)), pixel_size, options, path)
    progress(1, 2, "writing the mask")
    write_mrc(Path(out) / "mask.mrc", to_numpy(mask), pixel_size)
    progress(2, 2, "done")


def make_mask(volume: Array, pixel_size: float, options: MaskCreateOptions, path: str) -> Array:
    """Return the soft mask of a map; prints the choices made."""
    filtered = low_pass(volume, options.low_pass, pixel_size) if options.low_pass > 0 else volume
    threshold = _threshold(filtered, pixel_size, options, path)
    print(f"threshold {threshold.value:.6g} ({threshold.method}); encloses the volume of "
          f"{threshold.enclosed_mass:.0f} kDa of protein")
    binary = filtered > threshold.value
    _check_share(float(binary.mean()), threshold.value, float(filtered.max()), path)
    binary, dropped = drop_small_parts(binary, options.smallest_part)
    if dropped:
        print(f"left out {dropped} loose part(s) smaller than {options.smallest_part:g} of the largest one")
    scale = pixel_size if options.unit == "angstrom" else 1.0
    mask = solvent_mask(binary, options.extend / scale, options.soft_edge / scale)
    if not bool((mask > 0).any()):
        raise CryosnakeError(f"{path}: nothing is left of the mask after shrinking it by {-options.extend:g} "
                             f"{options.unit}s; set extend to a larger value")
    print(f"mask: {float(mask.mean()):.1%} of the box, {float((mask > 0).mean()):.1%} with its edge")
    return mask


def _read(path: str, pixel_size: float | None) -> tuple[np.ndarray, float]:
    volume, size = read_map(path, pixel_size)
    second = next((name for name in half_names(path) or () if name != path), None)
    if second is None or not Path(second).exists():
        return volume, size
    print(f"using the mean of {path} and {second}")
    other, _ = read_map(second, pixel_size)
    if other.shape != volume.shape:
        raise CryosnakeError(f"{path} and {second} have boxes of {volume.shape[0]} and {other.shape[0]} voxels; half "
                             "maps of one refinement have the same size")
    return 0.5 * (volume + other), size


def _threshold(filtered: Array, pixel_size: float, options: MaskCreateOptions, path: str) -> Threshold:
    if options.threshold is not None:
        return Threshold(options.threshold, enclosed_mass(filtered, options.threshold, pixel_size), "as given")
    if options.molecular_weight is None:
        return automatic_threshold(filtered, pixel_size)
    try:
        return threshold_for_mass(filtered, options.molecular_weight, pixel_size)
    except ValueError as error:
        raise CryosnakeError(f"{path}: {error}; correct molecular_weight (in kDa) or the pixel size "
                             f"({pixel_size:g} Å)") from None


def _check_share(share: float, threshold: float, maximum: float, path: str) -> None:
    if share == 0.0:
        raise CryosnakeError(f"{path}: no voxel is above the threshold {threshold:g}; the low-passed map's largest "
                             f"value is {maximum:g}; lower the threshold or leave it out")
    if share > 0.9:
        raise CryosnakeError(f"{path}: {share:.0%} of the box is above the threshold {threshold:g}; raise it or "
                             "leave it out")
