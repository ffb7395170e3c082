"""Advice on what to clean first: bytes freed for each hour of making them again, and whether that is possible."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from cryosnake.pipeline.model import Pipeline, Status
from cryosnake.project.cleaning.bulk.facts import JobFacts
from cryosnake.project.cleaning.clean_sets import type_of
from cryosnake.project.cleaning.guards import CLEAR, refusal
from cryosnake.project.cleaning.trash import in_trash
from cryosnake.project.records.batches import read_manifest
from cryosnake.project.records.cleaned_files import missing_files, read_cleaned
from cryosnake.project.records.record import FILE as RECORD
from cryosnake.project.records.run_times import seconds_taken


@dataclass(frozen=True)
class Advice:
    """One job: the bytes of its results, hours to make them again (None: unknown), and whether that is possible."""

    name: str
    bytes: int
    hours: float | None
    back: str

    @property
    def bytes_per_hour(self) -> float:
        """Bytes freed for each hour of computing; times under a second count as one, unknown ones as a day."""
        return self.bytes / max(24.0 if self.hours is None else self.hours, 1 / 3600)


def rank(pipeline: Pipeline, facts: Sequence[JobFacts]) -> list[Advice]:
    """Return advice for every job that may be cleared, the best first."""
    advice = [Advice(job.name, job.bytes(CLEAR), hours_to_make_again(pipeline, job.name), way_back(pipeline, job.name))
              for job in facts if job.process.status == Status.SUCCEEDED and job.bytes(CLEAR)
              and not refusal(job.process, CLEAR)]
    return sorted(advice, key=lambda item: (item.back.startswith("no"), -item.bytes_per_hour))


def hours_to_make_again(pipeline: Pipeline, name: str) -> float | None:
    """Return the hours that a job took, with those of earlier jobs whose data were cleared; None if not recorded."""
    seconds = [seconds_taken(job.rstrip("/")) for job in [name, *missing_parents(pipeline, name)]]
    known = [second for second in seconds if second is not None]
    return sum(known) / 3600 if len(known) == len(seconds) else None


def missing_parents(pipeline: Pipeline, name: str) -> list[str]:
    """Return the jobs on which a job depends and whose results were cleared: they must be run first."""
    return [job for job in sorted(pipeline.ancestors(name)) if read_cleaned(job.rstrip("/")).status is not None]


def way_back(pipeline: Pipeline, name: str) -> str:
    """Return whether and how the results of a job can be made again or restored; starts with yes or no."""
    job, job_type = name.rstrip("/"), type_of(name)
    missing = missing_files(job)
    if missing and all(os.path.lexists(f"{in_trash(job)}/{file}") for file in missing):
        return "yes: they are in the Trash"
    gone = _lost_inputs(pipeline, name)
    if gone:
        return f"no: {gone} no longer exists"
    if job_type is None or not os.path.exists(f"{job}/{RECORD}"):
        return "yes, by RELION: run the job again there"
    if job_type.deterministic:
        return "yes: computed again, equal up to rounding"
    return "yes, but not the same: it starts from random numbers"


def _lost_inputs(pipeline: Pipeline, name: str) -> str:
    """Return a file from outside the project's jobs, at any distance, that is needed and no longer exists."""
    for job in [name, *sorted(pipeline.ancestors(name))]:
        for node in pipeline.inputs.get(job, ()):
            if node not in pipeline.producers and not os.path.exists(node):
                return node
        for movies in read_manifest(job).values():
            for movie in movies:
                if not os.path.exists(movie):
                    return movie
    return ""
