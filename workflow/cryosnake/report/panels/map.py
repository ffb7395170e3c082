"""Views of a map: central slices and projections along the three axes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cryosnake.report.panels.figures import new_figure, scale_bar, show_image, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def map_views(volume: np.ndarray, pixel_size: float, title: str = "") -> Figure:
    """Return central slices (top) and projections (bottom) of a map (box, box, box); `pixel_size` in Å.

    All slices have the same contrast, so that densities can be compared.
    """
    volume = crop_to_content(volume)
    centre = [n // 2 for n in volume.shape]
    slices = {"XY": volume[centre[0]], "XZ": volume[:, centre[1]], "YZ": volume[:, :, centre[2]]}
    contrast = (float(np.percentile(volume, 1.0)), float(np.percentile(volume, 99.9)))
    with style():
        figure = new_figure(7.2, 5.0)
        panels = figure.subplots(2, 3)
        for column, (name, image) in enumerate(slices.items()):
            show_image(panels[0, column], image, contrast)
            panels[0, column].set_title(f"slice {name}", fontsize=9, fontweight="normal")
            show_image(panels[1, column], volume.sum(axis=column))
            panels[1, column].set_title(f"projection {name}", fontsize=9, fontweight="normal")
        scale_bar(panels[0, 0], volume.shape[2], pixel_size)
        if title:
            figure.suptitle(title, x=0.01, ha="left", fontsize=10, fontweight="bold")
    return figure


def crop_to_content(volume: np.ndarray, margin: float = 0.08) -> np.ndarray:
    """Return the cube around the box centre with all non-zero voxels and a margin; small boxes are left as they are."""
    box, filled = volume.shape[0], np.nonzero(volume)
    if box < 48 or filled[0].size == 0:
        return volume
    centre = box // 2
    reach = max(int(np.abs(axis - centre).max()) for axis in filled)
    half = min(centre, int(np.ceil(reach * (1.0 + margin))) + 1)
    window = slice(centre - half, centre + half)
    return volume[window, window, window]
