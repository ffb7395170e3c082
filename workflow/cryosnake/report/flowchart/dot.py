"""A flowchart as Graphviz text, for layout with other tools."""

from __future__ import annotations

from cryosnake.report.flowchart.chart import Box, Flowchart
from cryosnake.report.flowchart.drawing import COLOURS


def dot_text(chart: Flowchart) -> str:
    """Return the text of a Graphviz file (`dot -Tpdf`)."""
    return "\n".join([
        "digraph project {", '  graph [label="" labelloc=t fontname=Helvetica];',
        "  node [shape=box style=rounded fontname=Helvetica fontsize=11];",
        '  edge [color="#9aa3b2" fontname=Helvetica fontsize=9];',
        *(f"  {_quoted(box.name)} [{_attributes(box)}];" for box in chart.boxes),
        *(f"  {_quoted(arrow.source)} -> {_quoted(arrow.target)} [label={_quoted(arrow.label.text)}];"
          for arrow in chart.arrows), "}", ""])


def _attributes(box: Box) -> str:
    if box.status is None:
        return f"label={_quoted(box.title)} style=dashed"
    text = "\n".join(filter(None, [f"{box.title} {box.number}", box.alias, box.state]))
    return f'label={_quoted(text)} color="{COLOURS[box.status]}"'


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
