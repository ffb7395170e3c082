"""CTF fits of all micrographs of a job at a glance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cryosnake.report.panels.figures import BLUE, GREEN, GREY, INK, ORANGE, new_figure

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def ctf_overview(table: pd.DataFrame, title: str = "CTF estimation") -> Figure:
    """Return histograms of mean defocus, fit resolution, astigmatism and figure of merit.

    Parameters
    ----------
    table
        Rows of micrographs_ctf.star
    """
    defocus = 0.5 * (table["rlnDefocusU"] + table["rlnDefocusV"])
    with new_figure(9.6, 2.9, f"{title}: {len(table)} micrographs") as figure:
        axes = figure.subplots(1, 4)
        _histogram(axes[0], defocus / 1e4, "mean defocus (µm)", BLUE)
        _histogram(axes[1], table["rlnCtfMaxResolution"], "fit resolution (Å)", GREEN)
        _histogram(axes[2], (table["rlnDefocusU"] - table["rlnDefocusV"]).abs(), "astigmatism (Å)", ORANGE)
        _histogram(axes[3], table["rlnCtfFigureOfMerit"], "figure of merit", GREY)
        axes[0].set_ylabel("micrographs")
    return figure


def _histogram(axes: Axes, values: Any, label: str, colour: str) -> None:
    values = np.asarray(values, dtype=float)
    values = values[np.isfinite(values)]
    axes.hist(values, bins=min(40, max(5, round(np.sqrt(2 * values.size)))), color=colour)
    axes.set_xlabel(label)
    if values.size:
        axes.axvline(float(np.median(values)), color=INK, linewidth=1.0, linestyle="--")
