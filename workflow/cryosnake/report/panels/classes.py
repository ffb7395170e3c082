"""2D class averages as a sheet, the largest class first."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cryosnake.report.panels.figures import GREEN, GREY, RED, new_figure, show_image

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


_COLUMNS = 10  # at most, of averages in a row


def class_montage(averages: np.ndarray, counts: Sequence[int] | np.ndarray,
                  resolutions: Sequence[float] | np.ndarray | None = None, *, mask_diameter: float | None = None,
                  kept: np.ndarray | None = None, passed: int | None = None,
                  scores: np.ndarray | None = None) -> Figure:
    """Return class averages (n, box, box) with number, particles and resolution; empty classes are left out.

    Parameters
    ----------
    counts : (n,)
        Particles of each class.
    resolutions : (n,)
        Å, or None.
    mask_diameter : float
        Pixels; the contrast is set inside this circle (default: the whole image).
    kept : (n,) bool
        Draws a green frame around the classes kept and a red cross through the others.
    passed : int
        Particles that were kept, where single ones of the classes kept were left out, too.
    scores : (n,)
        0 … 1, written below each average after its number and resolution; or None.
    """
    counts = np.asarray(counts)
    order, rows, columns = class_sheet(counts)
    inside = _circle(averages.shape[-1], mask_diameter)
    empty = len(counts) - len(order)
    what = f"2D classes: {counts.sum():,} particles in {len(order)} classes" + (f", {empty} empty" if empty else "")
    if kept is not None:
        passed = counts[kept].sum() if passed is None else passed
        what = f"Selection: {passed:,} of {counts.sum():,} particles, {int(kept[order].sum())} of " \
               f"{len(order)} classes kept"
    with new_figure(1.12 * columns + 0.1, 1.42 * rows + 0.35, what) as figure:
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes in panels:
            axes.set_axis_off()
        for axes, index in zip(panels, order, strict=False):
            low, high = np.percentile(averages[index][inside], (0.3, 99.8))
            show_image(axes, averages[index], (float(low), float(high)))
            share = counts[index] / counts.sum()
            axes.set_title(f"{counts[index]:,}  ({share:.0%})", fontsize=7.5, fontweight="bold", loc="center", pad=2)
            parts = [f"class {index + 1}" if scores is None else f"{index + 1}"]
            if resolutions is not None and np.isfinite(resolutions[index]):
                parts.append(f"{resolutions[index]:.1f} Å")
            if scores is not None:
                parts.append(f"{scores[index]:.2f}")
            below = " · ".join(parts)
            if kept is not None:
                _mark(axes, bool(kept[index]))
            axes.text(0.5, -0.03, below, transform=axes.transAxes, ha="center", va="top", fontsize=7, color=GREY)
    return figure


def class_sheet(counts: np.ndarray) -> tuple[list[int], int, int]:
    """Return the indices of the classes that have particles, largest first, and rows and columns for their averages."""
    order = [int(i) for i in np.argsort(-counts, kind="stable") if counts[i] > 0]
    columns = max(1, min(_COLUMNS, len(order)))
    return order, max(1, math.ceil(len(order) / columns)), columns


def _mark(axes: Axes, kept: bool) -> None:
    from matplotlib.patches import Rectangle

    axes.add_patch(Rectangle((0.0, 0.0), 1.0, 1.0, transform=axes.transAxes, fill=False, linewidth=2.5,
                             edgecolor=GREEN if kept else RED))
    if not kept:
        axes.plot([0.0, 1.0], [0.0, 1.0], transform=axes.transAxes, color=RED, linewidth=1.5)
        axes.plot([0.0, 1.0], [1.0, 0.0], transform=axes.transAxes, color=RED, linewidth=1.5)


def _circle(box: int, diameter: float | None) -> np.ndarray:
    if diameter is None:
        return np.ones((box, box), bool)
    y, x = np.mgrid[:box, :box] - box // 2
    return x * x + y * y <= (diameter / 2) ** 2
