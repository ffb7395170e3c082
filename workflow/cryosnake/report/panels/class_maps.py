"""The maps of a 3D classification: central slices of every class, with its share and resolution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cryosnake.report.panels.figures import GREY, new_figure, scale_bar, show_image, style
from cryosnake.report.panels.map import crop_to_content

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def class_slices(volumes: np.ndarray, counts: Sequence[int] | np.ndarray, resolutions: Sequence[float] | np.ndarray,
                 pixel_size: float, title: str = "3D classes") -> Figure:
    """Return slices XY, XZ and YZ of the maps (classes, box, box, box), one column for each class, in their order.

    Parameters
    ----------
    counts : (classes,)
        Particles of each class; a class without particles is named and shown empty.
    resolutions : (classes,)
        Å.
    pixel_size : float
        Å.
    """
    counts = np.asarray(counts)
    content = crop_to_content(np.abs(volumes).max(0))
    start = (volumes.shape[1] - content.shape[0]) // 2
    window = (slice(start, start + content.shape[0]),) * 3
    with style():
        figure = new_figure(1.7 * len(volumes) + 0.7, 5.6)
        panels = figure.subplots(3, len(volumes), squeeze=False)
        for number, (volume, count, resolution) in enumerate(zip(volumes, counts, resolutions, strict=True)):
            _column(panels[:, number], volume[window])
            found = f"{count:,} ({count / max(counts.sum(), 1):.0%}) · {resolution:.1f} Å" if count else "empty"
            panels[0, number].set_title(f"class {number + 1}\n{found}", fontsize=8, fontweight="normal", loc="center")
        for row, name in enumerate(("XY", "XZ", "YZ")):
            panels[row, 0].text(-0.04, 0.5, name, transform=panels[row, 0].transAxes, ha="right", va="center",
                                fontsize=8, color=GREY)
        scale_bar(panels[0, 0], content.shape[2], pixel_size)
        figure.suptitle(f"{title}: {counts.sum():,} particles", x=0.01, ha="left", fontsize=10, fontweight="bold")
    return figure


def _column(panels: np.ndarray, volume: np.ndarray) -> None:
    """Show the three central slices of a map with one contrast."""
    centre = volume.shape[0] // 2
    contrast = (float(np.percentile(volume, 1.0)), float(np.percentile(volume, 99.9)))
    for axes, image in zip(panels, (volume[centre], volume[:, centre], volume[:, :, centre]), strict=True):
        show_image(axes, image, contrast)
