"""FSC curves and the Guinier plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from cryosnake.report.panels.figures import BLUE, GREEN, GREY, INK, ORANGE, RED, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = (BLUE, GREEN, ORANGE, RED, GREY, INK)


def fsc_curves(curves: Mapping[str, np.ndarray], frequency: np.ndarray, *, resolution: float | None = None,
               threshold: float = 0.143, directional: Sequence[np.ndarray] = (),
               title: str = "Fourier shell correlation") -> Figure:
    """Return a plot of FSC curves by name, each (shells,), the first one drawn as the main curve.

    Parameters
    ----------
    frequency : (shells,)
        1/d in Å⁻¹.
    resolution : float
        Å, marked on the axis.
    directional
        Curves of single directions, which may end earlier.
    """
    with new_figure(6.4, 4.2) as figure:
        axes = figure.subplots()
        for number, curve in enumerate(directional):
            axes.plot(frequency[1 : len(curve)], curve[1:], color=GREY, linewidth=0.7, alpha=0.6,
                      label="" if number else "in single directions")
        axes.axhline(0.0, color=INK, linewidth=0.8)
        axes.axhline(threshold, color=GREY, linewidth=1.0, linestyle=(0, (4, 3)))
        axes.annotate(f"{threshold:g}", (0.004, threshold), xycoords=("axes fraction", "data"), xytext=(2, 3),
                      textcoords="offset points", fontsize=8, color=GREY)
        for rank, ((name, curve), colour) in enumerate(zip(curves.items(), _COLOURS, strict=False)):
            # The first curve is a broad band on which the others stay visible.
            axes.plot(frequency[1:], curve[1:], color=colour, label=name, linewidth=1.3 if rank else 3.6,
                      alpha=1.0 if rank else 0.8, zorder=2 + rank)
        if resolution is not None:
            axes.axvline(1.0 / resolution, color=GREY, linewidth=1.0, linestyle=":")
            axes.annotate(f"{resolution:.2f} Å", (1.0 / resolution, 1.02), xytext=(-4, -2), ha="right", va="top",
                          textcoords="offset points", fontsize=9, fontweight="bold", color=BLUE)
        axes.set(xlim=(0, 1.02 * float(frequency[-1])), ylim=(min(-0.05, _lowest(curves)), 1.04),
                 ylabel="FSC", title=title)
        axes.legend(loc="lower left", bbox_to_anchor=(0.01, 0.17))
        resolution_axis(axes, frequency)
    return figure


def guinier_plot(frequency: np.ndarray, curves: Mapping[str, np.ndarray], line: tuple[float, float] | None,
                 b_factor: float, resolution: float, title: str = "Guinier plot") -> Figure:
    """Return ln amplitude (shells,) by name against 1/d², with the fitted line (slope, intercept).

    Shells without amplitude (RELION writes −99) are not drawn; those beyond the resolution are pale.
    """
    with new_figure(6.4, 4.2) as figure:
        axes = figure.subplots()
        inside = frequency <= 1.0 / resolution * (1 + 1e-6)
        squared = frequency**2
        for (name, values), colour in zip(curves.items(), (GREY, BLUE, GREEN), strict=False):
            real = values > -90.0
            axes.plot(squared[real], values[real], color=colour, alpha=0.3)
            axes.plot(squared[real & inside], values[real & inside], color=colour, label=name)
        if line is not None:
            ends = np.array([0.0, float(squared[inside][-1])])
            axes.plot(ends, line[1] + line[0] * ends, color=RED, linestyle="--", linewidth=1.3,
                      label=f"fit, B = {4 * line[0]:.0f} Å²".replace("-", "−"))
        shown = np.concatenate([values[inside & (values > -90.0)] for values in curves.values()])
        axes.set(xlim=(0, float(squared[-1])), ylim=(shown.min() - 1.0, shown.max() + 0.5), ylabel="ln amplitude",
                 title=f"{title}, B-factor used: {b_factor:.0f} Å²".replace("-", "−"))
        axes.legend(loc="upper right")
        resolution_axis(axes, squared, power=2)
    return figure


def resolution_axis(axes: Axes, frequency: np.ndarray, power: int = 1) -> None:
    """Label an axis of 1/d (or 1/d²) in Å."""
    last = float(frequency[-1]) ** (1.0 / power)
    wanted = np.array([100, 50, 30, 20, 15, 12, 10, 8, 7, 6, 5, 4.5, 4, 3.5, 3.2, 3, 2.7, 2.5, 2.2, 2, 1.8, 1.6, 1.5,
                       1.4, 1.3, 1.2, 1.1, 1.0])
    ticks: list[float] = []
    for value in wanted[1.0 / wanted <= last]:
        position = (1.0 / value) ** power
        if not ticks or position - (1.0 / ticks[-1]) ** power > 0.07 * last**power:
            ticks.append(float(value))
    axes.set_xticks([(1.0 / value) ** power for value in ticks], [f"{value:g}" for value in ticks])
    axes.set_xlabel("resolution (Å)")


def _lowest(curves: Mapping[str, np.ndarray]) -> float:
    return max(-0.4, min(float(curve[1:].min()) for curve in curves.values()) - 0.03)
