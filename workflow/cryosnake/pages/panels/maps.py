"""Panels of maps: slices, masks, initial models, local resolution."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from cryosnake.io.mrc import read_mrc
from cryosnake.json_files import read_json
from cryosnake.pages.blocks.charts import Guide, histogram
from cryosnake.pages.blocks.panel import BAD, GOOD, Panel
from cryosnake.pages.blocks.pictures import Gallery, Picture, colour_uri, grey_uri, shrunk
from cryosnake.pages.panels.view import JobView
from cryosnake.report.panels.map import central_slices, content_window


def map_slices(job: JobView) -> Panel | None:
    """Return central slices and projections of the job's map."""
    path = map_file(job)
    if path is None:
        return None
    volume, pixel_size = read_mrc(path)
    volume = volume[content_window(volume)]
    sampling = f"{pixel_size:.3f} Å per pixel" if pixel_size else "its header has no pixel size"
    contrast = (float(np.percentile(volume, 1.0)), float(np.percentile(volume, 99.9)))
    slices = central_slices(volume)
    shown = [_slice(f"slice {name}", image, contrast) for name, image in slices.items()]
    shown += [_slice(f"projection {name}", volume.sum(axis), None) for axis, name in enumerate(slices)]
    return Panel(title="Map", verdict=f"{path.name}: {sampling}.", wide=True,
                 blocks=[Gallery(pictures=shown)],
                 caption="Density is light. Good: sharp inside, flat outside. Bad: streaks along one direction, "
                 "rings around the centre, noise that is as strong as the particle.")


def mask(job: JobView) -> Panel | None:
    """Return central slices and projections of a mask."""
    panel = map_slices(job)
    return panel and replace(panel, title="Mask", caption="White is kept, the soft edge is grey. Good: follows the "
                             "particle with some room around it. Bad: cuts into density, follows noise, or is a ball.")


def convergence(job: JobView) -> Panel | None:
    """Return whether an initial model can be believed."""
    if not job.has("convergence.json"):
        return None
    found = read_json(job.path / "convergence.json")
    doubts = "; ".join(map(str, found["doubts"]))
    agree = (f"Both halves of the particles agree on {found['reproduced']:.0%} of the poses ({found['by_chance']:.0%} "
             "by chance)")
    starts = ", ".join(f"{value:.2f}" for value in found["starts"])
    return Panel(title="Convergence", level=GOOD if found["converged"] else BAD, wide=True,
                 verdict=f"Converged. {agree}{f'; other starts correlate by {starts}' if starts else ''}."
                 if found["converged"] else f"Not converged: {doubts}. Do not refine from this map.",
                 caption="Good: other random starts lead to the same map, and either half of the particles to the same "
                 "poses. The hand is not known at this stage: it is right in one case of two.")


def map_file(job: JobView) -> Path | None:
    """Return the map that a job stands for; None if it has none."""
    names = ("postprocess_masked.mrc", "postprocess.mrc", f"{Path(job.root).name}_class001.mrc", "initial_model.mrc",
             "map.mrc", "mask.mrc")
    return next((job.path / name for name in names if (job.path / name).exists()), None)


def local_resolution(job: JobView) -> Panel | None:
    """Return the histogram of the local resolution inside the particle, and slices coloured by it."""
    if not job.has("relion_locres.mrc", "relion_locres_filtered.mrc"):
        return None
    resolution, pixel_size = read_mrc(job.path / "relion_locres.mrc")
    density = read_mrc(job.path / "relion_locres_filtered.mrc")[0]
    particle = _particle(job, density, pixel_size) & (resolution > 0.0)
    inside = resolution[particle]
    low, middle, high = (float(value) for value in np.percentile(inside, (5, 50, 95)))
    window = content_window(np.where(particle, density, 0.0))
    coloured = [_coloured(name, image, colour, mask, (low, high)) for (name, image), colour, mask in zip(
        central_slices(density[window]).items(), central_slices(resolution[window]).values(),
        central_slices(particle[window]).values(), strict=True)]
    return Panel(title="Local resolution", verdict=f"Median {middle:.2f} Å; {low:.2f} to {high:.2f} Å (5 to 95 %).",
                 wide=True, blocks=[histogram("Local resolution inside the mask", "Å", [("", inside, 0)], guides=[
                     Guide(axis="x", value=middle, text=f"median {middle:.2f}")], y_label="voxels, %"),
                     Gallery(pictures=coloured, size="three")],
                 caption=f"Slices, coloured from blue ({low:.1f} Å and better) to red ({high:.1f} Å and worse). Good: "
                 "a rigid core that is best, falling off to the edge. Bad: better at the edge than inside (the mask), "
                 "or large parts that are much worse (they move: classify).")


def _particle(job: JobView, density: np.ndarray, pixel_size: float) -> np.ndarray:
    from cryosnake.numerics.map_resample import refit_mask
    from cryosnake.numerics.masking import automatic_threshold

    mask_file = job.values.get("mask")
    if mask_file and Path(mask_file).exists():
        mask, own = read_mrc(mask_file)
        fitted = mask if mask.shape == density.shape else refit_mask(mask, own, len(density), pixel_size)
        return np.asarray(fitted > 0.5)
    return np.asarray(density > automatic_threshold(density, pixel_size).value)


def _slice(name: str, image: np.ndarray, contrast: tuple[float, float] | None) -> Picture:
    return Picture(source=grey_uri(shrunk(image, 256)[0], contrast), words=name, width=image.shape[1],
                   height=image.shape[0])


def _coloured(name: str, image: np.ndarray, resolution: np.ndarray, inside: np.ndarray,
              limits: tuple[float, float]) -> Picture:
    from matplotlib import colormaps

    low, high = np.percentile(image, (0.5, 99.8))
    grey = np.clip((image - low) / max(high - low, 1e-12), 0.0, 1.0)[..., None]
    share = np.clip((resolution - limits[0]) / max(limits[1] - limits[0], 1e-6), 0.0, 1.0)
    colour = colormaps["turbo"](0.1 + 0.8 * share)[..., :3]
    mixed = np.where(inside[..., None], 0.35 * grey + 0.65 * colour * (0.35 + 0.65 * grey), grey)
    return Picture(source=colour_uri(mixed[::-1]), words=f"slice {name}", width=image.shape[1], height=image.shape[0])
