"""Summary at the end of `make demo`: how close the map is to the truth, a picture, and where the files are."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cryosnake.io.mrc import read_mrc
from cryosnake.io.star import read_star
from cryosnake.numerics.alignment import align_maps, model_map_fsc
from cryosnake.numerics.fsc import last_shell_above, resolution_at
from cryosnake.report.flowchart.project import draw_flowchart
from cryosnake.report.panels.figures import BLUE, new_figure, save, show_image
from cryosnake.report.panels.map import content_window

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def summarise_demo(project: Path) -> list[str]:
    """Compare the demo's map with the truth, write flowchart and picture, and return the lines to print.

    `project` is the working directory, processed by examples/demo.yaml.
    """
    sharpened, pixel_size = read_mrc("PostProcess/sharpened/postprocess.mrc")
    truth, _ = read_mrc("truth/map.mrc")
    mask, _ = read_mrc("MaskCreate/mask/mask.mrc")
    aligned, alignment = align_maps(sharpened, truth, mirror_test=True)
    comparison = model_map_fsc(aligned, truth, pixel_size, mask=_about(truth))
    box = truth.shape[0]
    shell = min(last_shell_above(comparison.curve, 0.5) + 1, box // 2)
    final = read_star("PostProcess/sharpened/postprocess.star")["general"]["rlnFinalResolution"][0]
    for name in ("flowchart.svg", "flowchart.png"):
        draw_flowchart(Path(name))
    save(_picture(sharpened, mask, comparison.curve, pixel_size), "demo.png")
    hand = "opposite hand to the truth" if alignment.mirrored else "same hand as the truth"
    return [
        f"resolution         {float(final):.2f} Å (half maps, FSC 0.143)",
        f"against the truth  {comparison.resolution:.2f} Å (FSC 0.5, shell {shell} of {box // 2}), {hand}",
        f"map                {_shown(project / 'PostProcess/sharpened/postprocess.mrc')}",
        f"picture            {_shown(project / 'demo.png')}",
        f"flowchart          {_shown(project / 'flowchart.svg')}",
        f"project            {_shown(project)}  (a RELION project; `cryosnake status` there lists its jobs)",
    ]


def _about(truth: np.ndarray) -> np.ndarray:
    """Return a soft mask around the true density: 1 inside, with a cosine edge of 4 voxels."""
    from scipy.ndimage import distance_transform_edt, gaussian_filter

    smooth = gaussian_filter(truth, 1.5)
    inside = smooth > 0.1 * np.percentile(smooth, 99.8)
    distance = distance_transform_edt(~inside)
    return 0.5 + 0.5 * np.cos(np.pi * np.clip((distance - 2.0) / 4.0, 0.0, 1.0))


def _picture(volume: np.ndarray, mask: np.ndarray, curve: np.ndarray, pixel_size: float) -> Figure:
    """Return class averages, slices of the map and its FSC with the truth, side by side."""
    averages = _class_averages()
    box = volume.shape[0]
    particle = volume * mask
    particle = particle[content_window(particle)]
    with new_figure(11.0, 3.4) as figure:
        panels = figure.subplots(1, 4, width_ratios=[1, 1, 1, 1.3])
        show_image(panels[0], _mosaic(averages[:9]))
        panels[0].set_title("2D classes")
        show_image(panels[1], particle[particle.shape[0] // 2])
        panels[1].set_title("map, central slice")
        show_image(panels[2], particle.sum(0))
        panels[2].set_title("map, projection")
        shells = np.arange(1, len(curve))
        panels[3].plot(shells / (box * pixel_size), curve[1:], color=BLUE)
        panels[3].axhline(0.5, color="0.6", linewidth=0.8)
        panels[3].set(xlabel="1 / Å", title=f"FSC with the truth: {resolution_at(curve, box * pixel_size, 0.5):.1f} Å",
                      ylim=(-0.1, 1.05))
    return figure


def _class_averages() -> np.ndarray:
    folder = Path("Class2D/classes")
    stack = sorted(folder.glob("run_it*_classes.mrcs"))[-1]
    averages, _ = read_mrc(stack)
    model = read_star(sorted(folder.glob("run_it*_model.star"))[-1])["model_classes"]
    return averages[np.argsort(-model["rlnClassDistribution"].to_numpy())]


def _mosaic(images: np.ndarray) -> np.ndarray:
    """Return up to nine images as three rows, each scaled to its own contrast."""
    scaled = [(image - image.min()) / (np.ptp(image) + 1e-9) for image in images]
    scaled += [np.zeros_like(images[0])] * (9 - len(scaled))
    return np.vstack([np.hstack(scaled[row : row + 3]) for row in (6, 3, 0)])


def _shown(path: Path) -> str:
    return os.path.relpath(path, os.environ.get("PWD", os.getcwd()))
