"""`cryosnake report`: one HTML file about the project, to be sent."""

from __future__ import annotations

import os
from pathlib import Path

from cryosnake.cli.commands import Arguments, Commands, add_command
from cryosnake.errors import CryosnakeError
from cryosnake.human import human_size


def register(commands: Commands) -> None:
    """Add the command of this module."""
    report = add_command(commands, "report", _report, help="write one HTML file about the project: results, pictures, "
                         "a map to turn, methods")
    report.add_argument("--out", type=Path, default=Path("report.html"), metavar="FILE", help="default report.html")


def _report(arguments: Arguments) -> None:
    from cryosnake.pages.report import write_report  # late: NumPy and templates, for no other command

    out = arguments.out
    if not os.access(out.parent, os.W_OK):
        raise CryosnakeError(f"{out.parent.resolve()} can't be written to; name a file in a folder that can: "
                             f"--out ~/{out.name}")
    project = write_report(out)
    for warning in project.warnings:
        print(warning)
    print(f"{out}  {human_size(out.stat().st_size)}")
