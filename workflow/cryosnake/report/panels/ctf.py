"""CTF fits of all micrographs of a job at a glance."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cryosnake.report.panels.figures import BLUE, GREEN, GREY, INK, ORANGE, RED, new_figure

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


# The columns of the panel, and how the reason of a rejected fit names them (programs/micrographs/ctf_gate.py).
_NAMES = ("mean defocus", "fit resolution", "astigmatism", "figure of merit")


def ctf_overview(table: pd.DataFrame, reasons: Sequence[str] = (), title: str = "CTF estimation") -> Figure:
    """Return histograms of mean defocus, fit resolution, astigmatism and figure of merit, those left out in red.

    Parameters
    ----------
    table
        Rows of micrographs_ctf.star
    reasons
        Why micrographs were left out; those that name the values of a fit are drawn, all are counted
    """
    defocus = 0.5 * (table["rlnDefocusU"] + table["rlnDefocusV"])
    rejected = rejected_values(reasons)
    counted = f"{len(table)} micrographs" + (f", {len(reasons)} left out (red)" if len(reasons) else "")
    with new_figure(9.6, 2.9, f"{title}: {counted}") as figure:
        axes = figure.subplots(1, 4)
        _histogram(axes[0], defocus / 1e4, rejected[:, 0] / 1e4, "mean defocus (µm)", BLUE)
        _histogram(axes[1], table["rlnCtfMaxResolution"], rejected[:, 1], "fit resolution (Å)", GREEN)
        _histogram(axes[2], (table["rlnDefocusU"] - table["rlnDefocusV"]).abs(), rejected[:, 2], "astigmatism (Å)",
                   ORANGE)
        _histogram(axes[3], table["rlnCtfFigureOfMerit"], rejected[:, 3], "figure of merit", GREY)
        axes[0].set_ylabel("micrographs")
    return figure


def rejected_values(reasons: Sequence[str]) -> np.ndarray:
    """Return (n, 4): defocus, resolution, astigmatism (Å) and figure of merit of the fits that reasons describe."""
    pattern = re.compile(r"\(found: " + ", ".join(rf"{name} (\S+)(?: Å)?" for name in _NAMES) + r"\)")
    values = [[float(value) for value in found.groups()] for found in map(pattern.search, reasons) if found]
    return np.array(values, dtype=float).reshape(-1, len(_NAMES))


def _histogram(axes: Axes, values: Any, rejected: np.ndarray, label: str, colour: str) -> None:
    values = np.asarray(values, dtype=float)
    values, rejected = values[np.isfinite(values)], rejected[np.isfinite(rejected)]
    everything = np.concatenate([values, rejected])
    edges = np.histogram_bin_edges(everything, bins=min(40, max(5, round(np.sqrt(2 * everything.size)))))
    axes.hist([values, rejected], bins=edges.tolist(), color=[colour, RED], stacked=True)
    axes.set_xlabel(label)
    if values.size:
        axes.axvline(float(np.median(values)), color=INK, linewidth=1.0, linestyle="--")
