"""A run that goes on by itself: started in a session of its own, with its log, and asked to stop as Ctrl-C does."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from cryosnake.atomic import own_file, write_text
from cryosnake.errors import CryosnakeError
from cryosnake.installation import snakemake_command
from cryosnake.json_files import read_json
from cryosnake.processes import process, read_process
from cryosnake.project.building.run_preview import preview_run
from cryosnake.project.locks.clean_up_lock import clean_up_owner
from cryosnake.project.locks.snakemake_lock import running_claim
from cryosnake.project.records.archive import refuse_archived

LOG = Path(".cryosnake/started_run.log")
_STATE = Path(".cryosnake/started_run.json")


@dataclass(frozen=True)
class StartedRun:
    """The last run that was started by itself: its command, when (time of day), and whether it still works."""

    command: str
    began: str
    lives: bool


def start_run(cores: int | None = None, names: Sequence[str] = ()) -> StartedRun:
    """Start Snakemake on the project in the working directory, and return at once; it survives who started it.

    The project's own Snakefile and profile are taken, as by `cryosnake run`.

    Parameters
    ----------
    cores
        At most so many of this computer; None: what the profile says, or all.
    names
        Jobs of the config up to which it goes; all without.

    Raises
    ------
    CryosnakeError
        when a run or a clean-up works in the project, it is archived, has no such job, or nothing of these can run
    """
    refuse_archived()
    owner = running_claim() or clean_up_owner()
    if owner:
        raise CryosnakeError(f"another run works in this project ({owner}); this one was not started")
    last = started_run()
    if last and last.lives:
        raise CryosnakeError(f"a run was started at {last.began}, and works; this one was not started")
    files = preview_run(names).files
    if names and not files:  # Snakemake takes no file for all
        raise CryosnakeError(f"{', '.join(names)}: nothing of this can run now; `cryosnake preview` says what it waits "
                             "for. Nothing was started")
    words = [*(["--cores", str(cores)] if cores else []), *files]
    LOG.parent.mkdir(exist_ok=True)
    with open(LOG, "wb", opener=own_file) as log:
        begun = subprocess.Popen(snakemake_command(words), stdin=subprocess.DEVNULL, stdout=log,
                                 stderr=subprocess.STDOUT, start_new_session=True, cwd=os.getcwd())
    run = StartedRun(run_command(cores, files), time.strftime("%Y-%m-%d %H:%M:%S"), True)
    write_text(_STATE, json.dumps({**asdict(process(begun.pid)), "command": run.command, "began": run.began}))
    return run


def run_command(cores: int | None = None, files: Sequence[str] = ()) -> str:
    """Return the command that does the same in a terminal."""
    return shlex.join(["cryosnake", "run", *(["--cores", str(cores)] if cores else []), *files])


def started_run(project: Path = Path()) -> StartedRun | None:
    """Return the last run that was started so, None without one."""
    try:
        found = read_json(project / _STATE)
    except (OSError, ValueError):
        return None
    owner = read_process(found)
    return StartedRun(str(found.get("command", "")), str(found.get("began", "")), owner.lives()) if owner else None


def run_log(lines: int = 40) -> list[str]:
    """Return the last lines of what the last run that was started so has printed."""
    try:
        with open(LOG, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 300 * lines))
            return file.read().decode(errors="replace").splitlines()[-lines:]
    except FileNotFoundError:
        return []


def stop_run() -> str:
    """Ask the run in progress to stop, as Ctrl-C does in its terminal; return what was done.

    Raises
    ------
    CryosnakeError
        when there is none, or it works on another computer, or belongs to somebody else
    """
    owner = running_claim()
    if owner is None:
        raise CryosnakeError("no run is in progress: there is nothing to stop")
    if owner.host != os.uname().nodename:
        raise CryosnakeError(f"the run is {owner}: stop it there, with Ctrl-C or kill -INT {owner.pid}")
    try:
        if os.getpgid(owner.pid) == owner.pid:
            os.killpg(owner.pid, signal.SIGINT)
        else:
            os.kill(owner.pid, signal.SIGINT)
    except ProcessLookupError:
        raise CryosnakeError("the run has just ended") from None
    except PermissionError:
        raise CryosnakeError(f"the run ({owner}) is another user's, who can stop it") from None
    return f"the run ({owner}) was asked to stop"
