"""Shared parts of the command-line modules."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

Commands = Any  # argparse's subparsers, whose type has no public name
Arguments = argparse.Namespace

JOB_HELP = "number, path or alias: 7, CtfFind/job007, CtfFind/ctf, ctf"


def add_command(commands: Commands, name: str, function: Callable[[Arguments], int | None], *, job: bool = False,
                **more: Any) -> argparse.ArgumentParser:
    """Add a command that calls `function` and return its parser; with `job`, its first argument names a job."""
    parser: argparse.ArgumentParser = commands.add_parser(name, **more)
    parser.set_defaults(function=function)
    if job:
        parser.add_argument("job", help=JOB_HELP)
    return parser
