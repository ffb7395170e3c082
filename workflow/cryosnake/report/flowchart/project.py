"""The flowchart of the project in the working directory, with the counts of what flows."""

from __future__ import annotations

from pathlib import Path

from cryosnake.errors import CryosnakeError
from cryosnake.io.star_rows import count_rows
from cryosnake.pipeline.model import Pipeline
from cryosnake.pipeline.unlocked import read_pipeline_unlocked


def draw_flowchart(out: Path, job: str = "", project: Path = Path()) -> None:
    """Write the flowchart as FILE.svg, FILE.png, FILE.dot (Graphviz text), FILE.tex (TikZ, RELION's form) or FILE.pdf.

    Raises
    ------
    CryosnakeError
        for another extension, or a job that the project does not have
    """
    pipeline = read_pipeline_unlocked(project)
    counts = node_counts(pipeline, project)
    if out.suffix == ".svg":
        from cryosnake.report.flowchart.svg import write_svg as write
    elif out.suffix == ".png":
        from cryosnake.report.flowchart.png import write_png as write
    elif out.suffix == ".dot":
        from cryosnake.report.flowchart.dot import write_dot as write
    elif out.suffix == ".tex":
        from cryosnake.report.flowchart.tikz import write_tex as write
    elif out.suffix == ".pdf":
        from cryosnake.report.flowchart.tikz import write_pdf as write
    else:
        raise CryosnakeError(f"{out}: a flowchart is written as .svg, .png, .dot, .tex or .pdf")
    write(out, pipeline, counts=counts, around=job)


def node_counts(pipeline: Pipeline, project: Path = Path()) -> dict[str, int]:
    """Return the number of rows of every node that is a STAR file of movies, micrographs or particles."""
    counts = {name: count_rows(project / name) for name in pipeline.nodes if name.endswith(".star")}
    return {name: count for name, count in counts.items() if count}
