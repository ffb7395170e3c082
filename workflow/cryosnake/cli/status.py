"""`cryosnake status` and `cryosnake list`: the jobs at a glance."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from cryosnake.cli.commands import Arguments, Commands, add_command, add_json, print_json
from cryosnake.human import human_age, human_size
from cryosnake.project.actions.as_data import job_data
from cryosnake.project.actions.choosing import project_waits
from cryosnake.project.actions.status import JobStatus, chosen, project_status
from cryosnake.project.locks.snakemake_lock import running_claim
from cryosnake.project.records.movies import not_imported
from cryosnake.project.records.record import read_record

_SHOWN = 10  # movies that are not imported
_COLOURS = {"Succeeded": "green", "Running": "yellow", "Failed": "red", "Aborted": "red", "Scheduled": "dim"}


def register(commands: Commands) -> None:
    """Add the commands of this module."""
    add_json(add_command(commands, "status", _status, help="list the jobs, and whether a run is in progress"))
    listed = add_command(commands, "list", _list, help="list the jobs: state, micrographs, time, size")
    listed.add_argument("--state", default="", metavar="WORD",
                        help="only jobs that are running, scheduled, succeeded, failed, aborted, killed, replaced or "
                        "final")
    listed.add_argument("--type", default="", metavar="FOLDER", help="only jobs of a type, such as Class2D")
    how = listed.add_mutually_exclusive_group()
    how.add_argument("--names", action="store_true", help="print one path per line, for pipes")
    add_json(how)


def _status(arguments: Arguments) -> None:
    if arguments.json:
        print_json(_status_data)
        return
    jobs = project_status()
    _table(jobs)
    for job in jobs:
        for line in movies_not_imported(job.path):
            print(line)
    claim = running_claim()
    Console(highlight=False).print(f"running: {claim}" if claim else "no run is in progress")
    _say_what_waits()


def _status_data() -> dict[str, Any]:
    jobs, claim = project_status(), running_claim()
    left_out = [{"job": job.path, "movie": name, "reason": reason} for job in jobs
                for name, reason in not_imported(job.path, read_record(Path(job.path)))]
    return _list_data(jobs) | {"running": str(claim) if claim else None, "not_imported": left_out}


def _list_data(jobs: list[JobStatus]) -> dict[str, Any]:
    return {"jobs": [job_data(job) for job in jobs], "waiting": [waiting.line for waiting in project_waits()]}


def movies_not_imported(job: str) -> list[str]:
    """Return a line that counts the movies that an import job leaves out, and some of them with their reasons."""
    left_out = not_imported(job, read_record(Path(job)))
    if not left_out:
        return []
    shown = [f"  {name}: {reason}" for name, reason in left_out[:_SHOWN]]
    more = [f"  and {len(left_out) - _SHOWN} more"] if len(left_out) > _SHOWN else []
    return [f"{len(left_out)} not imported into {job}, and not counted above:", *shown, *more]


def _list(arguments: Arguments) -> None:
    if arguments.json:
        print_json(lambda: _list_data(chosen(project_status(), arguments.state, arguments.type)))
        return
    jobs = chosen(project_status(), arguments.state, arguments.type)
    if arguments.names:
        for job in jobs:
            print(job.path)
    else:
        _table(jobs)
        _say_what_waits()


def _say_what_waits() -> None:
    for waiting in project_waits():
        print(waiting.line)


def _table(jobs: list[JobStatus]) -> None:
    table = Table(box=None, pad_edge=False)
    for title in ("job", "name", "state"):
        table.add_column(title, no_wrap=True)
    counts = [name for name in ("done", "failed", "rejected") if any(getattr(job, name) for job in jobs)]
    for title in (*counts, "changed", "size"):
        table.add_column(title, justify="right", no_wrap=True)
    if any(job.outdated for job in jobs):
        table.add_column("")
    for job in jobs:
        numbers = [str(getattr(job, name) or "") for name in counts]
        colour = "red" if job.dead else _COLOURS[job.state]
        age = human_age(job.changed) if job.changed else "no folder"
        table.add_row(job.path, job.alias, f"[{colour}]{job.full_state}[/]{' final' if job.final else ''}", *numbers,
                      age, human_size(job.size), *filter(None, [job.outdated]))
    width = None if sys.stdout.isatty() else 1000  # a pipe has no width: nothing may be cut off
    Console(highlight=False, width=width).print(table)
