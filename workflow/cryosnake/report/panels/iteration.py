"""One picture of an iteration: class averages, or central slices with the FSC and the viewing directions.

Drawn while a job runs, so it must be cheap: images are assembled as arrays, and axes are placed by hand, because the
layout engine takes ten times as long as everything else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cryosnake.report.panels.classes import class_sheet
from cryosnake.report.panels.figures import BLUE, GREY, scale_bar, style
from cryosnake.report.panels.map import central_slices, content_window

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_TILE, _HEAD = 1.05, 0.42  # inches
_BINS = (36, 18)  # of directions, along and across


def class_picture(averages: np.ndarray, counts: np.ndarray, resolutions: np.ndarray, title: str) -> Figure:
    """Return the averages (n, box, box) that have particles, largest first, with their numbers and resolutions in Å."""
    order, rows, columns = class_sheet(counts)
    box = averages.shape[-1]
    sheet = np.ones((rows * box, columns * box), np.float32)
    for place, index in enumerate(order):
        row, column = divmod(place, columns)
        sheet[row * box : (row + 1) * box, column * box : (column + 1) * box] = _grey(averages[index])[::-1]
    with style():
        figure, axes = _sheet(sheet, columns * _TILE, rows * _TILE, title)
        for place, index in enumerate(order):
            row, column = divmod(place, columns)
            axes.text((column + 0.03) * box, (rows - row - 0.97) * box, f"{index + 1}: {counts[index]:,} · "
                      f"{resolutions[index]:.0f} Å", fontsize=6.5, color="white", va="bottom", ha="left",
                      bbox={"facecolor": "black", "alpha": 0.5, "edgecolor": "none", "pad": 1.0})
    return figure


def map_picture(volumes: Sequence[np.ndarray], captions: Sequence[str], pixel_size: float, title: str, *,
                fsc: tuple[np.ndarray, np.ndarray] | None = None, directions: np.ndarray | None = None) -> Figure:
    """Return central slices XY, XZ, YZ (rows) of maps (box, box, box), one column each.

    Parameters
    ----------
    captions : sequence of str
        One for each map.
    fsc : (shells,), (shells,)
        1/d in Å⁻¹ and the FSC, drawn to the right.
    directions : (n, 3)
        Unit vectors of the viewing directions of the particles, drawn to the right of that.
    """
    window = content_window(np.max([np.abs(volume) for volume in volumes], axis=0))
    columns = np.stack([_slices(volume[window]) for volume in volumes], 1)
    sheet = columns.transpose(0, 2, 1, 3).reshape(3 * columns.shape[2], -1)
    height, width = 3 * 1.4 * _TILE, len(volumes) * 1.4 * _TILE
    with style():
        beside = 3.1 * ((fsc is not None) + (directions is not None))
        figure, axes = _sheet(sheet, width, height, title, beside)
        side = columns.shape[-1]
        for number, caption in enumerate(captions):
            axes.text((number + 0.03) * side, 2.97 * side, caption, fontsize=7, color="white", va="top",
                      bbox={"facecolor": "black", "alpha": 0.5, "edgecolor": "none", "pad": 1.0})
        scale_bar(axes, side, pixel_size)
        left = width
        if fsc is not None:
            _draw_fsc(_axes(figure, left + 0.55, 0.5, 2.4, height - 0.7), *fsc)
            left += 3.1
        if directions is not None:
            _draw_directions(_axes(figure, left + 0.55, 0.5, 2.4, height - 0.7), directions)
    return figure


def _slices(volume: np.ndarray) -> np.ndarray:
    """Return the central slices (3, side, side) in 0 … 1, all with the same contrast, the first row at the top."""
    return _grey(np.stack(list(central_slices(volume).values())))[:, ::-1]


def _grey(values: np.ndarray) -> np.ndarray:
    low, high = np.percentile(values, (0.5, 99.8))
    return np.clip((values - low) / max(high - low, 1e-12), 0.0, 1.0)


def _sheet(image: np.ndarray, width: float, height: float, title: str, beside: float = 0.0) -> tuple[Figure, Axes]:
    """Return a figure with an image (width, height in inches) under a title, and `beside` inches of space beside it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    whole = max(width + beside + 0.1, 4.5)
    figure = Figure(figsize=(whole, height + _HEAD))
    FigureCanvasAgg(figure)
    axes = _axes(figure, 0.05, 0.05, width, height)
    axes.imshow(image[::-1], cmap="gray", vmin=0.0, vmax=1.0, interpolation="bilinear", aspect="auto", origin="lower")
    axes.set_axis_off()
    figure.text(0.05 / whole, 1.0 - 0.12 / (height + _HEAD), title, va="top", fontsize=9, fontweight="bold")
    return figure, axes


def _axes(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    across, up = figure.get_size_inches()
    return figure.add_axes((left / across, bottom / up, width / across, height / up))


def _draw_fsc(axes: Axes, frequency: np.ndarray, curve: np.ndarray) -> None:
    axes.axhline(0.143, color=GREY, linewidth=1.0, linestyle=(0, (4, 3)))
    axes.plot(frequency[1:], curve[1:], color=BLUE)
    axes.set(xlim=(0.0, float(frequency[-1])), ylim=(-0.1, 1.03), title="FSC of the half maps")
    shown = np.linspace(0.0, float(frequency[-1]), 6)[1:]
    axes.set_xticks(shown, [f"{1.0 / value:.1f}" for value in shown])
    axes.set_xlabel("resolution (Å)", fontsize=8)


def _draw_directions(axes: Axes, directions: np.ndarray) -> None:
    """Show viewing directions, as a multiple of an even distribution, in an equal-area projection (Lambert's)."""
    along = np.degrees(np.arctan2(directions[:, 1], directions[:, 0]))
    counts, _, _ = np.histogram2d(directions[:, 2], along, _BINS[::-1], ((-1.0, 1.0), (-180.0, 180.0)))
    share = counts / max(counts.mean(), 1e-12)
    axes.imshow(share, origin="lower", extent=(-180.0, 180.0, -1.0, 1.0), aspect="auto", cmap="Blues", vmin=0.0,
                vmax=max(float(np.percentile(share, 99.0)), 2.0))
    axes.set(title=f"views, at most {share.max():.1f} × even", xlabel="rot (degrees)", xticks=(-180, -90, 0, 90, 180))
    axes.set_yticks(np.cos(np.radians([0, 45, 90, 135, 180])), ["0", "45", "90", "135", "180"])
    axes.set_ylabel("tilt", fontsize=8, labelpad=-4)
    axes.grid(False)
