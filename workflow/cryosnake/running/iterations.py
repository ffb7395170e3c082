"""Files of iterations: what is kept and removed when an iterative program has written a complete iteration."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from cryosnake.errors import CryosnakeError
from cryosnake.jobs.model import JobType, file_of, root_name
from cryosnake.project.records.kept_results import drop_results, keep_results
from cryosnake.project.records.known_files import as_found, note_files
from cryosnake.project.run.kept_iterations import drop_superseded, drop_waiting, forget_waiting
from cryosnake.running.arguments import Arguments


def iteration_keeper(job_type: JobType, arguments: Arguments, start: str, maker: str) -> Callable[[int], None]:
    """Return the function that a program calls with the number of each complete iteration.

    An iteration whose files are the job's results is protected from Snakemake (`kept_results`, with `maker`). With
    `keep_iterations: last` earlier ones are removed; `start` is the optimiser file from which the user continues the
    job, "" for none. A file that can't be removed causes a message, and does not stop the refinement.
    """
    values = vars(arguments.options)
    forget_waiting(arguments.out)
    root, keep_all = root_name(values), values.get("keep_iterations", "all") == "all"
    results = {file_of(output, values) for output in job_type.all_outputs(values)}

    def written(number: int) -> None:
        stem = f"{root}_it{number:03d}_"
        optimiser = f"{arguments.out}/{stem}optimiser.star"
        result = any(file.startswith(stem) for file in results)
        with suppress(OSError):  # that it is younger than its input can be seen in a copy, too
            note_files(arguments.out, {optimiser: as_found(optimiser)})
        if result:
            keep_results(Path(arguments.out), Path(arguments.out).glob(f"{stem}*"), maker)
        if keep_all:
            return
        try:
            drop_superseded(arguments.out, root, number, result, start)
        except (CryosnakeError, OSError) as error:
            print(f"the files of earlier iterations are kept: {error}", file=sys.stderr)

    return written


def finish_without_snakemake(out: str) -> None:
    """Remove what is to go when the run ends, if no Snakemake runs this job; otherwise its run does it at its end."""
    if "CRYOSNAKE_WORKFLOW" not in os.environ:
        drop_waiting(out)
        drop_results(Path(out))
