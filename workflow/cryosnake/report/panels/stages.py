"""Stages of an initial model: central slices of its maps, one column per stage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from cryosnake.report.panels.figures import new_figure
from cryosnake.report.panels.map import central_slices, content_window, show_slices

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def map_stages(stages: Mapping[str, np.ndarray], title: str = "") -> Figure:
    """Return central slices XY, XZ and YZ (rows) of maps (box, box, box) by the names of their stages (columns)."""
    with new_figure(1.25 * len(stages) + 0.3, 4.3, title) as figure:
        panels = figure.subplots(3, len(stages), squeeze=False)
        for column, (name, volume) in enumerate(stages.items()):
            show_slices(panels[:, column], volume[content_window(volume)])
            panels[0, column].set_title(name, fontsize=8, fontweight="normal", loc="center")
        for axes, name in zip(panels[:, 0], central_slices(volume), strict=True):
            axes.set_ylabel(name)
    return figure
