"""`cryosnake run`: Snakemake on the project in this folder."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from cryosnake.cli.commands import Arguments, Commands, add_command
from cryosnake.errors import CryosnakeError
from cryosnake.installation import SNAKEFILES, snakemake_command


def register(commands: Commands) -> None:
    """Add the commands of this module."""
    run = add_command(
        commands, "run", _run, help="run the project: Snakemake with the right Snakefile, profile and all cores",
        allow_abbrev=False, usage="cryosnake run [-d PROJECT] [Snakemake's arguments]",
        description="Runs what is unfinished. All arguments go to Snakemake: `cryosnake run -n` says what would run, "
        "`cryosnake run --cores 8` uses 8 cores, `snakemake --help` explains the others.")
    run.add_argument("-d", "--directory", type=Path, default=Path(), metavar="PROJECT", help="default: this folder")
    run.set_defaults(takes_more=True)


def _run(arguments: Arguments) -> None:
    folder, words = arguments.directory, arguments.more
    named = {word.partition("=")[0] for word in words}
    started = any((folder / name).exists() for name in ("config.yaml", *SNAKEFILES))
    if not started and not named & {"--configfile", "--configfiles", "-s", "--snakefile"}:
        raise CryosnakeError(f"{folder.resolve()} is not a project: it has no config.yaml. Go to the project's folder "
                             "(or name it: -d PROJECT), or start one in the folder of your movies: cryosnake init")
    if not os.access(folder, os.W_OK) and not named & {"-n", "--dry-run", "--dryrun"}:
        raise CryosnakeError(f"{folder.resolve()} can't be written to: a run writes its results there. Work as its "
                             "owner, or start a project in a folder of your own: cryosnake init")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))  # "~" stays where nobody knows it
    known = cache.parts[0] != "~"
    if not known or not os.access(next(place for place in (cache, *cache.parents) if place.exists()), os.W_OK):
        raise CryosnakeError(f"Snakemake and numba keep files in {cache}, which can't be written to. Name a folder "
                             "that can, for example: export XDG_CACHE_HOME=/scratch/$USER/cache")
    command = snakemake_command(words, folder)
    if folder != Path():
        command += ["--directory", str(folder)]
    sys.stdout.flush()
    os.execv(command[0], command)
