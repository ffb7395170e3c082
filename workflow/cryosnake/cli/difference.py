"""`cryosnake diff`: what differs between two jobs."""

from __future__ import annotations

from cryosnake.cli.commands import Arguments, Commands, add_command
from cryosnake.pipeline.find_process import find_job
from cryosnake.pipeline.unlocked import read_pipeline_unlocked
from cryosnake.project.actions.difference import Difference, job_difference


def register(commands: Commands) -> None:
    """Add the commands of this module."""
    diff = add_command(commands, "diff", _diff, help="compare two jobs: parameters, inputs, key results")
    diff.add_argument("first", metavar="JOB1", help="number, path or alias")
    diff.add_argument("second", metavar="JOB2")


def _diff(arguments: Arguments) -> None:
    pipeline = read_pipeline_unlocked()
    first, second = (find_job(text, pipeline) for text in (arguments.first, arguments.second))
    found = job_difference(pipeline, first, second)
    if not found:
        print("no difference in parameters, inputs and key results")
        return
    names = [f"{job.name.rstrip('/')} {job.short_alias}".strip() for job in (first, second)]
    rows = [Difference("", "", *names), *found]
    width = [max(len(row[i]) for row in ((r.kind, r.name, r.first) for r in rows)) for i in range(3)]
    for row in rows:
        print(f"{row.kind:<{width[0]}}  {row.name:<{width[1]}}  {row.first:<{width[2]}}  {row.second}".rstrip())
