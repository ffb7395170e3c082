"""`cryosnake flowchart`: a drawing of the jobs."""

from __future__ import annotations

import os
from pathlib import Path

from cryosnake.cli.commands import Arguments, Commands, add_command
from cryosnake.errors import CryosnakeError
from cryosnake.pipeline.find_process import find_job
from cryosnake.pipeline.unlocked import read_pipeline_unlocked
from cryosnake.project.planning.growth import outdated
from cryosnake.project.records.record import read_record
from cryosnake.report.flowchart.project import draw_flowchart


def register(commands: Commands) -> None:
    """Add the commands of this module."""
    flowchart = add_command(commands, "flowchart", _flowchart, help="draw the project's jobs, or the history of one")
    flowchart.add_argument("which", nargs="?", default="", metavar="JOB", help="only this job, what it depends on and "
                           "what depends on it: number, path or alias (default: all)")
    flowchart.add_argument("--out", type=Path, default=Path("flowchart.svg"), metavar="FILE",
                           help="FILE.svg, FILE.png, FILE.pdf, FILE.tex (LaTeX with PGF) or FILE.dot (Graphviz); "
                           "default flowchart.svg")
    flowchart.add_argument("--job", default="", help="the same as JOB")


def _flowchart(arguments: Arguments) -> None:
    job = arguments.which or arguments.job
    if not os.access(arguments.out.parent, os.W_OK):
        raise CryosnakeError(f"{arguments.out.parent.resolve()} can't be written to; name a file in a folder that can: "
                             "--out ~/flowchart.svg")
    records = {name: read_record(Path(name)) for name in read_pipeline_unlocked().processes}
    draw_flowchart(arguments.out, find_job(job).name if job else "",
                   remarks={name: outdated(record) for name, record in records.items()})
    print(arguments.out)
