"""`cryosnake flowchart`: a drawing of the jobs."""

from __future__ import annotations

from pathlib import Path

from cryosnake.cli.commands import Arguments, Commands


def register(commands: Commands) -> None:
    """Add the commands of this module."""
    flowchart = commands.add_parser("flowchart", help="draw the project's jobs as SVG, PNG or Graphviz text")
    flowchart.add_argument("--out", type=Path, default=Path("flowchart.svg"), help="FILE.svg, FILE.png or FILE.dot")
    flowchart.add_argument("--job", default="", help="only this job, what it depends on and what depends on it")
    flowchart.set_defaults(function=_flowchart)


def _flowchart(arguments: Arguments) -> None:
    from cryosnake.report.project_flowchart import draw_flowchart

    draw_flowchart(arguments.out, arguments.job)
    print(arguments.out)
