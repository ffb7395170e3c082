"""A panel of a page: one thing about a job, with words that say what is good and what is bad."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

GOOD, DOUBTFUL, BAD = "good", "doubtful", "bad"


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows of text below titles."""

    titles: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    kind: str = "table"


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One thing about a job: `blocks` show it, `caption` says how to read it, `verdict` what it says here."""

    title: str
    caption: str
    blocks: list[Any] = field(default_factory=list)
    verdict: str = ""
    level: str = ""
    wide: bool = False
    missing: bool = False  # it could not be made
