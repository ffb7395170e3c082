"""Names of micrographs in a table of coordinates or particles that are none of the micrographs of a job.

Each batch notes those that it does not know, in `batches/NNNN.unknown`, with the table. A table of which each batch
reads all rows has only those that no batch knows.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from cryosnake.atomic import write_text
from cryosnake.project.records.disk import BATCHES


def write_unknown(job: str, number: int, found: Mapping[str, Mapping[str, str]]) -> None:
    """Note what a batch does not know: table to name to what the table has of it, such as "12 particles"."""
    write_text(Path(_file(job, number)), json.dumps(found))


def read_unknown(job: str, numbers: Iterable[int]) -> dict[str, dict[str, str]]:
    """Return the names that no batch knows, as `write_unknown` takes them; a damaged file is passed over."""
    by_table: dict[str, list[dict[str, str]]] = defaultdict(list)
    for number in numbers:
        try:
            noted = json.loads(Path(_file(job, number)).read_text())
            for table, names in noted.items():
                by_table[table].append(dict(names))
        except (OSError, ValueError, AttributeError, TypeError):
            continue
    return {table: {name: what for name, what in batches[0].items() if all(name in others for others in batches)}
            for table, batches in by_table.items()}


def _file(job: str, number: int) -> str:
    return f"{job}/{BATCHES}/{number:04d}.unknown"
