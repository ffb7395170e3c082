"""The maps of a 3D classification: central slices of every class, with its share and resolution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cryosnake.report.panels.figures import GREY, new_figure, scale_bar
from cryosnake.report.panels.map import central_slices, content_window, show_slices

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
    volumes = volumes[:, *content_window(np.abs(volumes).max(0))]
    with new_figure(1.7 * len(volumes) + 0.7, 5.6, f"{title}: {counts.sum():,} particles") as figure:
        panels = figure.subplots(3, len(volumes), squeeze=False)
        for number, (volume, count, resolution) in enumerate(zip(volumes, counts, resolutions, strict=True)):
            show_slices(panels[:, number], volume)
            found = f"{count:,} ({count / max(counts.sum(), 1):.0%}) · {resolution:.1f} Å" if count else "empty"
            panels[0, number].set_title(f"class {number + 1}\n{found}", fontsize=8, fontweight="normal", loc="center")
        for axes, name in zip(panels[:, 0], central_slices(volumes[0]), strict=True):
            axes.text(-0.04, 0.5, name, transform=axes.transAxes, ha="right", va="center", fontsize=8, color=GREY)
        scale_bar(panels[0, 0], volumes.shape[-1], pixel_size)
    return figure
