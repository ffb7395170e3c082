"""Which revision each batch of a job is at: the next one when a product of it is missing or a movie was replaced."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from cryosnake.io.paths import product_root
from cryosnake.jobs.model import JobType
from cryosnake.project.records.batches import Finished, batch_key, batch_star, done_file, read_done, replaced, revisions
from cryosnake.project.records.cleaned_files import missing_files
from cryosnake.project.records.disk import files_below
from cryosnake.project.records.movies import stamp


def batch_keys(job: str, job_type: JobType, numbers: Iterable[int], *, fresh: bool,
               as_imported: bool = False) -> dict[int, str]:
    """Return the key under which each batch is planned.

    `fresh` says that nothing of the job is on disk; with `as_imported` movies that were replaced wait, because somebody
    reads what was made from the old ones.
    """
    newest = {} if fresh else revisions(job)
    present = files_below(job) if newest and job_type.products else set()
    if present or newest:
        present |= {f"{job}/{path}" for path in missing_files(job)}  # cleaned: not lost, and made again when needed
    keys = {}
    for number in numbers:
        revision = newest.get(number, 0)
        if revision and (_was_cut_short(job, number, revision)
                         or (not (as_imported and not job_type.inputs)
                         and _incomplete(job, job_type, read_done(job, number), present))):
            revision += 1
        keys[number] = batch_key(number, max(revision, 1))
    return keys


def _was_cut_short(job: str, number: int, revision: int) -> bool:
    """Whether a later revision recorded micrographs and did not end: a batch's STAR is written last."""
    try:
        recorded = os.stat(done_file(job, number)).st_mtime_ns
        return recorded > os.stat(batch_star(job, batch_key(number, revision))).st_mtime_ns
    except FileNotFoundError:
        return False


def _incomplete(job: str, job_type: JobType, done: Mapping[str, Finished], present: set[str]) -> bool:
    if not job_type.inputs:
        return replaced(done.values())
    if any(item.state == "failed" and input_was_gone(item) and stamp(item.name) for item in done.values()):
        return True
    return any(product not in present for item in done.values() if item.state == "ok"
               for product in product_files(job, job_type.products, item.name))


def input_was_gone(item: Finished) -> bool:
    """Whether a micrograph failed because what it is made from was not there, as when a disk is unmounted."""
    return "" in item.stamp.split(" ")


def product_files(job: str, products: Iterable[str], name: str) -> list[str]:
    """Return the files that a micrograph leaves in a job directory; `name` is its path in the input STAR."""
    root = product_root(job, name)
    return [product.replace("{root}", root) for product in products]
