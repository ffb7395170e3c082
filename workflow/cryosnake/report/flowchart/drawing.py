"""Draw a flowchart with Matplotlib: one picture, saved as SVG, PNG, PDF or LaTeX (PGF)."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryosnake.atomic import replacing
from cryosnake.errors import CryosnakeError
from cryosnake.pipeline.model import Status
from cryosnake.report.flowchart.chart import (
    ARROW_LENGTH,
    LABEL_HEIGHT,
    LABEL_SIZE,
    TEXT_SIZE,
    TITLE_SIZE,
    Arrow,
    Box,
    Flowchart,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Dark enough for white paper, distinct for the colour-blind, and accompanied by the word.
COLOURS = {
    Status.SUCCEEDED: "#2a7f62",
    Status.RUNNING: "#2468b4",
    Status.SCHEDULED: "#8a8f98",
    Status.FAILED: "#c0392b",
    Status.ABORTED: "#c77700",
}
_INK, _LABEL, _FAINT, _LINE, _PAPER, _FIELD = "#1d2430", "#3c4555", "#626b7a", "#9aa3b2", "#ffffff", "#eef1f5"
_FRAME, _FILE, _FILE_FRAME = "#c9cfd8", "#fafbfc", "#b4bcc8"
_DPI = 96  # px of the layout per inch: an SVG is shown in the size of the layout
_POINTS = 72 / _DPI  # per px
_LARGEST = 2**15  # pixels along one side; Matplotlib's PNG renderer refuses more
_SETTINGS = {
    "font.family": "sans-serif",
    "font.sans-serif": ["Segoe UI", "Helvetica Neue", "Helvetica", "Arial", "DejaVu Sans"],
    "text.parse_math": False,  # a dollar in a name is a dollar
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "flowchart",  # the same picture gives the same file
    "pdf.fonttype": 42,
}
_LATEX_HEAD = r"""\documentclass{article}
\usepackage[utf8]{inputenc}
\usepackage[T1]{fontenc}
\usepackage[papersize={%.2fin,%.2fin},margin=0in]{geometry}
\usepackage{pgf}
\pagestyle{empty}
\begin{document}
\noindent\makeatletter
\begin{pgfpicture}
"""
_LATEX_END = "\\end{pgfpicture}\n\\end{document}\n"
_LATEX_SPECIAL = str.maketrans({"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
                                **{sign: f"\\{sign}" for sign in "_#$%&{}"}})


def write_picture(path: Path, chart: Flowchart, scale: float = 2.0) -> None:
    """Draw a flowchart; the extension of `path` (.svg, .png, .pdf or .tex) selects the format.

    Parameters
    ----------
    path
        The file.
    chart
        The flowchart.
    scale
        Pixels of a PNG per px of the layout.

    Raises
    ------
    CryosnakeError
        If the picture would be too large for PNG.
    """
    import matplotlib

    width, height = chart.width * scale, chart.height * scale
    if path.suffix == ".png" and max(width, height) > _LARGEST:
        raise CryosnakeError(f"{path}: {width:.0f} x {height:.0f} pixels are too many for PNG; write "
                             "SVG, or draw only the surroundings of one job")
    with matplotlib.rc_context(_SETTINGS), replacing(path) as temporary:
        figure = _figure(chart)
        if path.suffix == ".tex":
            _save_latex(figure, temporary)
        elif path.suffix == ".svg":
            figure.savefig(temporary, format="svg", metadata={"Title": "Flowchart of the project", "Date": None})
            # Tooltips: Matplotlib writes no titles of parts, only their names.
            text = re.sub('<g id="title:([^"]*)">', r"<g><title>\1</title>", temporary.read_text(encoding="utf-8"))
            temporary.write_text(text, encoding="utf-8")
        else:
            figure.savefig(temporary, format=path.suffix[1:], dpi=_DPI * scale)


def _save_latex(figure: Figure, path: Path) -> None:
    """Write a document for pdflatex, without LaTeX itself, which Matplotlib's own `savefig` would need."""
    from matplotlib.backends.backend_pgf import RendererPgf

    class Renderer(RendererPgf):
        def get_text_width_height_descent(self, *_: object) -> tuple[float, float, float]:
            return 0.0, 0.0, 0.0  # LaTeX itself places each text by its anchor

        def draw_text(self, gc: Any, x: float, y: float, s: str, *rest: Any, **named: Any) -> None:
            super().draw_text(gc, x, y, s.translate(_LATEX_SPECIAL), *rest, **named)

    with open(path, "w", encoding="utf-8") as file:
        file.write(_LATEX_HEAD % tuple(figure.get_size_inches() + 0.02))  # with less, an empty page follows
        figure.draw(Renderer(figure, file))
        file.write(_LATEX_END)


def _figure(chart: Flowchart) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(chart.width / _DPI, chart.height / _DPI), facecolor=_PAPER)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, chart.width), ylim=(chart.height, 0))
    axes.set_axis_off()
    for arrow in chart.arrows:
        _draw_arrow(axes, arrow)
    for box in chart.boxes:
        _draw_box(axes, box)
    for arrow in chart.arrows:
        text, x, y, width = arrow.label
        title = f"title:{', '.join(arrow.nodes)}"
        _draw_field(axes, (x - width / 2, y - LABEL_HEIGHT / 2, width, LABEL_HEIGHT), LABEL_HEIGHT / 2,
                    facecolor=_FIELD, edgecolor="none", gid=title)
        _draw_text(axes, x, y + 4, text, LABEL_SIZE, color=_LABEL, ha="center", gid=title)
    return figure


def _draw_arrow(axes: Axes, arrow: Arrow) -> None:
    """Draw the line, vertical at both ends of each bend, and the head."""
    from matplotlib.patches import PathPatch, Polygon
    from matplotlib.path import Path

    x, y = arrow.points[-1]
    back = ARROW_LENGTH if y > arrow.points[-2][1] else -ARROW_LENGTH
    vertices = [arrow.points[0]]
    for (x0, y0), (x1, y1) in pairwise((*arrow.points[:-1], (x, y - back))):
        vertices += [(x0, (y0 + y1) / 2), (x1, (y0 + y1) / 2), (x1, y1)]
    line = Path(vertices, [Path.MOVETO] + [Path.CURVE4] * (len(vertices) - 1))
    axes.add_patch(PathPatch(line, facecolor="none", edgecolor=_LINE, linewidth=1.5 * _POINTS))
    axes.add_patch(Polygon([(x, y), (x - 4, y - back), (x + 4, y - back)], facecolor=_LINE, edgecolor="none"))


def _draw_box(axes: Axes, box: Box) -> None:
    from matplotlib.patches import Rectangle

    frame = (box.x, box.y, box.width, box.height)
    if box.status is None:
        title = f"title:{box.name}"
        _draw_field(axes, frame, 4, facecolor=_FILE, edgecolor=_FILE_FRAME, linestyle="--", gid=title)
        _draw_text(axes, box.x + box.width / 2, box.y + 17, box.title, LABEL_SIZE, color=_LABEL, ha="center", gid=title)
        return
    title, colour = f"title:{box.name}: {box.status.label}", COLOURS[box.status]
    paper = _draw_field(axes, frame, 6, facecolor=_PAPER, edgecolor=_FRAME, gid=title)
    edge = axes.add_patch(Rectangle(frame[:2], 6, box.height, facecolor=colour, edgecolor="none", gid=title))
    edge.set_clip_path(paper)
    left, right, upper, lower = box.x + 16, box.x + box.width - 12, box.y + 21, box.y + 39
    _draw_text(axes, left, upper, box.title, TITLE_SIZE, color=_INK, weight="bold", gid=title)
    _draw_text(axes, right, upper, box.number, TEXT_SIZE, color=_FAINT, ha="right", gid=title)
    _draw_text(axes, left, lower, box.alias, TEXT_SIZE, color=_INK, gid=title)
    _draw_text(axes, right, lower, box.state, TEXT_SIZE, color=colour, ha="right", gid=title)


def _draw_field(axes: Axes, frame: tuple[float, float, float, float], radius: float, **style: Any) -> Any:
    """Draw a rectangle (left, top, width, height) with rounded corners, px."""
    from matplotlib.patches import FancyBboxPatch

    shape = f"round,pad=0,rounding_size={radius}"
    return axes.add_patch(FancyBboxPatch(frame[:2], *frame[2:], shape, linewidth=_POINTS, **style))


def _draw_text(axes: Axes, x: float, y: float, text: str, size: float, **style: Any) -> None:
    axes.text(x, y, text, size=size * _POINTS, **style)
