"""Records of regenerated data: their former times, the table of missing files, the job's status."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from cryosnake.errors import CryosnakeError
from cryosnake.jobs.model import JobType
from cryosnake.pipeline.model import Status
from cryosnake.project.cleaning.clean_sets import data_files
from cryosnake.project.locks.job_status import set_job_status
from cryosnake.project.records.batches import Finished, product_files
from cryosnake.project.records.cleaned_files import (
    forget_clearing,
    forget_present,
    made_again,
    missing_files,
    read_cleaned,
    results_made,
    set_wanted,
)
from cryosnake.running.frame import finish

AGAIN = ".again"  # in the key of a batch that regenerates cleaned data


def refuse_loss(out: Path, earlier: Finished, state: str, reason: str) -> None:
    """Raise CryosnakeError when the products of a finished micrograph can't be regenerated."""
    if earlier.state == "ok" and state != "ok":
        raise CryosnakeError(f"{earlier.name} was finished, its results were cleaned, and they can't be made again: "
                             f"{reason} `cryosnake unclean {out}` restores them if they are still in the Trash")


def restore_times(job_type: JobType, out: Path, same: Iterable[str]) -> None:
    """Give products regenerated from the same input their former times; `same` are names of micrographs."""
    files = [file.removeprefix(f"{out}/") for name in same for file in product_files(str(out), job_type.products, name)]
    made_again(str(out), frozenset(files))


def finish_regenerated_batch(out: Path) -> None:
    """Set the job's status after one of its batches was regenerated: finished if its data are now complete."""
    job = str(out)
    complete = not data_files(f"{job}/", missing_files(job))
    if complete:
        forget_clearing(job)
        set_wanted(job, False)
    if read_cleaned(job).status is None:
        finish(out)
    else:
        set_job_status(job, Status.SCHEDULED)
    if complete:
        forget_present(job)


def finish_regenerated_job(out: Path) -> None:
    """Update the records of cleaned files after a whole job has run."""
    set_wanted(str(out), False)
    results_made(str(out))
