"""`cryosnake status`: the jobs at a glance."""

from __future__ import annotations

from cryosnake.cli.commands import Arguments, Commands

_COLOURS = {"Succeeded": "green", "Running": "yellow", "Failed": "red", "Aborted": "red", "Scheduled": "dim"}


def register(commands: Commands) -> None:
    """Add the commands of this module."""
    status = commands.add_parser("status", help="list the jobs: state, micrographs, time, size")
    status.set_defaults(function=_status)


def _status(_: Arguments) -> None:
    from rich.console import Console
    from rich.table import Table

    from cryosnake.project.snakemake_lock import running_claim
    from cryosnake.project.status import human_age, human_size, project_status

    table = Table(box=None, pad_edge=False)
    for title in ("job", "name", "state"):
        table.add_column(title, no_wrap=True)
    jobs = project_status()
    counts = [name for name in ("done", "failed", "rejected") if any(getattr(job, name) for job in jobs)]
    for title in (*counts, "changed", "size"):
        table.add_column(title, justify="right", no_wrap=True)
    for job in jobs:
        numbers = [str(getattr(job, name) or "") for name in counts]
        table.add_row(job.path, job.alias, f"[{_COLOURS[job.state]}]{job.state}[/]", *numbers, human_age(job.changed),
                      human_size(job.size))
    console = Console(highlight=False)
    console.print(table)
    claim = running_claim()
    console.print(f"running: process {claim['pid']} on {claim['host']}" if claim else "no run is going on")
