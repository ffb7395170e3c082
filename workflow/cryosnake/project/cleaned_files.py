"""What was cleaned from a job: a table in its directory, written before the first file moves.

A file in the table that is not in place was cleaned, not lost: it makes no batch unfinished, it can come back from
the Trash, and when a program has made it again it gets its former time back, so that nothing that was made from it
looks older than it.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from cryosnake.pipeline.model import STATUS_OF_LABEL, Status

RECORD = ".cryosnake_cleaned.tsv"
_STATUS = "#status"


@dataclass(frozen=True)
class CleanedFile:
    """One file below the job directory, with its size in bytes and its time in ns since the epoch."""

    path: str
    size: int
    mtime_ns: int


@dataclass(frozen=True)
class Cleaned:
    """What was cleaned from a job; `status` is what it was before all its results were cleared, else None."""

    files: dict[str, CleanedFile]
    status: Status | None = None


def read_cleaned(job: str) -> Cleaned:
    """Return what was cleaned from a job ("Extract/job005"), nothing where there is no table."""
    try:
        lines = Path(job, RECORD).read_text().split("\n")[:-1]  # a killed program can leave a last line without its end
    except FileNotFoundError:
        return Cleaned({})
    files, status = {}, None
    for line in lines:
        fields = line.split("\t")
        if fields[0] == _STATUS:
            status = STATUS_OF_LABEL.get(fields[1])
        elif len(fields) == 3:
            files[fields[0]] = CleanedFile(fields[0], int(fields[1]), int(fields[2]))
    return Cleaned(files, status)


def missing_files(job: str) -> set[str]:
    """Return the files below a job directory that were cleaned and are not there, relative to it."""
    return {path for path in read_cleaned(job).files if not os.path.lexists(f"{job}/{path}")}


def record_cleaned(job: str, files: Iterable[str], status: Status | None = None) -> None:
    """Add files to a job's table, with the sizes and times that they have now; on disk before it returns."""
    known = read_cleaned(job)
    found = dict(known.files)
    for path in files:
        try:
            stat = os.lstat(f"{job}/{path}")
        except FileNotFoundError:
            continue
        found[path] = CleanedFile(path, stat.st_size, stat.st_mtime_ns)
    _write(job, Cleaned(found, known.status or status))


def forget_present(job: str, *, times: bool = False) -> None:
    """Take files that are in place again out of a job's table.

    Parameters
    ----------
    job
        The job directory.
    times
        Give them their former times: they were made again, and are what they were.
    """
    known = read_cleaned(job)
    present = [file for file in known.files.values() if os.path.lexists(f"{job}/{file.path}")]
    for file in present if times else ():
        os.utime(f"{job}/{file.path}", ns=(file.mtime_ns, file.mtime_ns), follow_symlinks=False)
    _keep(job, known, known.files.keys() - {file.path for file in present})


def _keep(job: str, known: Cleaned, paths: Collection[str]) -> None:
    if not paths:
        Path(job, RECORD).unlink(missing_ok=True)
    elif len(paths) < len(known.files):
        _write(job, Cleaned({path: file for path, file in known.files.items() if path in paths}, known.status))


def _write(job: str, cleaned: Cleaned) -> None:
    temporary = Path(job, f"{RECORD}.{os.getpid()}.tmp")
    with open(temporary, "w") as file:
        if cleaned.status is not None:
            file.write(f"{_STATUS}\t{cleaned.status.label}\n")
        file.writelines(f"{item.path}\t{item.size}\t{item.mtime_ns}\n" for item in cleaned.files.values())
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, Path(job, RECORD))
