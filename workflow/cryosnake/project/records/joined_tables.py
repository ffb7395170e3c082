"""The STAR files of batches joined into one table, by text, with a note of which batches are in it."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryosnake.atomic import replacing, write_text
from cryosnake.digests import digest
from cryosnake.errors import CryosnakeError
from cryosnake.json_files import read_json
from cryosnake.project.records.batches import batch_key, batch_star, revisions
from cryosnake.project.records.freshness import is_stale

FAILED_STAR = "failed_micrographs.star"
JOINED = ".cryosnake_joined.json"  # of a job that works per micrograph: the batches in its table


@dataclass(frozen=True)
class _Part:
    """The text of one batch's STAR: everything before the rows of its table, and the rows."""

    head: str
    labels: tuple[str, ...]
    rows: str


def write_joined(main: Path, table: str, paths: list[str]) -> None:
    """Write the table of some batches.

    By text: parsing a million rows to write them again as they were would take minutes.
    """
    found = {path: part for path in paths if (part := _split(path, table)) is not None}
    parts = list(found.values())
    if not parts:
        raise CryosnakeError(f"{main}: no micrograph is left to list (all failed, were rejected, or had no picks); "
                             f"{main.parent / FAILED_STAR} names the reasons")
    wrong = next((path for path, part in found.items() if part.labels != parts[0].labels), None)
    if wrong:
        raise CryosnakeError(f"{wrong}: its columns differ from those of {next(iter(found))}; one of them was written "
                             "by another program: delete that one, and it is made again")
    with replacing(main, durable=True) as temporary, open(temporary, "w") as file:
        file.write(parts[0].head)
        file.writelines(part.rows for part in parts)
        file.write(" \n")


def _split(path: str, table: str) -> _Part | None:
    text = Path(path).read_text()
    marker = f"data_{table}\n"
    start = text.find(marker)
    if start < 0:
        return None  # RELION's rule: an empty table is not written
    lines = text[start:].split("\n")
    first = next(i for i, line in enumerate(lines) if i and line.startswith("_"))
    last = first
    while last < len(lines) and lines[last].startswith("_"):
        last += 1
    end = next((i for i in range(last, len(lines)) if not lines[i].strip()), len(lines))
    if end == last:
        return None
    head = text[:start] + "\n".join(lines[:last]) + "\n"
    return _Part(head, tuple(line.split()[0] for line in lines[first:last]), "\n".join(lines[last:end]) + "\n")


def record_joined(table: str, keys: Sequence[str]) -> None:
    """Note beside a joined table which batches are in it."""
    write_text(Path(table).with_name(JOINED), json.dumps({"digest": digest(table), "batches": list(keys)}))


def joined_batches(table: str, found: str) -> tuple[str, ...]:
    """Return the batches in a table: as its join noted them, or all, if it was joined later than they were made."""
    job = os.path.dirname(table)
    try:
        noted = read_json(Path(job, JOINED))
        return tuple(noted["batches"]) if noted["digest"] == found else ()
    except (ValueError, KeyError, TypeError):
        return ()
    except OSError:  # joined by an earlier version
        keys = tuple(batch_key(number, revision) for number, revision in sorted(revisions(job).items()))
        return () if is_stale(table, [batch_star(job, key) for key in keys]) else keys
