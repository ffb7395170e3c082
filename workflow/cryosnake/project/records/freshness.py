"""Is it up to date? One function for each question that is truly another one.

By times, as Snakemake asks (`is_stale`); so does whoever has to know beforehand what it will do, or what a killed
program left. By what its program said at its end (`is_finished`): files alone may be those of an earlier run. By what
a micrograph was made from (`is_done`), as its program asks: a stamp is compared, for a file may be older than before.
By the names in its folder (`is_unfinished`), as a plan asks of a batch: to look at each input of each micrograph would
take minutes.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping

from cryosnake.jobs.model import JobType
from cryosnake.pipeline.markers import exit_of
from cryosnake.pipeline.model import Status
from cryosnake.project.records.batches import Finished, product_files
from cryosnake.project.records.movies import stamp


def is_stale(file: str | os.PathLike[str], sources: Iterable[str | os.PathLike[str]]) -> bool:
    """Whether a file is missing, or older than one of those that it is made from and that are there.

    Snakemake also compares the contents of small files: what it leaves as it is may be called stale here.
    """
    made = _time(file)
    return made is None or any((changed := _time(source)) is not None and changed > made for source in sources)


def newest(files: Iterable[str | os.PathLike[str]]) -> int:
    """Return the time of the newest of some files, in ns since the epoch; 0 where there are none."""
    return max((os.stat(file).st_mtime_ns for file in files), default=0)


def is_finished(job: str, outputs: Iterable[str]) -> bool:
    """Whether the program of a job came to its end, and all its outputs are there."""
    return exit_of(job) == Status.SUCCEEDED and all(map(os.path.exists, outputs))


def is_done(item: Finished | None, made_from: str, files: Iterable[str], has_rows: bool) -> bool:
    """Whether a micrograph needs no work.

    Parameters
    ----------
    item
        What is recorded of it.
    made_from
        Its stamp of today.
    files, has_rows
        The products that its program leaves, and whether it has left rows for the STAR file.
    """
    if item is None:
        return False
    archived = "" in made_from.split(" ") and item.state == "ok"  # the source is gone: its results stand
    if item.stamp != made_from and not archived:
        return False
    if item.state != "ok":
        return True  # failed or rejected from the same input: not again until `cryosnake retry`
    return has_rows and all(map(os.path.exists, files))


def is_unfinished(job: str, job_type: JobType, done: Mapping[str, Finished], present: Collection[str]) -> bool:
    """Whether a batch that was made has work again; `present` are the files of the job.

    A product is gone, a movie was replaced, or the missing input of a micrograph that failed for it is back.
    """
    if not job_type.inputs:
        return any(now and now != item.stamp for item in done.values() for now in (stamp(item.name),))
    if any(item.state == "failed" and item.input_was_gone and stamp(item.name) for item in done.values()):
        return True
    return any(product not in present for item in done.values() if item.state == "ok"
               for product in product_files(job, job_type.products, item.name))


def _time(file: str | os.PathLike[str]) -> int | None:
    try:
        return os.stat(file).st_mtime_ns
    except OSError:
        return None
