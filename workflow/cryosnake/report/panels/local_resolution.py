"""Local resolution: its histogram, and central slices of the map coloured by it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cryosnake.report.panels.figures import BLUE, INK, new_figure, scale_bar, show_image
from cryosnake.report.panels.map import central_slices, content_window

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = "viridis_r"


def local_resolution_views(resolution: np.ndarray, density: np.ndarray, particle: np.ndarray,
                           pixel_size: float) -> Figure:
    """Return a histogram and coloured slices of maps (box, box, box).

    Parameters
    ----------
    resolution : (box, box, box)
        Å.
    density : (box, box, box)
        The locally filtered map, drawn in grey under the colours.
    particle : (box, box, box) bool
        Voxels to count and colour.
    pixel_size : float
        Å.
    """
    inside = resolution[particle]
    limits = (float(np.percentile(inside, 2)), float(np.percentile(inside, 98)) + 1e-3)
    window = content_window(particle)
    densities, colours_of, shown = (central_slices(volume[window]) for volume in (density, resolution, particle))
    with new_figure(7.2, 5.2, arranged=False) as figure:
        layout = figure.add_gridspec(2, 3, height_ratios=(1.0, 1.3), left=0.09, right=0.965, bottom=0.03, top=0.94,
                                     hspace=0.32, wspace=0.04)
        _histogram(figure.add_subplot(layout[0, :]), inside, limits)
        panels = [figure.add_subplot(layout[1, column]) for column in range(3)]
        for axes, (name, image) in zip(panels, densities.items(), strict=True):
            show_image(axes, image)
            colours = axes.imshow(np.ma.masked_where(~shown[name], colours_of[name]), cmap=COLOURS, alpha=0.65,
                                  vmin=limits[0], vmax=limits[1], origin="lower")
            axes.set(xticks=[], yticks=[])
            axes.set_title(f"slice {name}", fontsize=9, fontweight="normal")
        scale_bar(panels[0], len(densities["XY"]), pixel_size)
        figure.colorbar(colours, ax=panels, label="Å", shrink=0.8, pad=0.02, fraction=0.05)
    return figure


def _histogram(axes: Axes, inside: np.ndarray, limits: tuple[float, float]) -> None:
    from matplotlib import colormaps
    from matplotlib.collections import PolyCollection

    spread = limits[1] - limits[0]
    low, high = max(0.0, limits[0] - 0.15 * spread), limits[1] + 0.15 * spread
    counts, edges = np.histogram(np.clip(inside, low, high), bins=60, range=(low, high))
    colours = colormaps[COLOURS](np.clip((0.5 * (edges[1:] + edges[:-1]) - limits[0]) / spread, 0.0, 1.0))
    heights = 100.0 * counts / inside.size
    bars = [[(x, 0.0), (x, y), (end, y), (end, 0.0)] for x, end, y in zip(edges[:-1], edges[1:], heights, strict=True)]
    axes.add_collection(PolyCollection(bars, facecolors=colours))  # one artist: 60 separate bars take longer to draw
    median = float(np.median(inside))
    axes.axvline(median, color=INK, linewidth=1.0, linestyle=":")
    axes.annotate(f"median {median:.2f} Å", (median, 1.0), xycoords=("data", "axes fraction"), xytext=(4, -3), va="top",
                  textcoords="offset points", fontsize=9, fontweight="bold", color=BLUE)
    axes.set(xlabel="local resolution, Å", ylabel="voxels, %", xlim=(low, high),
             ylim=(0.0, 1.08 * float(heights.max())), title="Local resolution")
