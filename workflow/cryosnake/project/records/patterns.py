"""Match files of a job with the patterns of its definition."""

from __future__ import annotations

import fnmatch
import os


def matches(file: str, pattern: str) -> bool:
    """Return whether a file below a job directory matches a pattern of a definition.

    `*/` matches every file in a subdirectory, `**/*.mrc` a name at any depth; otherwise the path part by part.
    """
    if pattern.endswith("/"):
        return "/" in file
    if pattern.startswith("**/"):
        return fnmatch.fnmatchcase(os.path.basename(file), pattern[3:])
    parts, wanted = file.split("/"), pattern.split("/")
    return len(parts) == len(wanted) and all(map(fnmatch.fnmatchcase, parts, wanted))
