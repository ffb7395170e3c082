"""Views of a map: central slices and projections along the three axes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from cryosnake.report.panels.figures import new_figure, scale_bar, show_image

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def map_views(volume: np.ndarray, pixel_size: float, title: str = "") -> Figure:
    """Return central slices (top) and projections (bottom) of a map (box, box, box); `pixel_size` in Å."""
    volume = volume[content_window(volume)]
    with new_figure(7.2, 5.0, title) as figure:
        panels = figure.subplots(2, 3)
        show_slices(panels[0], volume)
        for column, name in enumerate(central_slices(volume)):
            show_image(panels[1, column], volume.sum(axis=column))
            panels[0, column].set_title(f"slice {name}", fontsize=9, fontweight="normal")
            panels[1, column].set_title(f"projection {name}", fontsize=9, fontweight="normal")
        scale_bar(panels[0, 0], volume.shape[2], pixel_size)
    return figure


def show_slices(panels: Iterable[Axes], volume: np.ndarray) -> None:
    """Show the central slices XY, XZ and YZ with one contrast, so that densities can be compared."""
    contrast = (float(np.percentile(volume, 1.0)), float(np.percentile(volume, 99.9)))
    for axes, image in zip(panels, central_slices(volume).values(), strict=True):
        show_image(axes, image, contrast)


def central_slices(volume: np.ndarray) -> dict[str, np.ndarray]:
    """Return the central slices (box, box) of a map by their names: XY, XZ, YZ."""
    centre = volume.shape[0] // 2
    return {"XY": volume[centre], "XZ": volume[:, centre], "YZ": volume[:, :, centre]}


def content_window(volume: np.ndarray, margin: float = 0.08) -> tuple[slice, ...]:
    """Return the cube around the box centre with all non-zero voxels and a margin; all of a small box."""
    box, filled = volume.shape[0], np.nonzero(volume)
    if box < 48 or filled[0].size == 0:
        return (slice(0, box),) * 3
    centre = box // 2
    reach = max(int(np.abs(axis - centre).max()) for axis in filled)
    half = min(centre, int(np.ceil(reach * (1.0 + margin))) + 1)
    return (slice(centre - half, centre + half),) * 3
