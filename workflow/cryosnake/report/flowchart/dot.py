"""Write a flowchart as Graphviz text, for those who lay it out with their own tools."""

from __future__ import annotations

import os
from collections.abc import Mapping

from cryosnake.pipeline.model import Pipeline
from cryosnake.pipeline.star_text import write_atomically
from cryosnake.report.flowchart.chart import Box, layout
from cryosnake.report.flowchart.svg import COLOURS


def write_dot(path: str | os.PathLike[str], pipeline: Pipeline, counts: Mapping[str, int] | None = None,
              notes: Mapping[str, str] | None = None, around: str = "", title: str = "") -> None:
    """Write the pipeline as a Graphviz file (`dot -Tpdf`); see `flowchart.layout` for the parameters."""
    chart = layout(pipeline, counts, notes, around)
    lines = ["digraph project {", f"  graph [label={_quoted(title)} labelloc=t fontname=Helvetica];",
             '  node [shape=box style=rounded fontname=Helvetica fontsize=11];',
             '  edge [color="#9aa3b2" fontname=Helvetica fontsize=9];']
    lines += [f"  {_quoted(box.name)} [{_attributes(box)}];" for box in chart.boxes]
    lines += [f"  {_quoted(arrow.source)} -> {_quoted(arrow.target)} [label={_quoted(arrow.label.text)}];"
              for arrow in chart.arrows]
    write_atomically(path, "\n".join([*lines, "}", ""]))


def _attributes(box: Box) -> str:
    if box.status is None:
        return f"label={_quoted(box.title)} style=dashed"
    text = "\n".join(filter(None, [f"{box.title} {box.number}", box.alias, box.note or box.status.label.lower()]))
    return f'label={_quoted(text)} color="{COLOURS[box.status]}"'


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
