"""Whether something is up to date: one function for each meaning of the question.

`is_stale` compares times, as Snakemake does, to predict what Snakemake will do or to judge what a killed program left.
`is_finished` reads the exit file that the program wrote: files alone may be those of an earlier run. `is_done` compares
the stamp of what a micrograph was made from, because a new file may be older than the one before it. `is_unfinished`
judges a batch by the names in the job's folder, for a plan: to check each input of each micrograph would take minutes.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping

from cryosnake.jobs.model import JobType
from cryosnake.pipeline.markers import exit_of
from cryosnake.pipeline.model import Status
from cryosnake.project.records.batches import Finished, product_files
from cryosnake.project.records.file_stamps import is_same_file, stamp
from cryosnake.project.records.known_files import job_of, time_of


def is_stale(file: str | os.PathLike[str], sources: Iterable[str | os.PathLike[str]]) -> bool:
    """Whether a file is missing, or older than one of its existing sources, by the times that are recorded of them.

    Snakemake also compares the contents of small files: what it leaves as it is may be stale here.
    """
    reader = job_of(str(file))
    made = time_of(str(file))
    return made is None or any((changed := time_of(str(source), reader)) is not None and changed > made
                               for source in sources)


def is_empty(file: str | os.PathLike[str]) -> bool:
    """Whether a file exists and has no contents, as a power cut can leave one that was not yet on the disk."""
    try:
        return os.stat(file).st_size == 0
    except OSError:
        return False


def newest(files: Iterable[str | os.PathLike[str]], reader: str = "") -> int:
    """Return the time of the newest of some files, in ns since the epoch; 0 where there are none.

    Times are those that the tables of their jobs, and of the job that reads them, give files that are as recorded.

    Raises
    ------
    FileNotFoundError
        when one of them does not exist
    """
    times = [(file, time_of(str(file), reader)) for file in files]
    for file, time in times:
        if time is None:
            raise FileNotFoundError(file)
    return max((time for _, time in times if time is not None), default=0)


def is_finished(job: str, outputs: Iterable[str]) -> bool:
    """Whether the program of a job finished, and all its outputs exist."""
    return exit_of(job) == Status.SUCCEEDED and all(map(os.path.exists, outputs))


def is_done(item: Finished | None, made_from: str, files: Iterable[str], has_rows: bool) -> bool:
    """Whether a micrograph needs no work.

    Parameters
    ----------
    item
        Its record.
    made_from
        Its present stamp.
    files, has_rows
        The products that its program makes, and whether it has written rows for the STAR file.
    """
    if item is None:
        return False
    archived = "" in made_from.split(" ") and item.state == "ok"  # without its source its results remain valid
    if item.stamp != made_from and not archived:
        return False
    if item.state != "ok":
        return True  # failed or rejected from the same input: not again until `cryosnake retry`
    return has_rows and not any(is_stale(file, ()) or is_empty(file) for file in files)


def is_unfinished(job: str, job_type: JobType, done: Mapping[str, Finished], present: Collection[str]) -> bool:
    """Whether a finished batch has work to do again; `present` are the files of the job.

    A product is missing, a movie was replaced, or the input that a failed micrograph lacked is available again.
    """
    if not job_type.inputs:
        return any(not is_same_file(item.stamp, item.name) and stamp(item.name) != "" for item in done.values())
    if any(item.state == "failed" and item.input_was_missing and stamp(item.name) for item in done.values()):
        return True
    return any(product not in present for item in done.values() if item.state == "ok"
               for product in product_files(job, job_type.products, item.name))
