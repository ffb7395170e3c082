"""Draw a flowchart as PNG with matplotlib: the same layout as the SVG."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from cryosnake.atomic import replacing
from cryosnake.errors import CryosnakeError
from cryosnake.pipeline.model import Pipeline, Status
from cryosnake.report.flowchart.chart import ARROW_LENGTH, LABEL_HEIGHT, Arrow, Box, Flowchart, layout
from cryosnake.report.flowchart.svg import COLOURS, FAINT, FIELD, HEADER, INK, LINE, PAPER, curve, legend_of, size_of

_LARGEST = 2**15  # pixels along one side; more is refused by the renderer


def write_png(path: str | os.PathLike[str], pipeline: Pipeline, counts: Mapping[str, int] | None = None,
              notes: Mapping[str, str] | None = None, around: str = "", title: str = "", scale: float = 2.0) -> None:
    """Draw the pipeline as a PNG file; see `flowchart.layout` for the parameters.

    Parameters
    ----------
    scale
        Pixels of the picture per px of the layout.

    Raises
    ------
    CryosnakeError
        If matplotlib is not installed, or the picture would be too large.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise CryosnakeError(f"{path}: PNG needs matplotlib (pip install 'cryosnake[report]'); SVG does not") from error
    chart = layout(pipeline, counts, notes, around)
    top = HEADER if title else 0.0
    width, height = size_of(chart, title)
    if max(width, height) * scale > _LARGEST:
        raise CryosnakeError(f"{path}: {width * scale:.0f} x {height * scale:.0f} pixels are too many for PNG; write "
                             "SVG, or draw only what is around one job")
    figure = Figure(figsize=(width / 72, height / 72), facecolor=PAPER)  # 1 px of the layout = 1 point
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    shift = (width - chart.width) / 2
    axes.set_xlim(-shift, width - shift)
    axes.set_ylim(height - top, -top)
    _draw(axes, chart)
    if title:
        axes.text(28 - shift, 34 - top, title, size=16, weight="bold", color=INK)
    for index, status in enumerate(legend_of(chart)):
        _legend(axes, status, 28.0 - shift + 110.0 * index, height - top - 22.0)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=72 * scale, format="png")


def _draw(axes: Any, chart: Flowchart) -> None:
    for arrow in chart.arrows:
        _arrow_line(axes, arrow)
    for box in chart.boxes:
        _box(axes, box)
    for arrow in chart.arrows:
        text, x, y, width = arrow.label
        _field(axes, x - width / 2, y - LABEL_HEIGHT / 2, width, LABEL_HEIGHT, LABEL_HEIGHT / 2, facecolor=FIELD,
               edgecolor="none", zorder=3)
        axes.text(x, y + 3.8, text, size=9.5, color="#3c4555", ha="center", zorder=4)


def _arrow_line(axes: Any, arrow: Arrow) -> None:
    from matplotlib.patches import PathPatch, Polygon
    from matplotlib.path import Path

    codes, vertices = [], []
    for code, points in curve(arrow.points):
        codes += [{"M": Path.MOVETO, "L": Path.LINETO, "C": Path.CURVE4}[code]] * len(points)
        vertices += points
    axes.add_patch(PathPatch(Path(vertices, codes), facecolor="none", edgecolor=LINE, linewidth=1.4, zorder=1))
    x, y = arrow.points[-1]
    back = ARROW_LENGTH if y > arrow.points[-2][1] else -ARROW_LENGTH
    axes.add_patch(Polygon([(x, y), (x - 4, y - back), (x + 4, y - back)], facecolor=LINE, edgecolor="none", zorder=1))


def _box(axes: Any, box: Box) -> None:
    from matplotlib.patches import Rectangle

    if box.status is None:
        _field(axes, box.x, box.y, box.width, box.height, 4, facecolor="#fafbfc", edgecolor="#b4bcc8", linestyle="--",
               linewidth=0.9, zorder=2)
        axes.text(box.x + box.width / 2, box.y + 17, box.title, size=9.5, color=INK, ha="center", zorder=4)
        return
    colour, right = COLOURS[box.status], box.x + box.width - 12
    frame = _field(axes, box.x, box.y, box.width, box.height, 6, facecolor=PAPER, edgecolor="#c9cfd8", linewidth=0.9,
                   zorder=2)
    strip = Rectangle((box.x, box.y), 6, box.height, facecolor=colour, edgecolor="none", zorder=2.5)
    axes.add_patch(strip)
    strip.set_clip_path(frame)
    axes.text(box.x + 16, box.y + 21, box.title, size=12, weight="bold", color=INK, zorder=4)
    axes.text(right, box.y + 21, box.number, size=10, color=FAINT, ha="right", zorder=4)
    axes.text(box.x + 16, box.y + 39, box.alias, size=10, color=INK, zorder=4)
    axes.text(right, box.y + 39, box.note or box.status.label.lower(), size=10, color=colour, ha="right", zorder=4)


def _legend(axes: Any, status: Status, x: float, y: float) -> None:
    _field(axes, x, y, 11, 11, 2, facecolor=COLOURS[status], edgecolor="none", zorder=2)
    axes.text(x + 17, y + 9.5, status.label.lower(), size=10, color=FAINT)


def _field(axes: Any, x: float, y: float, width: float, height: float, radius: float, **style: Any) -> Any:
    from matplotlib.patches import FancyBboxPatch

    shape = FancyBboxPatch((x, y), width, height, boxstyle=f"round,pad=0,rounding_size={radius}", **style)
    return axes.add_patch(shape)
