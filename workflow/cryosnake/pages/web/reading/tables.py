"""Tables of STAR files as pages: sorted, filtered and cut on the server."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cryosnake.errors import CryosnakeError
from cryosnake.human import human_size
from cryosnake.io.star import read_star
from cryosnake.pages.web.reading.disks import Disks

if TYPE_CHECKING:
    import pandas as pd

ROWS = 100  # of a page
_MOST_BYTES = 400_000_000  # of a file: about two million particles
_KEPT_FILES, _KEPT_BYTES = 8, 60_000_000  # a table takes several times what its file has


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What of a table is shown: a word in it, a range of one column, an order, and a page from 1 on."""

    word: str = ""
    sort: str = ""
    down: bool = False
    column: str = ""
    low: float | None = None
    high: float | None = None
    page: int = 1


@dataclass(frozen=True, kw_only=True)
class TablePage:
    """A part of a table as text; `found` rows fit of `total`."""

    columns: list[str]
    numeric: list[bool]
    rows: list[list[str]]
    places: list[int]  # of the rows in the file, from 0 on
    found: int
    total: int
    page: int
    pages: int


class Tables:
    """The STAR files that were read last, read again when they have changed."""

    def __init__(self) -> None:
        self._files: OrderedDict[str, tuple[tuple[int, int], dict[str, pd.DataFrame]]] = OrderedDict()
        self._lock, self._disks = threading.Lock(), Disks()

    def read(self, path: Path) -> dict[str, pd.DataFrame]:
        """Return the tables of a file by name.

        Raises
        ------
        CryosnakeError
            where it can't be read, or is too large to be shown
        """
        found = os.stat(path)
        if found.st_size > _MOST_BYTES:
            raise CryosnakeError(f"{path.name} has {human_size(found.st_size)}, which is too much for a page; download "
                                 "it")
        stamp, known = (found.st_mtime_ns, found.st_size), self._files.get(str(path))
        if known is None or known[0] != stamp:
            with self._disks.turn(found.st_dev):
                known = (stamp, read_star(path))
        with self._lock:
            self._files[str(path)] = known
            self._files.move_to_end(str(path))
            while len(self._files) > 1 and (len(self._files) > _KEPT_FILES or self._bytes() > _KEPT_BYTES):
                self._files.popitem(last=False)
        return known[1]

    def _bytes(self) -> int:
        return sum(stamp[1] for stamp, _ in self._files.values())


def fitting(table: pd.DataFrame, wanted: Wanted) -> pd.DataFrame:
    """Return the rows that are wanted, in the order that is wanted; unknown columns count for nothing."""
    if wanted.word:
        texts = [column for column in table.columns if not is_numeric(table, column)]
        kept = table[texts].apply(lambda column: column.str.contains(wanted.word, case=False, regex=False))
        table = table[kept.any(axis=1)]
    if wanted.column in table.columns and is_numeric(table, wanted.column):
        values = table[wanted.column]
        if wanted.low is not None:
            table = table[values >= wanted.low]
        if wanted.high is not None:
            table = table[table[wanted.column] <= wanted.high]
    if wanted.sort in table.columns:
        table = table.sort_values(wanted.sort, ascending=not wanted.down, kind="stable")
    return table


def page_of(table: pd.DataFrame, wanted: Wanted) -> TablePage:
    """Return one page of a table."""
    found = fitting(table, wanted)
    pages = max(1, -(-len(found) // ROWS))
    page = min(max(wanted.page, 1), pages)
    shown = found.iloc[(page - 1) * ROWS:page * ROWS]
    columns = list(table.columns)
    texts = [[_text(value) for value in shown[column].tolist()] for column in columns]
    return TablePage(columns=columns, numeric=[is_numeric(table, column) for column in columns],
                     rows=[list(row) for row in zip(*texts, strict=True)], places=shown.index.tolist(),
                     found=len(found), total=len(table), page=page, pages=pages)


def wanted_of(query: Mapping[str, str]) -> Wanted:
    """Return what an address asks for; what is no number counts for nothing."""
    return Wanted(word=query.get("word", "").strip(), sort=query.get("sort", ""), down=query.get("down") == "1",
                  column=query.get("column", ""), low=number_of(query.get("low", "")),
                  high=number_of(query.get("high", "")), page=int(number_of(query.get("page", "")) or 1))


def number_of(text: str) -> float | None:
    """Return a finite number, None for any other text."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if abs(value) < 1e15 else None


def is_numeric(table: pd.DataFrame, column: str) -> bool:
    """Whether a column holds numbers."""
    return bool(table[column].dtype.kind in "iuf")


def _text(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
