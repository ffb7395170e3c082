"""`cryosnake run` and `preview`: Snakemake on the project in this folder, and what it would do."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

from cryosnake.cli.commands import Arguments, Commands, add_command
from cryosnake.errors import CryosnakeError
from cryosnake.installation import SNAKEFILES, snakemake_command
from cryosnake.project.building.run_preview import PreviewedJob, preview_run


def register(commands: Commands) -> None:
    """Add the commands of this module."""
    run = add_command(
        commands, "run", _run, help="run the project: Snakemake with the right Snakefile, profile and all cores",
        allow_abbrev=False, usage="cryosnake run [-d PROJECT] [Snakemake's arguments]",
        description="Runs what is unfinished. All arguments go to Snakemake: `cryosnake run -n` says what would run, "
        "`cryosnake run --cores 8` uses 8 cores, `snakemake --help` explains the others.")
    run.add_argument("-d", "--directory", type=Path, default=Path(), metavar="PROJECT", help="default: this folder")
    run.set_defaults(takes_more=True)
    preview = add_command(commands, "preview", _preview, help="say what a run would do: which jobs, why, and what it "
                          "may cost after earlier runs")
    preview.add_argument("jobs", nargs="*", metavar="JOB", help="names in config.yaml: only these and what they need")
    preview.add_argument("--json", action="store_true", help="print it as JSON")


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


def _preview(arguments: Arguments) -> None:
    found = preview_run(arguments.jobs)
    if arguments.json:
        print(json.dumps({"jobs": [asdict(job) for job in found.jobs], "held": found.held,
                          "core_hours": found.core_hours}, indent=1))
        return
    for job in found.jobs:
        print(f"{job.name} ({job.path}): {job.why}\n    {amount_of(job)}")
    for name, reason in found.held:
        print(f"{name} waits: {reason}")
    print(f"{len(found.jobs)} jobs, {found.core_hours:.2f} core hours where known; `cryosnake run` runs them"
          if found.jobs else "nothing to do")


def amount_of(job: PreviewedJob) -> str:
    """Return how much a job has to do, and what that may cost."""
    much = f"{job.micrographs:,} micrographs in {job.batches} batches, " if job.batches else ""
    if not job.cost.runs:
        return f"{much}no earlier run of {job.type} here"
    return f"{much}about {job.cost.core_hours:.2g} core hours ({job.cost.runs} earlier, per {job.cost.per})"
