"""The number of rows of a STAR file's table, counted without parsing it. Standard library only: planning uses it."""

from __future__ import annotations

import os
from collections.abc import Iterable

TABLES = ("movies", "micrographs", "particles", "coordinate_files")


def count_rows(path: str | os.PathLike[str], tables: Iterable[str] = TABLES) -> int:
    """Return the number of rows of the first of these tables that a STAR file has; 0 without table or file."""
    try:
        with open(path, "rb") as file:
            text = b"\n" + file.read().replace(b"\r", b"")
    except OSError:
        return 0
    for table in tables:
        _, found, rest = text.partition(f"\ndata_{table}\n".encode())
        if found:
            rows = (line.strip() for line in rest.partition(b"\ndata_")[0].split(b"\n"))
            return sum(1 for row in rows if row and not row.startswith((b"_", b"#", b"loop_")))
    return 0
