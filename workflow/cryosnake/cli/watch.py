"""`cryosnake watch`: process the movies of a session while they arrive."""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path

from cryosnake.cli.commands import Arguments, Commands, add_command
from cryosnake.watching.session import run_session
from cryosnake.watching.session_state import WatchOptions
from cryosnake.watching.snakemake_call import read_arguments


def register(commands: Commands) -> None:
    """Add the commands of this module."""
    watch = add_command(
        commands, "watch", _watch, help="follow a session: call Snakemake whenever there is something to do",
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter, usage="cryosnake watch [options] [Snakemake's arguments]",
        description="Follows the project in this folder while its movies arrive, and calls Snakemake when there is "
        "something to do.\nAll other arguments go to Snakemake: cryosnake watch --idle-stop 60 --cores 16",
        epilog="watch_status.txt says at any time what it does. docs/on-the-fly.md explains it all.")
    watch.add_argument("--rounds", type=int, default=0, metavar="N", help="end after so many calls (default: never)")
    watch.add_argument("--minutes", type=float, default=0, metavar="M", help="at least so long between the beginnings "
                       "of two rounds")
    watch.add_argument("--wait", type=float, default=0, metavar="MIN", help="begin after so many minutes")
    watch.add_argument("--idle-stop", type=float, default=0, metavar="MIN", help="end when nothing arrived for so long")
    watch.add_argument("--stop-file", type=Path, default=Path("STOP_WATCH"), metavar="F", help="end when this file "
                       "appears (default STOP_WATCH)")
    watch.add_argument("--seal-after", type=float, metavar="MIN", help="how long movies wait for a full batch "
                       "(default: the config's seal_after, 10)")
    watch.add_argument("--grow", type=float, default=2, metavar="F", help="a job that takes particles begins again "
                       "when they grew by this factor (default 2)")
    watch.add_argument("--every", type=float, default=10, metavar="SEC", help="seconds between two looks (default 10)")
    watch.add_argument("--keep-free", type=float, default=1, metavar="GB", help="pause when the disk has less (default "
                       "1)")
    watch.add_argument("--micrograph-cores", type=int, metavar="N", help="cores for micrographs while classification "
                       "or refinement runs (default: a quarter of --cores; 0: micrographs wait)")
    watch.set_defaults(takes_more=True)


def _watch(arguments: Arguments) -> int:
    given = {field.name: getattr(arguments, field.name) for field in fields(WatchOptions) if field.name != "snakemake"}
    return run_session(WatchOptions(read_arguments(arguments.more), **given))
