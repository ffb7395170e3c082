"""Resuming a long job: after a kill, the same command continues from the last complete iteration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from cryosnake.jobs.model import root_name
from cryosnake.project.records.freshness import newest
from cryosnake.project.records.known_files import time_of


def resume(options: Any, inputs: Mapping[str, Path], out: Path) -> Any:
    """Return the options with `continue_from` the last iteration of an interrupted run of this job, if there is one.

    The optimiser file of an iteration is written last, so one that exists is complete. Iterations older than an
    input do not count: the input grew, and the job starts from scratch, as in RELION. A job that the user continues
    from another job's iteration, or under a name run_ctNN of its own (`root_name`), resumes from its own later
    iterations; one that the user continues from its own iteration under the plain name resumes from that iteration.
    """
    if not hasattr(options, "continue_from"):
        return options
    root = root_name(vars(options))
    newest_input = newest(inputs.values(), str(out))
    if options.continue_from:
        start = Path(options.continue_from)
        own = start.parent.resolve() == out.resolve() and root == "run"
        if own or not start.exists():
            return options
        newest_input = newest([start, *inputs.values()], str(out))
    iterations = [path for path in out.glob(f"{root}_it[0-9][0-9][0-9]_optimiser.star")
                  if (time_of(str(path)) or 0) > newest_input]
    return replace(options, continue_from=str(max(iterations))) if iterations else options
