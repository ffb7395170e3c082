"""The flowchart of the project in the working directory, with the counts of what is passed on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from cryosnake.atomic import write_text
from cryosnake.errors import CryosnakeError
from cryosnake.io.star_rows import count_rows
from cryosnake.pipeline.model import Pipeline
from cryosnake.pipeline.unlocked import read_pipeline_unlocked
from cryosnake.report.flowchart.chart import layout
from cryosnake.report.flowchart.dot import dot_text
from cryosnake.report.flowchart.drawing import write_picture


def draw_flowchart(out: Path, job: str = "", project: Path = Path(), *,
                   remarks: Mapping[str, str] | None = None) -> None:
    """Write the flowchart as FILE.svg, FILE.png, FILE.pdf, FILE.tex (LaTeX with PGF) or FILE.dot (Graphviz text).

    `job` is the process name of the job whose history is drawn; without it all jobs are. `remarks` are words about
    jobs, by process name, that are written after the status.

    Raises
    ------
    CryosnakeError
        for another extension
    """
    if out.suffix not in (".svg", ".png", ".dot", ".tex", ".pdf"):
        raise CryosnakeError(f"{out}: a flowchart is written as .svg, .png, .dot, .tex or .pdf")
    pipeline = read_pipeline_unlocked(project)
    chart = layout(pipeline, node_counts(pipeline, project), job, remarks)
    if out.suffix == ".dot":
        write_text(out, dot_text(chart))
    else:
        write_picture(out, chart)


def node_counts(pipeline: Pipeline, project: Path = Path()) -> dict[str, int]:
    """Return the number of rows of every node that is a STAR file of movies, micrographs or particles."""
    counts = {name: count_rows(project / name) for name in pipeline.nodes if name.endswith(".star")}
    return {name: count for name, count in counts.items() if count}
