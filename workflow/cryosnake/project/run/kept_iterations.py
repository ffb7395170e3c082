"""Jobs that keep their last iteration only (`keep_iterations: last`): which files are removed, and when.

An iteration is removed when the next one is complete and on the disk, never before. Where the last iteration is the
job's result, the one before it stays until Snakemake has the result: after a kill Snakemake removes the results of a
job that it had started before it starts it again, and the job then needs an iteration to continue from.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path

from cryosnake.atomic import flush, write_text
from cryosnake.errors import CryosnakeError
from cryosnake.names import PIPELINE_FILE
from cryosnake.pipeline.model import Pipeline
from cryosnake.pipeline.unlocked import read_pipeline_unlocked
from cryosnake.project.cleaning.clean_sets import connected_iterations, iterations_of
from cryosnake.project.records.disk import table_lines

WAITING = ".cryosnake_superseded"  # lists the files to remove when the run that made the job has ended


def drop_superseded(job: str, root: str, number: int, result: bool = False, start: str = "") -> None:
    """Remove the files of the iterations before one that is complete, or note them down where it is the job's result.

    Parameters
    ----------
    job
        The job directory (`Class2D/job006`); the project is the working directory.
    root
        What the names of its files begin with: `run`, or `run_ctNN`.
    number
        The iteration, of which all files are there.
    result
        Whether its files are the results of the job.
    start
        The optimiser file that the user lets the job continue from: its iteration stays, because the same command
        after a kill starts there again.
    """
    pipeline, name = (read_pipeline_unlocked() if Path(PIPELINE_FILE).exists() else Pipeline()), f"{job}/"
    kept = connected_iterations(pipeline, name) | {os.path.basename(start).removesuffix("_optimiser.star")}
    iterations = iterations_of(name, sorted(os.listdir(job)))
    own = {file: (stem, n) for file, (stem, n) in iterations.items() if stem.startswith(f"{root}_it")}
    for file in (file for file, (_, n) in own.items() if n == number):
        flush(f"{job}/{file}")
    flush(job)  # a power cut must not take both what was written and what it replaces
    old = [file for file, (stem, n) in own.items() if n < number and stem not in kept]
    if result:
        write_text(Path(job, WAITING), "".join(f"{file}\n" for file in old))
    else:
        _remove(job, old)


def drop_waiting(job: str) -> None:
    """Remove what `drop_superseded` noted down in a job directory; report what can't be removed."""
    files = table_lines(f"{job}/{WAITING}")
    try:
        _remove(job, iterations_of(f"{job}/", files))  # nothing else that the list may name
    except CryosnakeError as error:
        print(error, file=sys.stderr)
    forget_waiting(job)


def forget_waiting(job: str) -> None:
    """Keep what an earlier run noted down: a job that starts again makes other files of these names."""
    Path(job, WAITING).unlink(missing_ok=True)


def _remove(job: str, files: Iterable[str]) -> None:
    """Remove files of iterations, the optimisers first: an iteration without one counts as incomplete."""
    try:
        for file in sorted(files, key=lambda file: not file.endswith("_optimiser.star")):
            Path(job, file).unlink(missing_ok=True)
    except OSError as error:
        raise CryosnakeError(f"{error.filename}: a superseded iteration (keep_iterations: last) can't be removed "
                             f"({error.strerror}); fix the permissions of {job}") from error
