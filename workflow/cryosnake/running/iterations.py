"""What happens when an iterative program has written all files of an iteration."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from cryosnake.errors import CryosnakeError
from cryosnake.jobs.model import JobType, file_of
from cryosnake.project.kept_iterations import drop_superseded, drop_waiting, forget_waiting
from cryosnake.running.arguments import Arguments


def iteration_keeper(job_type: JobType, arguments: Arguments, start: str) -> Callable[[int], None]:
    """Return what a program calls with the number of an iteration that is complete: it removes those before it.

    `start` is the optimiser file that the user lets the job go on from, "" for none. With `keep_iterations: all`
    nothing happens. What can't be removed is said and stops no refinement.
    """
    options = arguments.options
    forget_waiting(arguments.out)
    if getattr(options, "keep_iterations", "all") == "all":
        return lambda number: None
    root = options.root_name
    results = {file_of(output, vars(options)) for output in job_type.all_outputs(vars(options))}

    def written(number: int) -> None:
        result = any(file.startswith(f"{root}_it{number:03d}_") for file in results)
        try:
            drop_superseded(arguments.out, root, number, result, start)
        except (CryosnakeError, OSError) as error:
            print(f"the files of earlier iterations stay: {error}", file=sys.stderr)

    return written


def last_iteration_made(out: str) -> None:
    """Remove what waits for the end of the run, where no Snakemake runs this job; else Snakemake's end does it."""
    if "CRYOSNAKE_WORKFLOW" not in os.environ:
        drop_waiting(out)
