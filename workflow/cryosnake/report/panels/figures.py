"""Shared by all panels: style, new figures, writing a PNG. Matplotlib is imported when a figure is made."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cryosnake.atomic import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe & Ito's colours, which colour-blind readers can distinguish too.
BLUE, ORANGE, GREEN, RED, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#8A8F98"
INK = "#2B2F36"

STYLE = {
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E4E7EB",
    "grid.linewidth": 0.7,
    "xtick.color": INK,
    "ytick.color": INK,
    "text.color": INK,
    "lines.linewidth": 1.8,
    "legend.frameon": False,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}


@contextmanager
def style() -> Iterator[None]:
    """Use the panels' style inside a `with` block, and nowhere else."""
    import matplotlib

    with matplotlib.rc_context(STYLE):
        yield


@contextmanager
def new_figure(width: float, height: float, title: str = "", arranged: bool = True) -> Iterator[Figure]:
    """Yield an empty figure of this size in inches, to be filled in the panels' style inside a `with` block.

    No window system and no global state are involved. With `arranged=False` the caller leaves room for labels: finding
    it takes as long as drawing the figure.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with style():
        figure = Figure(figsize=(width, height), layout="constrained" if arranged else None)
        FigureCanvasAgg(figure)
        if title:
            figure.suptitle(title, x=0.01, ha="left", fontsize=10, fontweight="bold")
        yield figure


def save(figure: Figure, path: str | Path, dpi: int = 150) -> None:
    """Write a figure as PNG; the file is complete or absent."""
    with style(), replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=dpi)


def show_image(axes: Axes, image: np.ndarray, contrast: tuple[float, float] | None = None) -> None:
    """Show an image (rows, columns) in grey, row 0 at the bottom (as in IMOD), without axes.

    `contrast` gives the values of black and white; by default the 0.5th and 99.5th percentiles.
    """
    low, high = contrast or tuple(np.percentile(image, (0.5, 99.5)))
    axes.imshow(image, cmap="gray", vmin=low, vmax=max(high, low + 1e-12), origin="lower", interpolation="bilinear")
    axes.set_axis_off()


def scale_bar(axes: Axes, width_pixels: int, pixel_size: float, colour: str = "white") -> None:
    """Draw a bar of a round length in the lower left corner of an image `width_pixels` wide."""
    wanted = 0.25 * width_pixels * pixel_size
    magnitude = 10.0 ** np.floor(np.log10(wanted))
    length = max(step * magnitude for step in (1, 2, 5) if step * magnitude <= wanted)
    margin, pixels = 0.06 * width_pixels, length / pixel_size
    axes.plot([margin, margin + pixels], [margin, margin], color=colour, linewidth=2.5, solid_capstyle="butt")
    text = f"{length:g} Å" if length < 1000 else f"{length / 10:g} nm"
    axes.text(margin + pixels / 2, margin * 1.4, text, color=colour, ha="center", va="bottom", fontsize=8,
              bbox={"facecolor": "black", "alpha": 0.45, "edgecolor": "none", "pad": 1.5})
