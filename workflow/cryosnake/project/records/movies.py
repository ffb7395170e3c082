"""Movies that have arrived: files that match the pattern, are complete, and no longer change; and those that have not.

A movie that is not imported is cut off, still growing, or can't have products of its own. It is imported as soon as it
can be.
"""

from __future__ import annotations

import glob
import os
import re
import time
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cryosnake.atomic import write_text
from cryosnake.errors import CryosnakeError
from cryosnake.io.paths import post_name
from cryosnake.names import shown, why_unusable
from cryosnake.project.records.batches import read_manifest
from cryosnake.project.records.record import JobRecord

NOT_IMPORTED = "not_imported.tsv"  # in the directory of an import: those of its last run
TEMPORARY_SUFFIXES = (".tmp", ".part", ".partial", ".filepart", ".crdownload", ".temp", "~")


@dataclass(frozen=True)
class Arrivals:
    """Files that are ready, in the order of their names, and those that are not, as printed, with the reason."""

    ready: tuple[str, ...]
    waiting: tuple[tuple[str, str], ...]


def _root(name: str) -> str:
    """Return the name of a movie's products, which must be unique: without job directory, extension and dots."""
    return os.path.splitext(post_name(name))[0].replace(".", "_")


def matching_files(pattern: str) -> Iterator[str]:
    """Yield the files that match a pattern relative to the project, sorted by name."""
    if os.path.isabs(pattern) or ".." in pattern.split("/"):
        raise CryosnakeError(f"import pattern {pattern!r} leaves the project folder; link the movies into it "
                             "(ln -s /where/the/movies/are Movies) and use Movies/*.tiff, so that the project can move")
    for name in sorted({os.path.normpath(found) for found in glob.glob(pattern, recursive=True)}):
        base = os.path.basename(name)
        if not base.startswith(".") and not name.endswith(TEMPORARY_SUFFIXES) and os.path.isfile(name):
            yield name


def _why_incomplete(name: str) -> str | None:
    from cryosnake.io.completeness import check_movie_complete  # here: most plans have no new movies

    return check_movie_complete(name)


def new_arrivals(pattern: str, known: Collection[str], settling_time: float, *, now: float | None = None,
                 leave_out: Collection[str] = ()) -> Arrivals:
    """Return the files matching `pattern` that are not known yet, and not to be left out.

    A file is ready when its name can be used and its products have a name of their own, it has been unchanged for
    `settling_time` seconds, is as large as its header implies, and its header can be read.
    """
    now = time.time() if now is None else now
    ready, waiting = [], []
    roots = {_root(name): name for name in known}
    for name in matching_files(pattern):
        if name in known or name in leave_out:
            continue
        if unusable := why_unusable(name):
            waiting.append((shown(name), f"{unusable}; rename it"))
            continue
        try:
            age = now - os.stat(name).st_mtime
        except OSError as error:
            waiting.append((name, str(error)))
            continue
        # a clock that runs behind the file server's must not keep files waiting permanently
        reason = f"changed {age:.0f} s ago" if 0 <= age < settling_time else _why_incomplete(name)
        twin = roots.setdefault(_root(name), name)
        if twin != name:
            reason = f"would get the same products as {twin}; rename one of them"
        if reason:
            waiting.append((name, reason))
        else:
            ready.append(name)
    return Arrivals(tuple(ready), tuple(waiting))


def write_not_imported(job: str, waiting: Iterable[tuple[str, str]]) -> None:
    """Write the list of an import job, a movie and its reason a line; none where all were imported."""
    text = "".join("\t".join(map(_printable, pair)) + "\n" for pair in waiting)
    path = Path(job, NOT_IMPORTED)
    if text:
        write_text(path, text)
    else:
        path.unlink(missing_ok=True)


def not_imported(job: str, record: JobRecord | None) -> tuple[tuple[str, str], ...]:
    """Return the movies that an import job would leave out now, with the reason; () for other jobs."""
    parameters = record.parameters if record else {}
    pattern = parameters.get("movies") or parameters.get("micrographs")
    if not record or record.type != "import" or not pattern:
        return ()
    known = {name for names in read_manifest(job).values() for name in names}
    waiting = new_arrivals(pattern, known, parameters.get("settling_time") or 0.0).waiting
    return tuple((_printable(name), _printable(reason)) for name, reason in waiting)


def _printable(text: str) -> str:
    """Return a name or reason on one line, in characters that can be written."""
    return re.sub(r"\s", " ", text).encode(errors="backslashreplace").decode()
