"""Shared parts of the command-line modules."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
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


def add_json(parser: Any) -> None:
    """Let a command print JSON."""
    parser.add_argument("--json", action="store_true", help="print JSON, and nothing else (docs/running.md)")


def print_json(made: Callable[[], Any]) -> None:
    """Print as JSON what a function returns; what is printed meanwhile goes to stderr."""
    from cryosnake.project.actions.as_data import json_text

    with redirect_stdout(sys.stderr):
        text = json_text(made())
    print(text)
