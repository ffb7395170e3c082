"""`cryosnake`: what one wants from a project and Snakemake is not made for. Run in the project's folder.

`snakemake --cores N` runs the project.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from cryosnake import __version__
from cryosnake.errors import CryosnakeError


def main(words: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code (1 with a message for a mistake of the user)."""
    words = list(sys.argv[1:] if words is None else words)
    if words[:1] == ["simulate"]:
        from cryosnake.programs.simulate_cli import main as simulate

        return _guarded(lambda: simulate(words[1:]))
    arguments = _parser().parse_args(words)
    return _guarded(lambda: arguments.function(arguments))


def _guarded(function):  # type: ignore[no-untyped-def]
    try:
        return function() or 0
    except CryosnakeError as error:
        print(f"cryosnake: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="cryosnake", description=__doc__)
    parser.add_argument("--version", action="version", version=f"cryosnake {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    status = commands.add_parser("status", help="list the jobs: state, micrographs, time, size")
    status.set_defaults(function=_status)

    flowchart = commands.add_parser("flowchart", help="draw the project's jobs as SVG, PNG or Graphviz text")
    flowchart.add_argument("--out", type=Path, default=Path("flowchart.svg"), help="FILE.svg, FILE.png or FILE.dot")
    flowchart.add_argument("--job", default="", help="only this job, what it depends on and what depends on it")
    flowchart.set_defaults(function=_flowchart)

    retry = commands.add_parser("retry", help="ask again for micrographs that failed in a job")
    retry.add_argument("job", help="job directory or alias, such as MotionCorr/job002 or MotionCorr/motion")
    retry.add_argument("--rejected", action="store_true", help="also those that a quality gate turned down")
    retry.set_defaults(function=_retry)

    rebuild = commands.add_parser("rebuild-pipeline", help="write default_pipeline.star again from the job directories")
    rebuild.set_defaults(function=_rebuild)

    commands.add_parser("simulate", help="make a simulated data set (cryosnake simulate --help)")
    return parser


def _status(_: argparse.Namespace) -> None:
    from rich.console import Console
    from rich.table import Table

    from cryosnake.project.snakemake_lock import running_claim
    from cryosnake.project.status import human_age, human_size, project_status

    colours = {"Succeeded": "green", "Running": "yellow", "Failed": "red", "Aborted": "red", "Scheduled": "dim"}
    table = Table(box=None, pad_edge=False)
    for title in ("job", "name", "state"):
        table.add_column(title, no_wrap=True)
    jobs = project_status()
    counts = [name for name in ("done", "failed", "rejected") if any(getattr(job, name) for job in jobs)]
    for title in (*counts, "changed", "size"):
        table.add_column(title, justify="right", no_wrap=True)
    for job in jobs:
        numbers = [str(getattr(job, name) or "") for name in counts]
        table.add_row(job.path, job.alias, f"[{colours[job.state]}]{job.state}[/]", *numbers, human_age(job.changed),
                      human_size(job.size))
    console = Console(highlight=False)
    console.print(table)
    claim = running_claim()
    console.print(f"running: process {claim['pid']} on {claim['host']}" if claim else "no run is going on")


def _flowchart(arguments: argparse.Namespace) -> None:
    from cryosnake.report.project_flowchart import draw_flowchart

    draw_flowchart(arguments.out, arguments.job)
    print(arguments.out)


def _retry(arguments: argparse.Namespace) -> None:
    from cryosnake.project.retry import retry_failed

    names = retry_failed(arguments.job, rejected=arguments.rejected)
    print("\n".join(names))
    print(f"{len(names)} micrographs; `snakemake` processes them again" if names else "nothing to retry")


def _rebuild(_: argparse.Namespace) -> None:
    from cryosnake.pipeline.files import PIPELINE_FILE
    from cryosnake.pipeline.lock import rebuild_pipeline
    from cryosnake.pipeline.markers import write_node_markers

    warnings: list[str] = []
    pipeline = rebuild_pipeline(Path(), warnings)
    write_node_markers(Path(), pipeline)
    print("\n".join(warnings), file=sys.stderr, end="\n" if warnings else "")
    print(f"{PIPELINE_FILE}: {len(pipeline.processes)} jobs, {len(pipeline.nodes)} nodes")


if __name__ == "__main__":
    sys.exit(main())
