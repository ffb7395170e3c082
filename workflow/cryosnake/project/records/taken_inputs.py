"""The inputs of a job that takes them whole: recorded when it first starts, and the same rows at every later start."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from cryosnake.digests import digest
from cryosnake.io.star_rows import TABLES, count_rows
from cryosnake.project.records.batches import batch_star
from cryosnake.project.records.joined_tables import joined_batches, write_joined
from cryosnake.project.records.known_files import KnownFile, note_files
from cryosnake.project.records.made_from import TakenFile
from cryosnake.project.records.record import read_record, record_made_from


def taken_inputs(out: Path, inputs: Mapping[str, Path]) -> dict[str, Path]:
    """Return the files that a job's program reads, by slot, and record what they are.

    A table that has other rows now than when the job first started is joined again from the batches that it had then,
    with its time of then, so that the iterations made from it are not older. A file that can't be had as it was (it was
    not joined from batches, or these are others now) the job takes as it is now.
    """
    record = read_record(out)
    if record is None:  # started by hand, outside a project
        return dict(inputs)
    files: dict[str, Path] = {}
    made_from: dict[str, TakenFile] = {}
    for slot, path in inputs.items():
        known, files[slot] = record.made_from.get(slot), path
        if known and known.path == str(path) and _is_untouched(known):
            made_from[slot] = known
        elif known and known.path == str(path) and (again := _joined_again(out, slot, known)):
            made_from[slot], files[slot] = known, again
        elif path.is_file():
            made_from[slot] = _take(str(path))
    record_made_from(out, made_from)
    note_files(str(out), {file.path: KnownFile(file.size, file.time, file.digest, file.time)
                          for file in made_from.values()})  # their times of then count, whatever those of a copy are
    return files


def _take(path: str) -> TakenFile:
    status, found = os.stat(path), digest(path)
    rows = count_rows(path) if path.endswith(".star") else 0
    return TakenFile(path=path, size=status.st_size, time=status.st_mtime_ns, digest=found, rows=rows,
                     batches=joined_batches(path, found))


def _is_untouched(known: TakenFile) -> bool:
    return os.path.exists(known.path) and known.is_as_it_was()


def _stars(known: TakenFile) -> list[str]:
    """Return the STAR files of the batches that a table was joined from, [] where they are not all there."""
    stars = [batch_star(os.path.dirname(known.path), key) for key in known.batches]
    return stars if all(map(os.path.exists, stars)) else []


def _joined_again(out: Path, slot: str, known: TakenFile) -> Path | None:
    """Return a table as the job first read it, joined again from its batches; None where these are others by now."""
    path, stars = out / f".cryosnake_{slot}.star", _stars(known)
    if not path.exists() and stars:
        text = Path(stars[0]).read_text()
        table = next((name for name in TABLES if f"data_{name}\n" in text), "")
        write_joined(path, table, stars)
        print(f"{known.path} has changed since this job first started; it ends on the {known.rows:,} rows of then, in "
              f"{path}")
    if not path.exists() or digest(str(path)) != known.digest:
        path.unlink(missing_ok=True)
        return None
    os.utime(path, ns=(known.time, known.time))
    return path
