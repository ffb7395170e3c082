"""LocalRes: local resolution of two half maps and their locally filtered mean."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from cryosnake.errors import CryosnakeError
from cryosnake.io.mrc import write_mrc
from cryosnake.jobs.forms import Progress
from cryosnake.jobs.options import LocalResOptions
from cryosnake.numerics.backend import choose_device, to_device, to_numpy
from cryosnake.numerics.local_resolution.estimate import LocalResolution, ScanSettings, local_resolution
from cryosnake.numerics.local_resolution.window import Window
from cryosnake.programs.maps.detector_mtf import detector_mtf
from cryosnake.programs.maps.postprocess_inputs import Halves, read_halves, read_mask


def run(options: LocalResOptions, inputs: Mapping[str, str | Path], out: str | Path, progress: Progress) -> None:
    """Write relion_locres.mrc (Å per voxel) and relion_locres_filtered.mrc below `out`.

    Raises
    ------
    CryosnakeError
        when the half maps or the mask cannot be used together, or do not agree anywhere
    """
    progress(0, 1, "reading the maps")
    halves = read_halves(str(inputs["half_maps"]), options.pixel_size)
    mask = read_mask(str(inputs["mask"]), halves, options.pixel_size) if inputs.get("mask") else None
    result = estimate(halves, mask, options, progress)
    resolution, density, folder = to_numpy(result.resolution), to_numpy(result.filtered), Path(out)
    _report(resolution if mask is None else resolution[mask > 0.5], halves, options)
    write_mrc(folder / "relion_locres.mrc", resolution, halves.pixel_size)
    write_mrc(folder / "relion_locres_filtered.mrc", density, halves.pixel_size)


def estimate(halves: Halves, mask: np.ndarray | None, options: LocalResOptions, progress: Progress) -> LocalResolution:
    """Return local resolution and filtered map of checked half maps."""
    box = halves.half1.shape[0]
    if box % 2:
        raise CryosnakeError(f"{halves.name1} has a box of {box} voxels; local resolution needs an even box: refine "
                             "with one, or pad both half maps and the mask by a voxel")
    window = _window(options)
    reach, box_size = window.radius + window.edge, box * halves.pixel_size
    if 2.0 * reach > box_size:
        raise CryosnakeError(f"the sphere of local FSCs is {2 * reach:.0f} Å wide with its edge, the box "
                             f"{box_size:.0f} Å; set a smaller sampling (or window_radius and window_edge), or check "
                             "the pixel size")
    device = choose_device(options.device)
    settings = ScanSettings(sampling=options.sampling, window=window, lowest=options.lowest_resolution,
                            threshold=options.threshold, transfer=_transfer(options, box, halves.pixel_size))
    return local_resolution(
        to_device(halves.half1, device), to_device(halves.half2, device), halves.pixel_size,
        None if mask is None else to_device(mask, device), settings,
        progress=lambda done, total: progress(done, total, "bands of shells"))


def _window(options: LocalResOptions) -> Window:
    """Return the window, with RELION's defaults where the options do not set it."""
    return Window(0.5 * options.sampling if options.window_radius is None else options.window_radius,
                  options.sampling if options.window_edge is None else options.window_edge)


def _transfer(options: LocalResOptions, box: int, pixel_size: float) -> np.ndarray:
    """Return sharpening exp(−B s² / 4) over the MTF, per shell."""
    frequency = np.arange(box // 2 + 1) / (box * pixel_size)
    factor = np.exp(-0.25 * options.b_factor * frequency**2)
    mtf = detector_mtf(options.mtf, frequency, pixel_size, options.mtf_pixel_size)
    return factor if mtf is None else factor / mtf


def _report(inside: np.ndarray, halves: Halves, options: LocalResOptions) -> None:
    """Print the distribution of resolution (Å) over the voxels inside."""
    lowest, window = options.lowest_resolution, _window(options)
    if inside.min() >= lowest * (1.0 - 1e-4):
        raise CryosnakeError(f"{halves.name1} and {halves.name2} do not agree anywhere beyond {lowest:g} Å; are they "
                             "halves of one refinement, and does the mask cover the particle?")
    tenth, first, median, third, last = np.percentile(inside, (10, 25, 50, 75, 90))
    print(f"local resolution: median {median:.2f} Å; half of the voxels between {first:.2f} and {third:.2f} Å, eight "
          f"of ten between {tenth:.2f} and {last:.2f} Å")
    if median > 0.5 * window.diameter:
        print(f"warning: this is no better than half the window ({window.diameter:.0f} Å wide), which noise alone "
              "would give; the half maps hardly agree, or the window is too small for this map")
    if tenth <= 2.02 * halves.pixel_size:
        print(f"parts reach the Nyquist frequency ({2 * halves.pixel_size:.2f} Å): the pixel size limits them")
