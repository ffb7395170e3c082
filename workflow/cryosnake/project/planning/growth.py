"""Growth: jobs that wait until their input has enough particles, and finished ones whose input is larger by now.

A finished job stays as it is. When its input has grown enough, the config's job gets a new number.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path

from cryosnake.io.star_rows import count_rows
from cryosnake.json_files import read_json
from cryosnake.pipeline.markers import exit_of
from cryosnake.pipeline.model import Status
from cryosnake.project.planning.planned import PlannedJob, Source, keeps_number
from cryosnake.project.records.batches import batch_number, batch_star
from cryosnake.project.records.freshness import is_stale
from cryosnake.project.records.made_from import TakenFile
from cryosnake.project.records.record import JobRecord

COUNTS = "input_counts.json"  # rows by path, from versions that recorded no more


def particle_count(path: str) -> int:
    """Return the number of rows of the particles table of a STAR file, 0 if the file does not exist."""
    return _counted(path, ("particles",))


def row_count(path: str) -> int:
    """Return the number of rows of the main table of a STAR file, 0 if the file does not exist."""
    return _counted(path, ())


def missing_particles(job: PlannedJob, jobs: Iterable[PlannedJob]) -> str:
    """Return what a job waits for by its `at_least`, as in "waits for 400 particles; 120 so far"; "" for nothing."""
    wanted, makers = job.config.at_least, {other.path: other for other in jobs}
    counts = [_particles_of(source, makers) for source in job.inputs.values() if source.path.endswith(".star")]
    found = max(counts, default=0)
    return f"waits for {wanted:,} particles; {found:,} so far" if found < wanted else ""


def _particles_of(source: Source, makers: Mapping[str, PlannedJob]) -> int:
    """Return the particles of a table; of a join that is still to be made, those of the tables that it joins."""
    found, maker = particle_count(source.path), makers.get(source.job)
    if found or maker is None or not any(slot.listed for slot in maker.config.type.inputs):
        return found
    return sum(_particles_of(own, makers) for own in maker.inputs.values())


def is_complete(job: PlannedJob) -> bool:
    """Whether a job that gets a new number for a larger input has come to its end, and all its results are there."""
    if job.config.type.per_micrograph or keeps_number(job.outputs()) or not all(map(os.path.exists, job.files())):
        return False
    if exit_of(job.path) == Status.SUCCEEDED:
        return True
    from cryosnake.project.locks.work_locks import at_work
    from cryosnake.project.planning.completeness import died_at_the_end  # here: a plan seldom needs it

    return not (died_at_the_end(job) or at_work(Path(job.path)))


def growth_of(job: PlannedJob, record: JobRecord, upstream: Mapping[str, PlannedJob], *, factor: float,
              as_joined: bool) -> str:
    """Return how the input of a finished job has grown ("581 -> 881 particles"), "" if not enough or not at all.

    Parameters
    ----------
    job, record
        The job, and its record.
    upstream
        The planned jobs by their directories.
    factor
        Growth counts when the rows are this many times those of the record; with 1, every change counts.
    as_joined
        Whether tables count as they are on disk now; else also batches that are still to be joined, if `factor` is 1.
    """
    for slot, source in job.inputs.items():
        if source.pinned:
            continue
        known, maker = record.made_from.get(slot), upstream.get(source.job)
        before = known.rows if known else _former_counts(job.path).get(source.path, 0)
        new = [] if as_joined or factor > 1 or maker is None else list(_new_batches(maker, source, known))
        if new:
            return f"{before:,} {_unit(source)}, {len(new)} new batch{'es' * (len(new) > 1)}"
        if not _has_changed(job, source, known, before):
            continue
        now = row_count(source.path) if before else 0
        if beside := _listed_beside(job, record, slot):
            before, now = before + sum(file.rows for file in beside), now + sum(row_count(file.path) for file in beside)
        if before and (now >= factor * before or factor == 1):
            return f"{before:,} -> {now:,} {_unit(source)}"
        if not before:
            return f"{source.path} has changed"
    return ""


def _listed_beside(job: PlannedJob, record: JobRecord, slot: str) -> list[TakenFile]:
    """Return the tables that a job has joined with that of a slot."""
    kind = job.config.type.slot(slot).listed
    return [file for name, file in record.made_from.items()
            if kind and name != slot and job.config.type.slot(name).listed == kind]


def replaced(job: PlannedJob, record: JobRecord) -> str:
    """Return "theirs.star has changed" for a finished job that lacks a result and is made from a file that has changed.

    Made again in its directory, the job would write other results over those that are left; "" where it would not.
    """
    if job.config.type.per_micrograph or keeps_number(job.outputs()) or exit_of(job.path) != Status.SUCCEEDED:
        return ""
    for slot, source in job.inputs.items():
        known = record.made_from.get(slot)
        if known and not source.job and not source.pinned and not known.is_as_it_was():
            return f"{source.path} has changed"
    return ""


def outdated(record: JobRecord | None) -> str:
    """Return "outdated: 581 of the 881 rows that are there now" for a job of which an input has changed, else ""."""
    for file in record.made_from.values() if record else ():
        if not file.is_as_it_was():
            now = row_count(file.path)
            return (f"outdated: {file.rows:,} of the {now:,} rows that are there now" if now > file.rows > 0 else
                    f"outdated: {file.path} has changed")
    return ""


def _has_changed(job: PlannedJob, source: Source, known: TakenFile | None, before: int) -> bool:
    """Whether an input differs from what the job was made from; of earlier versions, rows or else times decide."""
    if known:
        return not known.is_as_it_was()
    if before:
        return os.path.exists(source.path) and row_count(source.path) != before
    return any(is_stale(file, [source.path]) for file in job.files())


def _new_batches(maker: PlannedJob, source: Source, known: TakenFile | None) -> Iterator[int]:
    """Yield the numbers of planned batches that were not in the table that a job was made from."""
    joined = set(map(batch_number, known.batches)) if known else set()
    for number, key in maker.batches.items():
        star = batch_star(maker.path, key)
        if number not in joined if joined else not os.path.exists(star) or is_stale(source.path, [star]):
            yield number


def _unit(source: Source) -> str:
    return "particles" if particle_count(source.path) else "rows"


def _former_counts(job: str) -> dict[str, int]:
    try:
        return dict(read_json(Path(job, COUNTS)))
    except (OSError, ValueError, TypeError):
        return {}


def _counted(path: str, tables: tuple[str, ...]) -> int:
    try:
        status = os.stat(path)
    except OSError:
        return 0
    return _count(path, tables, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=64)
def _count(path: str, tables: tuple[str, ...], size: int, time: int) -> int:
    """Count again only what has changed: a watched project is planned every few seconds."""
    return count_rows(path, *filter(None, [tables]))
