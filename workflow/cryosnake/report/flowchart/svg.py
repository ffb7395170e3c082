"""Draw a flowchart as SVG text: no library, readable in any browser, small."""

from __future__ import annotations

import os
from collections.abc import Mapping
from html import escape
from itertools import pairwise

from cryosnake.pipeline.model import Pipeline, Status
from cryosnake.pipeline.star_text import write_atomically
from cryosnake.report.flowchart.chart import ARROW_LENGTH, LABEL_HEIGHT, Arrow, Box, Flowchart, layout

# Dark enough for white paper, told apart by people who see no red or green, and said in words beside.
COLOURS = {
    Status.SUCCEEDED: "#2a7f62",
    Status.RUNNING: "#2468b4",
    Status.SCHEDULED: "#8a8f98",
    Status.FAILED: "#c0392b",
    Status.ABORTED: "#c77700",
}
INK, FAINT, LINE, PAPER, FIELD = "#1d2430", "#626b7a", "#9aa3b2", "#ffffff", "#eef1f5"
HEADER = 40.0  # px above the picture when it has a title

_STYLE = f"""
text {{ font-family: "Segoe UI", "Helvetica Neue", Helvetica, Arial, "DejaVu Sans", sans-serif; fill: {INK} }}
.headline {{ font-size: 17px; font-weight: 600 }}
.title {{ font-size: 14px; font-weight: 600 }}
.text {{ font-size: 12px }}
.faint {{ font-size: 12px; fill: {FAINT} }}
.label {{ font-size: 11px; fill: #3c4555; text-anchor: middle }}
.right {{ text-anchor: end }}
.arrow {{ fill: none; stroke: {LINE}; stroke-width: 1.5 }}
.head {{ fill: {LINE} }}
.field {{ fill: {FIELD} }}
.box {{ fill: {PAPER}; stroke: #c9cfd8; stroke-width: 1 }}
.file {{ fill: #fafbfc; stroke: #b4bcc8; stroke-dasharray: 4 3 }}
"""


def write_svg(path: str | os.PathLike[str], pipeline: Pipeline, counts: Mapping[str, int] | None = None,
              notes: Mapping[str, str] | None = None, around: str = "", title: str = "") -> None:
    """Draw the pipeline as an SVG file; see `flowchart.layout` for the parameters."""
    write_atomically(path, svg_text(layout(pipeline, counts, notes, around), title))


def svg_text(chart: Flowchart, title: str = "") -> str:
    """Return a flowchart as the text of an SVG file."""
    top = HEADER if title else 0.0
    present = legend_of(chart)
    width, height = size_of(chart, title)
    shift = (width - chart.width) / 2
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" role="img">',
        f"<title>{escape(title or 'Flowchart of the project')}</title>",
        f"<style>{_STYLE}</style>",
        f'<rect width="100%" height="100%" fill="{PAPER}"/>',
        *([f'<text class="headline" x="28" y="34">{escape(title)}</text>'] if title else []),
        f'<g transform="translate({shift:.1f} {top:.0f})">',
        *map(_arrow_line, chart.arrows),
        *map(_box, chart.boxes),
        *map(_label, chart.arrows),
        "</g>",
        *(_legend(status, 28.0 + 110.0 * index, height - 22.0) for index, status in enumerate(present)),
        "</svg>\n",
    ])


def legend_of(chart: Flowchart) -> list[Status]:
    """Return the states whose colours need a legend: none while each box says its state in words."""
    if not any(box.note for box in chart.boxes):
        return []
    return [status for status in Status if any(box.status == status for box in chart.boxes)]


def size_of(chart: Flowchart, title: str) -> tuple[float, float]:
    """Return width and height of the whole picture in px."""
    legend = legend_of(chart)
    width = max(chart.width, 28.0 + 110.0 * len(legend), 40.0 + 10.0 * len(title))
    return width, (HEADER if title else 0.0) + chart.height + (30.0 if legend else 0.0)


def curve(points: tuple[tuple[float, float], ...]) -> list[tuple[str, list[tuple[float, float]]]]:
    """Return an arrow as drawing steps M(ove), L(ine) or C(ubic) with their points; it ends before the head."""
    steps: list[tuple[str, list[tuple[float, float]]]] = [("M", [points[0]])]
    for (x0, y0), (x1, y1) in pairwise(points):
        if abs(x1 - x0) < 0.5:
            steps.append(("L", [(x1, y1)]))
        else:
            middle = (y0 + y1) / 2
            steps.append(("C", [(x0, middle), (x1, middle), (x1, y1)]))
    x, y = steps[-1][1][-1]
    back = ARROW_LENGTH - 1 if points[-1][1] > points[-2][1] else 1 - ARROW_LENGTH
    steps[-1][1][-1] = (x, y - back)
    return steps


def _arrow_line(arrow: Arrow) -> str:
    line = " ".join(code + " ".join(f"{x:.1f},{y:.1f}" for x, y in points) for code, points in curve(arrow.points))
    x, y = arrow.points[-1]
    back = ARROW_LENGTH if arrow.points[-1][1] > arrow.points[-2][1] else -ARROW_LENGTH
    head = f"{x:.1f},{y:.1f} {x - 4:.1f},{y - back:.1f} {x + 4:.1f},{y - back:.1f}"
    return f'<path class="arrow" d="{line}"/><polygon class="head" points="{head}"/>'


def _label(arrow: Arrow) -> str:
    text, x, y, width = arrow.label
    left, top = x - width / 2, y - LABEL_HEIGHT / 2
    return (f'<g><title>{escape(", ".join(arrow.nodes))}</title>'
            f'<rect class="field" x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{LABEL_HEIGHT:.1f}" '
            f'rx="{LABEL_HEIGHT / 2:.1f}"/>'
            f'<text class="label" x="{x:.1f}" y="{y + 4:.1f}">{escape(text)}</text></g>')


def _box(box: Box) -> str:
    frame = f'x="{box.x:.1f}" y="{box.y:.1f}" width="{box.width:.1f}" height="{box.height:.1f}"'
    if box.status is None:
        middle = box.x + box.width / 2
        return (f'<g><title>{escape(box.name)}</title><rect class="file" {frame} rx="4"/>'
                f'<text class="label" x="{middle:.1f}" y="{box.y + 17:.1f}">{escape(box.title)}</text></g>')
    colour, right = COLOURS[box.status], box.x + box.width - 12
    return "".join([
        f"<g><title>{escape(box.name)}: {box.status.label}</title>",
        f'<rect class="box" {frame} rx="6"/>',
        f'<path fill="{colour}" d="{_strip(box)}"/>',
        f'<text class="title" x="{box.x + 16:.1f}" y="{box.y + 21:.1f}">{escape(box.title)}</text>',
        f'<text class="faint right" x="{right:.1f}" y="{box.y + 21:.1f}">{escape(box.number)}</text>',
        f'<text class="text" x="{box.x + 16:.1f}" y="{box.y + 39:.1f}">{escape(box.alias)}</text>',
        f'<text class="text right" style="fill: {colour}" x="{right:.1f}" y="{box.y + 39:.1f}">'
        f"{escape(box.note or box.status.label.lower())}</text></g>",
    ])


def _strip(box: Box) -> str:
    """Return the coloured left edge of a box, with the box's round corners."""
    x, y, bottom = box.x, box.y, box.y + box.height
    return f"M{x + 6:.1f},{y:.1f} a6,6 0 0 0 -6,6 V{bottom - 6:.1f} a6,6 0 0 0 6,6 z"


def _legend(status: Status, x: float, y: float) -> str:
    return (f'<rect x="{x:.1f}" y="{y:.1f}" width="11" height="11" rx="2" fill="{COLOURS[status]}"/>'
            f'<text class="faint" x="{x + 17:.1f}" y="{y + 10:.1f}">{status.label.lower()}</text>')
