"""Movies that match an import's pattern and are not in it, with the reason: those of now, and the list of its last run.

Such a movie is cut off, still growing, or can't have products of its own; it is imported as soon as it can be.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from cryosnake.atomic import write_text
from cryosnake.project.records.batches import read_manifest
from cryosnake.project.records.movies import new_arrivals
from cryosnake.project.records.record import JobRecord

FILE = "not_imported.tsv"


def write_not_imported(job: str, waiting: Iterable[tuple[str, str]]) -> None:
    """Write the list of an import job, a movie and its reason a line; none where all were imported."""
    text = "".join("\t".join(re.sub(r"\s", " ", field) for field in pair) + "\n" for pair in waiting)
    path = Path(job, FILE)
    if text:
        write_text(path, text.encode(errors="backslashreplace").decode())
    else:
        path.unlink(missing_ok=True)


def not_imported(job: str, record: JobRecord | None) -> tuple[tuple[str, str], ...]:
    """Return the movies that an import job would leave out now, with the reason; () for other jobs."""
    parameters = record.parameters if record else {}
    pattern = parameters.get("movies") or parameters.get("micrographs")
    if not record or record.type != "import" or not pattern:
        return ()
    known = {name for names in read_manifest(job).values() for name in names}
    return new_arrivals(pattern, known, parameters.get("settling_time") or 0.0).waiting
