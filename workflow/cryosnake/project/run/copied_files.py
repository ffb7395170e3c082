"""Files whose times were changed by a copy, an archive or a clock: before a DAG is built they get their former times.

A dry run only tells Snakemake these times. A run gives them back to the project's own files, records the present times
of the movies, and at its end what is new.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from cryosnake.atomic import replacing
from cryosnake.digests import seconds_reading
from cryosnake.errors import CryosnakeError
from cryosnake.human import CLOCK_SLACK, human_time
from cryosnake.project.locks.work_locks import at_work
from cryosnake.project.planning.planned import Plan, PlannedJob
from cryosnake.project.planning.rule_values import pictures
from cryosnake.project.records.batches import Finished, done_file, read_done
from cryosnake.project.records.disk import BATCHES
from cryosnake.project.records.file_stamps import is_same_file, signed_stamp, stamp, unsigned
from cryosnake.project.records.known_files import KnownFile, as_found, job_of, read_known, write_known

_OF_BATCHES = (".star", ".done", ".benchmark.tsv")


def times_of_record(plan: Plan) -> dict[str, int]:
    """Return the recorded times (ns) of files of the plan that have others on the disk, and are otherwise the same.

    Of a file that several jobs list, that of the job that made it counts: it may have made the same again since.
    """
    found: dict[str, int] = {}
    for job in plan.jobs.values():
        for path, known in read_known(job.path).items():
            if job_of(path) != job.path and path in read_known(job_of(path)):
                continue
            with suppress(OSError):
                status = os.stat(path)
                if status.st_mtime_ns != known.time and known.is_same(path, status):
                    found[path] = known.time
    return found


def restore_times(plan: Plan, times: Mapping[str, int]) -> dict[str, int]:
    """Give files of this call's jobs their recorded times (ns) again; return the times of those that are not ours."""
    others, own = {}, {job.path for job in plan.own}
    for path, recorded in times.items():
        if job_of(path) not in own or not _set_time(path, recorded):
            others[path] = recorded
    return others


def record_files(plan: Plan) -> None:
    """Record the files that Snakemake compares, of each job that this call makes: those that are new are read."""
    for job in plan.own:
        if not os.path.isdir(job.path):
            continue
        known = read_known(job.path)
        found = {path: file for path, file in known.items() if os.path.exists(path)}
        for path in _compared(plan, job):
            with suppress(OSError):
                found[path] = _as_recorded(job, path, known.get(path))
        with suppress(OSError, CryosnakeError):  # a full disk, or a project of somebody else
            write_known(job.path, found)


ChangedMovies = list[tuple[PlannedJob, int, dict[str, Finished]]]  # import job, batch, records by movie


def changed_movies(plan: Plan) -> ChangedMovies:
    """Return the movies that have other times than recorded, and are the same."""
    changed: ChangedMovies = []
    for job in plan.own:
        if job.config.type.inputs or not job.config.type.per_micrograph:
            continue
        for number in job.batches:
            found = {name: item for name, item in read_done(job.path, number).items()
                     if stamp(name) not in ("", unsigned(item.stamp)) and is_same_file(item.stamp, name)}
            if found:
                changed.append((job, number, found))
    return changed


def renew_movies(changed: ChangedMovies) -> None:
    """Record the present times of movies that are the same as when they were imported."""
    for job, number, movies in changed:
        if at_work(Path(job.path)):  # it writes these records
            continue
        path = done_file(job.path, number)
        status = os.stat(path)
        items = {**read_done(job.path, number),
                 **{name: replace(item, stamp=signed_stamp(name)) for name, item in movies.items()}}
        with replacing(path, durable=True) as temporary:
            temporary.write_text("".join(item.line() for item in items.values()), "utf-8", "surrogateescape")
            # Not later, or the batch would be to do again; not the same, for other contents have another time
            os.utime(temporary, ns=(status.st_atime_ns, status.st_mtime_ns - 1))


def say_copied(times: Mapping[str, int], changed: ChangedMovies) -> None:
    """Print how many files have other times than recorded, and which were recorded without a signature."""
    movies = [item for _, _, items in changed for item in items.values()]
    if times or movies:
        print(f"{len(times) + len(movies):,} files have other times than recorded and the same contents, as in a copy "
              f"(read in {seconds_reading():.1f} s): nothing is made again for that", file=sys.stderr)
    old = [item for item in movies if item.stamp.count(":") == 1]
    if old:
        print(f"{len(old):,} movies were recorded by an earlier version, without signatures: as their sizes are the "
              "same, they are taken as unchanged", file=sys.stderr)


def future_times(plan: Plan, now: int) -> dict[str, int]:
    """Return the files that Snakemake compares whose times (ns) are later than `now`, the earliest first."""
    times = {path: os.stat(path).st_mtime_ns for job in plan.own for path in _compared(plan, job)
             if os.path.exists(path)}
    return {path: moment for path, moment in sorted(times.items(), key=lambda item: item[1]) if moment > now}


def set_future_times(plan: Plan, now: int) -> None:
    """Set future times of the project's own files to `now` (ns, by the file system), in their order.

    For Snakemake refuses a result that is older than an input.

    Raises
    ------
    CryosnakeError
        when a job that is to be made reads a file from outside with such a time
    """
    future, own = future_times(plan, now), {job.path for job in plan.own}
    for job in plan.own:
        for path in _inputs(job) & future.keys() if _is_to_be_made(job) else ():
            if not _is_planned(plan, path):
                raise CryosnakeError(f"{path} is dated {_ahead(future[path], now)} later than now, so what {job.name} "
                                     f"makes from it would look older: `touch {path}`, or set the clock right")
    ours = [path for path in future if job_of(path) in own]
    for place, path in enumerate(ours):
        _set_time(path, now - 1000 * (len(ours) - place))


def say_future(future: Mapping[str, int], now: int) -> None:
    """Print which files are dated later than now, and what to do."""
    path, moment = max(future.items(), key=lambda item: item[1], default=("", 0))
    if moment - now > CLOCK_SLACK * 1e9:
        more = f" (and {len(future) - 1:,} more)" if len(future) > 1 else ""
        print(f"{path}{more} is dated {_ahead(moment, now)} later than now, as after a clock was set back: nothing is "
              "made again for that; set the clock of this computer or of the file server right", file=sys.stderr)


def _is_to_be_made(job: PlannedJob) -> bool:
    return not job.why_held and not all(map(os.path.exists, job.files() + job.batch_stars()))


def _ahead(moment: int, now: int) -> str:
    return human_time((moment - now) / 1e9)


def _as_recorded(job: PlannedJob, path: str, known: KnownFile | None) -> KnownFile:
    """Return how a file is recorded: one from outside keeps the time with which its contents were first seen."""
    status = os.stat(path)
    if known and status.st_mtime_ns in (known.time, known.seen) and status.st_size == known.size:
        return known
    found = as_found(path)
    if known and job_of(path) != job.path and (known.size, known.signature) == (found.size, found.signature):
        return known._replace(seen=found.time)
    return found


def _compared(plan: Plan, job: PlannedJob) -> Iterator[str]:
    """Yield the files of a job whose times Snakemake, or a plan, compares: of batches, results, inputs from outside."""
    if job.config.type.per_micrograph:
        with suppress(FileNotFoundError):
            yield from (entry.path for entry in os.scandir(f"{job.path}/{BATCHES}") if entry.name.endswith(_OF_BATCHES)
                        and entry.name[0] != ".")
    yield from job.files()
    yield from pictures(plan, job)
    yield f"{job.path}/benchmark.tsv"
    yield from (path for path in _inputs(job) if not _is_planned(plan, path))


def _inputs(job: PlannedJob) -> set[str]:
    return {source.path for source in job.inputs.values()}


def _is_planned(plan: Plan, path: str) -> bool:
    return any(job.path == job_of(path) for job in plan.jobs.values())


def _set_time(path: str, moment: int) -> bool:
    try:
        if os.path.islink(path):
            return False
        os.utime(path, ns=(os.stat(path).st_atime_ns, moment))
    except OSError:
        return False
    return True
