"""Files that were cleaned from a job: a table in its directory, written before the first file moves.

A file in the table that does not exist was cleaned, not lost: its batch counts as finished, and it can be restored from
the Trash. When a program has made it again, it gets its former time back, so that nothing made from it looks outdated.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from cryosnake.atomic import touch, write_text
from cryosnake.names import is_below, is_listed_name
from cryosnake.pipeline.model import STATUS_OF_LABEL, Status
from cryosnake.project.records.disk import table_lines

RECORD = ".cryosnake_cleaned.tsv"
_MADE_AGAIN = ".cryosnake_made_anew.tsv"  # the table of a cleared job after it has run, until Snakemake finishes
WANTED = ".cryosnake_wanted"
_STATUS = "#status"


@dataclass(frozen=True)
class CleanedFile:
    """One file below the job directory, with its size in bytes and its time in ns since the epoch."""

    path: str
    size: int
    mtime_ns: int


@dataclass(frozen=True)
class Cleaned:
    """What was cleaned from a job; `status` is its status before all its results were cleared, else None."""

    files: dict[str, CleanedFile]
    status: Status | None = None


def read_cleaned(job: str, table: str = RECORD) -> Cleaned:
    """Return what was cleaned from a job ("Extract/job005"); nothing without a table."""
    files, status = {}, None
    for line in table_lines(f"{job}/{table}"):
        fields = line.split("\t")
        if fields[0] == _STATUS and len(fields) == 2:
            status = STATUS_OF_LABEL.get(fields[1])
        elif len(fields) == 3 and is_listed_name(fields[0]):
            with suppress(ValueError):  # a damaged line
                files[fields[0]] = CleanedFile(fields[0], int(fields[1]), int(fields[2]))
    return Cleaned(files, status)


def missing_files(job: str) -> set[str]:
    """Return the files below a job directory, relative to it, that were cleaned and do not exist."""
    return {path for path in read_cleaned(job).files if not os.path.lexists(f"{job}/{path}")}


def record_cleaned(job: str, files: Iterable[str], status: Status | None = None) -> None:
    """Add files to a job's table, with the sizes and times that they have now; on disk before it returns."""
    with _alone(job):
        known = read_cleaned(job)
        found = dict(known.files)
        for path in files:
            with suppress(FileNotFoundError):
                stat = os.lstat(f"{job}/{path}")
                found[path] = CleanedFile(path, stat.st_size, stat.st_mtime_ns)
        _write(job, Cleaned(found, known.status or status))


def forget_present(job: str) -> None:
    """Remove files that exist again from a job's table."""
    with _alone(job):
        known = read_cleaned(job)
        _keep(job, known, {path for path in known.files if not os.path.lexists(f"{job}/{path}")})


def made_again(job: str, files: Collection[str]) -> None:
    """Remove files (relative to the job directory) that were made again from the same input from the job's table.

    Those of the same size get their former times back. Other batches of the job may be running, on other files.
    """
    if not os.path.exists(f"{job}/{RECORD}"):
        return
    with _alone(job):
        known = read_cleaned(job)
        present = {path for path in files if path in known.files and os.path.lexists(f"{job}/{path}")
                   and is_below(job, path)}
        for path in present:
            if os.lstat(f"{job}/{path}").st_size == known.files[path].size:
                os.utime(f"{job}/{path}", ns=(known.files[path].mtime_ns,) * 2, follow_symlinks=False)
        _keep(job, known, known.files.keys() - present)


def forget_clearing(job: str) -> None:
    """Note that the results of a cleared job exist again."""
    with _alone(job):
        known = read_cleaned(job)
        if known.status is not None:
            _write(job, Cleaned(known.files))


def results_made(job: str) -> None:
    """Note that a whole job has made its results; if they were cleared before, their times are kept."""
    with suppress(FileNotFoundError):
        if read_cleaned(job).status is None:
            os.unlink(f"{job}/{RECORD}")
        else:
            os.replace(f"{job}/{RECORD}", f"{job}/{_MADE_AGAIN}")


@contextmanager
def former_times(job: str) -> Iterator[dict[str, int]]:
    """Yield the times (ns), by path, that `results_made` has kept; they are removed at the end of the block."""
    yield {f"{job}/{file.path}": file.mtime_ns for file in read_cleaned(job, _MADE_AGAIN).files.values()}
    Path(job, _MADE_AGAIN).unlink(missing_ok=True)


def is_wanted(job: str) -> bool:
    """Return whether the user asked for the cleaned files of a job to be made again."""
    return os.path.exists(f"{job}/{WANTED}")


def set_wanted(job: str, wanted: bool) -> None:
    """Ask that the next run of Snakemake regenerates the cleaned files of a job, or withdraw the request."""
    if wanted:
        touch(Path(job, WANTED))
    else:
        Path(job, WANTED).unlink(missing_ok=True)


def remove_incomplete_tables(jobs: Iterable[str]) -> None:
    """Remove incomplete tables that programs left when they were killed while writing."""
    for job in jobs:
        if any(_incomplete_tables(job)):
            with _alone(job):
                pass


@contextmanager
def _alone(job: str) -> Iterator[None]:
    """Let one process at a time change a job's table: its batches run in parallel. Incomplete ones are removed."""
    directory = os.open(job, os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(directory, fcntl.LOCK_EX)
        for table in _incomplete_tables(job):
            table.unlink(missing_ok=True)
        yield
    finally:
        os.close(directory)


def _keep(job: str, known: Cleaned, paths: Collection[str]) -> None:
    if not paths:
        Path(job, RECORD).unlink(missing_ok=True)
    elif len(paths) < len(known.files):
        _write(job, Cleaned({path: file for path, file in known.files.items() if path in paths}, known.status))


def _write(job: str, cleaned: Cleaned) -> None:
    status = "" if cleaned.status is None else f"{_STATUS}\t{cleaned.status.label}\n"
    lines = "".join(f"{item.path}\t{item.size}\t{item.mtime_ns}\n" for item in cleaned.files.values())
    write_text(Path(job, RECORD), status + lines, durable=True)


def _incomplete_tables(job: str) -> Iterator[Path]:
    return Path(job).glob(f".{RECORD}.*.tmp")
