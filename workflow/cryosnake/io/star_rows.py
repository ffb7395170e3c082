"""The number of rows of a STAR file's table, counted without parsing it. Standard library only: planning uses it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

TABLES = ("movies", "micrographs", "particles", "coordinate_files", "images", "")  # the last two: RELION 3.0 and older


def count_rows(path: str | os.PathLike[str], tables: Iterable[str] = TABLES) -> int:
    """Return the number of rows of the first of these tables that a STAR file has; 0 without table or file."""
    try:
        with open(path, "rb") as file:
            text = b"\n" + file.read().replace(b"\xef\xbb\xbf", b"").replace(b"\r", b"")
    except OSError:
        return 0
    for table in tables:
        found = re.search(rb"\n[ \t]*data_%b[ \t]*(?:#[^\n]*)?\n" % re.escape(table.encode()), text)
        if found:
            return _count(re.split(rb"\n[ \t]*data_", text[found.end() - 1 :], maxsplit=1)[0])
    return 0


def _count(block: bytes) -> int:
    """Count the rows of a table; behind the blank line that ends it for RELION, a remark is not one (`star_end.py`)."""
    lines = [line for line in map(bytes.strip, block.split(b"\n")) if not line.startswith((b"_", b"#", b"loop_"))]
    first = next((index for index, line in enumerate(lines) if line), len(lines))
    end = lines.index(b"", first) if b"" in lines[first:] else len(lines)
    late = [line.partition(b" #")[0] for line in lines[end:] if line]
    return end - first + sum(len(line.split()) == len(lines[first].split()) for line in late)
