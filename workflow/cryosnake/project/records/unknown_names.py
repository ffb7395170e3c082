"""Micrographs that only one of the tables of a job lists: of its micrographs, and of coordinates or particles.

Each batch notes in `batches/NNNN.unknown` the names in other tables that it does not know, and those of its own that
another table lacks. Of a table of which each batch reads all rows only those count that no batch knows.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from cryosnake.atomic import write_text
from cryosnake.json_files import read_json
from cryosnake.project.records.disk import BATCHES

LACKING = ""  # in place of a table: micrographs of the batch that another table lacks, with the reason


def write_unknown(job: str, number: int, found: Mapping[str, Mapping[str, str]]) -> None:
    """Note what a batch does not know: table to name to what the table has of it, such as "12 particles"; `LACKING`."""
    write_text(Path(_file(job, number)), json.dumps(found))


def read_unknown(job: str, numbers: Iterable[int]) -> dict[str, dict[str, str]]:
    """Return what `write_unknown` noted, of the tables what no batch knows; a damaged file is passed over."""
    by_table: dict[str, list[dict[str, str]]] = defaultdict(list)
    for number in numbers:
        try:
            noted = read_json(_file(job, number))
            for table, names in noted.items():
                by_table[table].append(dict(names))
        except (OSError, ValueError, AttributeError, TypeError):
            continue
    lacking = {name: why for noted in by_table.pop(LACKING, []) for name, why in noted.items()}
    return {LACKING: lacking} | {
        table: {name: what for name, what in batches[0].items() if all(name in others for others in batches)}
        for table, batches in by_table.items()}


def _file(job: str, number: int) -> str:
    return f"{job}/{BATCHES}/{number:04d}.unknown"
