"""Data that were regenerated for a job, as a table in its directory.

They remain among its inputs: Snakemake considers a job outdated if its list of inputs has changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from cryosnake.atomic import write_text
from cryosnake.names import is_listed_name
from cryosnake.project.records.disk import table_lines

NEEDED = ".cryosnake_needed.tsv"


def read_needed(job: str) -> dict[str, tuple[str, ...]]:
    """Return the files by batch key ("" for a job that takes its input whole)."""
    found: dict[str, tuple[str, ...]] = {}
    for line in table_lines(f"{job}/{NEEDED}"):
        key, _, path = line.partition("\t")
        if is_listed_name(path):
            found[key] = (*found.get(key, ()), path)
    return found


def write_needed(job: str, needed: Mapping[str, tuple[str, ...]]) -> None:
    """Write the table, complete or not at all."""
    if needed != read_needed(job):
        write_text(Path(job, NEEDED), "".join(f"{key}\t{path}\n" for key, paths in needed.items() for path in paths),
                   durable=True)

