"""Stages of an initial model: central slices of its maps, one column per stage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from cryosnake.report.panels.figures import new_figure, show_image, style
from cryosnake.report.panels.map import crop_to_content

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def map_stages(stages: Mapping[str, np.ndarray], title: str = "") -> Figure:
    """Return central slices XY, XZ and YZ (rows) of maps (box, box, box) by the names of their stages (columns)."""
    with style():
        figure = new_figure(1.25 * len(stages) + 0.3, 4.3)
        panels = figure.subplots(3, len(stages), squeeze=False)
        for column, (name, volume) in enumerate(stages.items()):
            volume = crop_to_content(volume)
            centre = volume.shape[0] // 2
            contrast = (float(np.percentile(volume, 1.0)), float(np.percentile(volume, 99.9)))
            slices = (volume[centre], volume[:, centre], volume[:, :, centre])
            for row, image in enumerate(slices):
                show_image(panels[row, column], image, contrast)
            panels[0, column].set_title(name, fontsize=8, fontweight="normal", loc="center")
        for row, name in enumerate(("XY", "XZ", "YZ")):
            panels[row, 0].set_ylabel(name)
        if title:
            figure.suptitle(title, x=0.01, ha="left", fontsize=10, fontweight="bold")
    return figure
