"""Revisions of the batches of a job, the next one if a product is missing or its input is another; empty outputs."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from cryosnake.project.planning.planned import Plan, PlannedJob
from cryosnake.project.records.batches import batch_key, batch_star, done_file, read_done, revisions
from cryosnake.project.records.cleaned_files import missing_files
from cryosnake.project.records.disk import files_below
from cryosnake.project.records.freshness import is_empty, is_stale, is_unfinished


def empty_outputs(plan: Plan) -> list[str]:
    """Return the outputs of this call's jobs that are empty, as after a power cut: Snakemake would keep them."""
    return [file for job in plan.own if job.numbered for file in job.files()
            if file.endswith((".star", ".mrc", ".mrcs")) and is_empty(file)]


def batch_keys(job: PlannedJob, made_from: Mapping[int, Iterable[str]], *, as_imported: bool = False) -> dict[int, str]:
    """Return the key under which each batch of a job is planned.

    `made_from` has the files that each batch is made from. The STAR file of a batch is never written again: jobs that
    were made from it find their rows there. With `as_imported` replaced movies wait, because a running job reads what
    was made from the old ones.
    """
    path, job_type = job.path, job.config.type
    newest = {} if job.new else revisions(path)
    present = files_below(path) if newest and job_type.products else set()
    if present or newest:
        present |= {f"{path}/{file}" for file in missing_files(path)}  # cleaned, not lost: regenerated when needed
    changed: set[int] = set()
    if job_type.judges and newest:
        from cryosnake.project.planning.judged import judged_otherwise  # here: many projects have no such job

        changed = judged_otherwise(job, newest)
    keys = {}
    for number, sources in made_from.items():
        revision = newest.get(number, 0)
        if revision and (job.forced or number in changed
                         or is_empty(star := batch_star(path, batch_key(number, revision)))
                         or is_stale(star, [done_file(path, number), *sources])
                         or any(map(_is_next_revision, sources))
                         or (not (as_imported and not job_type.inputs)
                             and is_unfinished(path, job_type, read_done(path, number), present))):
            revision += 1  # also when a later revision recorded micrographs but was killed: its STAR is written last
        keys[number] = batch_key(number, max(revision, 1))
    return keys


def _is_next_revision(star: str) -> bool:
    """Whether a file is the STAR of a batch that is still to be made, beside one of an earlier revision."""
    return ".r" in os.path.basename(star) and not os.path.exists(star)
