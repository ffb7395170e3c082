"""The files of a job as a run left them: size, time and signature of each, in a table of the job's directory.

Times of files decide what Snakemake makes. A copy of a project has other times, in any order; files that are otherwise
as recorded keep the times that the table gives them. Files from outside the project that a job reads are listed, too.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from cryosnake.atomic import own_file, write_text
from cryosnake.digests import digest
from cryosnake.names import is_job_name
from cryosnake.project.records.disk import table_lines

TABLE = ".cryosnake_files.tsv"


class KnownFile(NamedTuple):
    """A file as recorded: size in bytes, time in ns, signature.

    `seen` is the time that it had on the disk when its contents were last compared: another than `time` for a file that
    is not ours, whose time stays as it is.
    """

    size: int
    time: int
    signature: str
    seen: int

    def is_same(self, path: str, status: os.stat_result) -> bool:
        """Whether a file has the recorded contents; it is read only where its time alone differs."""
        if status.st_size != self.size:
            return False
        return status.st_mtime_ns in (self.time, self.seen) or digest(path) == self.signature


def job_of(path: str) -> str:
    """Return the job directory ("Class2D/job007") of a file, "" for a file outside of job directories."""
    folder, _, rest = path.partition("/")
    job = f"{folder}/{rest.partition('/')[0]}"
    return job if is_job_name(f"{job}/") else ""


def read_known(job: str) -> Mapping[str, KnownFile]:
    """Return the recorded files of a job by their paths, of each its last line."""
    path = f"{job}/{TABLE}"
    try:
        status = os.stat(path) if job else None
    except OSError:
        status = None
    if status is None:
        return {}
    return _read(path, (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns))


@lru_cache(maxsize=256)
def _read(table: str, version: tuple[int, ...]) -> Mapping[str, KnownFile]:
    """Read a table again only when it has changed: a plan asks for each file."""
    found = {}
    for line in table_lines(table):
        fields = line.split("\t")
        if len(fields) == 5 and all(text.isdecimal() for text in (fields[1], fields[2], fields[4])):
            found[fields[0]] = KnownFile(int(fields[1]), int(fields[2]), fields[3], int(fields[4]))
    return found


def time_of(path: str, reader: str = "") -> int | None:
    """Return the time of a file in ns, the recorded one if it is as recorded; None where it does not exist.

    `reader` is the job that reads it, whose table lists files from outside.
    """
    try:
        status = os.stat(path)
    except OSError:
        return None
    known = read_known(job_of(path)).get(path) or (read_known(reader).get(path) if reader else None)
    return known.time if known and known.is_same(path, status) else status.st_mtime_ns


def as_found(path: str) -> KnownFile:
    """Return a file as it is now; it is read for its signature."""
    status = os.stat(path)
    return KnownFile(status.st_size, status.st_mtime_ns, digest(path), status.st_mtime_ns)


def note_files(job: str, files: Mapping[str, KnownFile]) -> None:
    """Add files to a job's table; programs of the job may do so at the same time."""
    known = read_known(job)
    lines = "".join(_line(path, file) for path, file in files.items() if known.get(path) != file)
    if lines:
        descriptor = own_file(f"{job}/{TABLE}", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            os.write(descriptor, os.fsencode(lines))
        finally:
            os.close(descriptor)


def write_known(job: str, files: Mapping[str, KnownFile]) -> None:
    """Write a job's table, complete or not at all, if it is another than before."""
    if files != read_known(job):
        write_text(Path(job, TABLE), "".join(_line(path, known) for path, known in files.items()))


def _line(path: str, known: KnownFile) -> str:
    if "\t" in path or "\n" in path:
        return ""  # it can't be listed, so its time on the disk counts
    return "\t".join((path, *map(str, known))) + "\n"
