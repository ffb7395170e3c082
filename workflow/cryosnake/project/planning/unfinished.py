"""Revisions of the batches of a job: the next one if a product is missing or a movie was replaced."""

from __future__ import annotations

from collections.abc import Iterable

from cryosnake.jobs.model import JobType
from cryosnake.project.records.batches import batch_key, batch_star, done_file, read_done, revisions
from cryosnake.project.records.cleaned_files import missing_files
from cryosnake.project.records.disk import files_below
from cryosnake.project.records.freshness import is_stale, is_unfinished


def batch_keys(job: str, job_type: JobType, numbers: Iterable[int], *, fresh: bool,
               as_imported: bool = False) -> dict[int, str]:
    """Return the key under which each batch is planned.

    `fresh` says that nothing of the job is on disk; with `as_imported` replaced movies wait, because a running job
    reads what was made from the old ones.
    """
    newest = {} if fresh else revisions(job)
    present = files_below(job) if newest and job_type.products else set()
    if present or newest:
        present |= {f"{job}/{path}" for path in missing_files(job)}  # cleaned, not lost: regenerated when needed
    keys = {}
    for number in numbers:
        revision = newest.get(number, 0)
        if revision and (is_stale(batch_star(job, batch_key(number, revision)), [done_file(job, number)])
                         or (not (as_imported and not job_type.inputs)
                             and is_unfinished(job, job_type, read_done(job, number), present))):
            revision += 1  # also when a later revision recorded micrographs but was killed: its STAR is written last
        keys[number] = batch_key(number, max(revision, 1))
    return keys
