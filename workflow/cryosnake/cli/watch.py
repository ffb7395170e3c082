"""`cryosnake watch`: process the movies of a session as they arrive."""

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
        description="Follows the project in this folder as its movies arrive, and calls Snakemake when there is "
        "something to do.\nAll other arguments go to Snakemake: cryosnake watch --idle-stop 60 --cores 16",
        epilog="watch_status.txt says what it is doing. See docs/on-the-fly.md.")
    watch.add_argument("--rounds", type=int, default=0, metavar="N", help="stop after N calls (default: never)")
    watch.add_argument("--minutes", type=float, default=0, metavar="M", help="minimum time between the starts of two "
                       "rounds")
    watch.add_argument("--wait", type=float, default=0, metavar="MIN", help="start after this many minutes")
    watch.add_argument("--idle-stop", type=float, default=0, metavar="MIN", help="stop when idle for this long")
    watch.add_argument("--stop-file", type=Path, default=Path("STOP_WATCH"), metavar="F", help="stop when this file "
                       "appears (default STOP_WATCH)")
    watch.add_argument("--seal-after", type=float, metavar="MIN", help="how long movies wait for a full batch "
                       "(default: the config's seal_after, 10)")
    watch.add_argument("--grow", type=float, default=2, metavar="F", help="a job of all particles starts again when "
                       "their number has grown by this factor (default 2)")
    watch.add_argument("--every", type=float, default=10, metavar="SEC", help="seconds between surveys (default 10)")
    watch.add_argument("--keep-free", type=float, default=1, metavar="GB", help="pause below this much free space "
                       "(default 1)")
    watch.add_argument("--micrograph-cores", type=int, metavar="N", help="cores for micrographs while classification "
                       "or refinement runs (default: a quarter of --cores; 0: micrographs wait)")
    watch.set_defaults(takes_more=True)


def _watch(arguments: Arguments) -> int:
    given = {field.name: getattr(arguments, field.name) for field in fields(WatchOptions) if field.name != "snakemake"}
    return run_session(WatchOptions(read_arguments(arguments.more), **given))
