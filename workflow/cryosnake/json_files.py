"""JSON files of our own and of other programs, which may be damaged, for every layer. Standard library only."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


def read_json(path: str | os.PathLike[str]) -> Any:
    """Return the data of a JSON file.

    Raises
    ------
    OSError, ValueError
        when there is no such file, or it can't be read as JSON in UTF-8
    """
    return parse_json(Path(path).read_text(encoding="utf-8"))


def parse_json(text: str | bytes) -> Any:
    """Return the data of a text; ValueError where it is not JSON, or is nested too deep."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deep") from None
