"""The same command once more, by itself, when a run has made the particles for which other jobs waited.

Snakemake decides what it makes before it makes the first file, and a job gets its number in a run that will make it.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
from pathlib import Path

from cryosnake.project.planning.growth import missing_particles
from cryosnake.project.planning.planned import Plan

_jobs: list[str] = []  # that have enough particles now


def repeat_at_exit() -> None:
    """Let the process start again at its end, if `go_on` finds a reason; what is registered later is done before."""
    _jobs.clear()
    atexit.register(_repeat)


def go_on(plan: Plan, *, by_itself: bool) -> None:
    """After a run that succeeded: go on with the jobs that waited for particles, or say that they can be made."""
    jobs = plan.jobs.values()
    found = [job.name for job in plan.own if job.config.at_least and job.why_held and not missing_particles(job, jobs)
             and not (job.choice and job.choice.waits)]
    if not found:
        return
    by_itself = by_itself and _is_snakemake()
    print(f"{', '.join(found)}: there are enough particles now; "
          + ("continuing" if by_itself else "the next run continues with that"), file=sys.stderr)
    if by_itself:
        _jobs.extend(found)


def _is_snakemake() -> bool:
    """Whether this process is the command `snakemake`, not a program that calls Snakemake's functions."""
    words = sys.orig_argv[1:]
    return Path(words[0]).name == "snakemake" or words[:2] == ["-m", "snakemake"] if words else False


def _repeat() -> None:
    if _jobs:
        logging.shutdown()  # which Python would do after this
        sys.stdout.flush()
        sys.stderr.flush()
        os.execv(sys.executable, sys.orig_argv)
