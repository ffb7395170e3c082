"""STAR files, read into tables and written in RELION's layout.

The reader checks the number of fields of every row, so that a truncated file is an error, and knows RELION's types
(`labels.py`): text stays text, even when it consists of digits. A column that is not RELION's is typed by its values,
and stays text where a number would not be written as the same text.

By hand, not by starfile: that fills up rows that were cut off, cuts a name at its first #, makes numbers of names,
names no line in its errors, and takes twice the memory (benchmarks/formats.py).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from cryosnake.errors import CryosnakeError
from cryosnake.io.checked_numbers import checked
from cryosnake.io.labels import REAL, TEXT, WHOLE
from cryosnake.io.star_columns import ROWS_AT_ONCE, joined, known_type, parsed, typed_table
from cryosnake.io.star_end import holds_numbers, is_remark, table_end
from cryosnake.io.star_writer import write_star
from cryosnake.star_tokens import fields, read_text

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["optics_of", "read_star", "read_table", "write_star"]

StarPath = str | os.PathLike[str]

_BLOCK = re.compile(r"[ \t]*data_(\S*)[ \t]*(?:#.*)?")
_KNOWN = TEXT | WHOLE | REAL
_FEW_ROWS = 100


def read_star(path: StarPath) -> dict[str, pd.DataFrame]:
    """Read every block of a STAR file.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    dict
        Block name without `data_` to its table, in the order of the file; a list block is a table of one row.
        Columns have no leading underscore. Text is `str` and never missing, numbers are int64, uint64 or float64.

    Raises
    ------
    CryosnakeError
        When the file is missing, empty, cut off or not a STAR file; the message names file, block and line.
    """
    lines = _text_of(path).split("\n")
    starts = [(index, match[1]) for index, line in enumerate(lines) if (match := _BLOCK.fullmatch(line))]
    if not starts:
        raise CryosnakeError(f"{path} has no data block: it is empty or not a STAR file"
                             f"{_remedy(path) or '. Make it again or remove it'}.")
    if not all(name.isascii() for _, name in starts):  # STAR's own words are ASCII
        raise CryosnakeError(f"{path} is not a STAR file (it is not text).")
    tables: dict[str, pd.DataFrame] = {}
    for (start, name), (end, _) in pairwise([*starts, (len(lines), "")]):
        if name in tables:
            raise CryosnakeError(f"{path}: the block data_{name} appears twice; keep one of them.")
        tables[name] = _read_block(lines[start + 1 : end], _Place(path, name, start + 1))
    return tables


def read_table(path: StarPath, block: str, require: Sequence[str] = ()) -> pd.DataFrame:
    """Read one required block, with its rows and required columns.

    When the file has only one block, that block is read whatever its name (files of older programs have `data_`).

    Raises
    ------
    CryosnakeError
        When the file cannot be read, the block or a column of `require` is missing, or the table has no rows.
    """
    tables = read_star(path)
    if block in tables:
        table = tables[block]
    elif len(tables) == 1:
        table = next(iter(tables.values()))
    else:
        raise CryosnakeError(f"{path} has no block data_{block}, only {_listed(f'data_{name}' for name in tables)}. "
                             "Was the right file given?")
    missing = [column for column in require if column not in table.columns]
    if missing:
        raise CryosnakeError(f"{path}: data_{block} lacks the column(s) {_listed(missing)}; it has "
                             f"{_listed(table.columns)}. Give the STAR file of the job that makes them.")
    if len(table) == 0:
        raise CryosnakeError(f"{path}: data_{block} has no rows. Check the job that wrote it: nothing was left.")
    return table


def optics_of(tables: Mapping[str, pd.DataFrame], path: StarPath = "") -> dict[int, dict[str, Any]]:
    """Return the rows of the optics table by rlnOpticsGroup, empty when there is no such table.

    Raises
    ------
    CryosnakeError
        When the table has no rlnOpticsGroup, one number twice, or something that is no number; `path` is named then.
    """
    table = tables.get("optics")
    if table is None:
        return {}
    if "rlnOpticsGroup" not in table.columns:
        raise CryosnakeError("data_optics lacks the column rlnOpticsGroup: number its rows from 1.")
    table = checked(path, "optics", table, ["rlnOpticsGroup"])
    groups = {int(row["rlnOpticsGroup"]): row for row in table.to_dict("records")}
    if len(groups) != len(table):
        raise CryosnakeError("data_optics: rlnOpticsGroup has the same number twice; each row needs its own.")
    return {number: {str(label): value for label, value in row.items()} for number, row in groups.items()}


@dataclass(frozen=True)
class _Place:
    """A place in a file, for messages."""

    path: StarPath
    block: str
    line: int  # lines of the file before the first one of the block

    def error(self, index: int, what: str) -> CryosnakeError:
        return CryosnakeError(f"{self.path}, line {self.line + index + 1}, in data_{self.block}: {what}")


def _text_of(path: StarPath) -> str:
    try:
        return read_text(path)
    except FileNotFoundError:
        raise CryosnakeError(f"{path} does not exist. Has the job that makes it been run?") from None
    except (IsADirectoryError, UnicodeDecodeError):
        raise CryosnakeError(f"{path} is not a STAR file (it is a folder or not text){_remedy(path)}.") from None


def _remedy(path: StarPath) -> str:
    """Return what helps with files of images or of cryoSPARC that are given in place of a STAR file."""
    suffix = os.path.splitext(path)[1].lower()
    if suffix == ".cs":
        return (": cryoSPARC's tables have to be converted first, for example with csparc2star.py of pyem; give the "
                "STAR file that this writes")
    if suffix in (".mrcs", ".mrc", ".st", ".hdf", ".tif", ".tiff"):
        return (": it holds images. Give the STAR file that lists them, with their names (000001@stack.mrcs), "
                "data_optics and CTF, as Extract or relion_preprocess writes it")
    return ""


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "nothing"


def _read_block(lines: list[str], place: _Place) -> pd.DataFrame:
    """Read the lines after `data_name`: a loop, or label-value pairs."""
    for index, line in enumerate(lines):
        word = line.split(maxsplit=1)[:1]
        if word == ["loop_"]:
            return _read_loop(lines, index + 1, place)
        if word and word[0].startswith("_"):
            return _read_list(lines, index, place)
        if word and not word[0].startswith("#"):
            raise place.error(index, f"{word[0]!r} where loop_ or a label is expected.")
    return typed_table({})


def _read_list(lines: list[str], first: int, place: _Place) -> pd.DataFrame:
    values: dict[str, list[str]] = {}
    for index, line in enumerate(lines[first:], first):
        found = fields(line)
        if not found or found[0].startswith("#"):
            continue
        if not found[0].startswith("_"):
            if not lines[index - 1].strip() and values and found[0] != "loop_" and found[0] not in _KNOWN:
                break  # text behind the blank line that ends the list
            raise place.error(index, f"{found[0]!r} where a label is expected.")
        if len(found) > 2 and not found[2].startswith("#"):
            raise place.error(index, f"{found[0]} has more than one value; put text with spaces in quotes.")
        if len(found) < 2:
            raise place.error(index, f'{found[0]} has no value (an empty text is ""): the file was cut off or edited.')
        label = found[0][1:]
        values[label] = known_type(label, [found[1]])
    return typed_table(values)


def _read_loop(lines: list[str], first: int, place: _Place) -> pd.DataFrame:
    labels: list[str] = []
    for index, line in enumerate(lines[first:], first):
        word = line.split(maxsplit=1)[:1]
        if word and word[0].startswith("_"):
            labels.append(word[0][1:])
        elif word and not word[0].startswith("#"):
            first = index
            break
    else:
        first = len(lines)
    if not labels or len(set(labels)) != len(labels):
        raise place.error(first - 1, "the loop has no labels, or the same label twice.")
    parts: dict[str, list[Any]] = {label: [] for label in labels}
    end = table_end(lines, first)
    for start in range(first, end, ROWS_AT_ONCE):
        for label, column in zip(labels, _columns(lines, start, end, labels, place), strict=True):
            parts[label].append(column)
    if any(line and not line.isspace() for line in lines[end:]):
        numeric = [holds_numbers(label, parts[label]) for label in labels]
        found = [field for index in range(end, len(lines)) for field in _late_row(lines, index, numeric, place)]
        for label, column in zip(labels, _in_columns(found, labels), strict=True):
            parts[label].append(column)
    return typed_table({label: joined(chunks) for label, chunks in parts.items()})


def _columns(lines: list[str], start: int, end: int, labels: list[str], place: _Place) -> list[Any]:
    """Read some rows: with pandas where all are plain, as in nearly all tables of particles, else one by one."""
    rows = lines[start : min(start + ROWS_AT_ONCE, end)]
    text = "\n".join(rows)
    # pandas pads a truncated row, so the fields of each are counted.
    if (len(rows) >= _FEW_ROWS and not any(sign in text for sign in "\"'#")
            and set(map(len, map(str.split, rows))) <= {len(labels)}):
        columns = parsed(text, labels)
        if columns is not None:
            return columns
    found = [field for index in range(start, start + len(rows)) for field in _row(lines, index, len(labels), place)]
    return _in_columns(found, labels)


def _in_columns(found: list[str], labels: list[str]) -> list[Any]:
    return [known_type(label, found[column :: len(labels)]) for column, label in enumerate(labels)]


def _row(lines: list[str], index: int, width: int, place: _Place) -> list[str]:
    """Return the fields of a row that may contain quotes and comments, none of a comment."""
    line = lines[index]
    if line.lstrip().startswith("#"):
        return []
    found = fields(line)
    if len(found) == width:
        return found
    if len(found) > width and found[width].startswith("#"):
        return found[:width]
    # Early versions of RELION 3.1 wrote texts that contain a tab; between fields they wrote spaces.
    between_blanks = [field for field in line.split(" ") if field.strip()]
    if len(between_blanks) == width:
        return between_blanks
    raise place.error(index, f"the row has {len(found)} fields for {width} labels: the file was cut off or edited. "
                             "Remove the row (or put # before it, if it is a remark), or make the file again.")


def _late_row(lines: list[str], index: int, numeric: list[bool], place: _Place) -> list[str]:
    """Return the fields of a row behind the blank line that ends a table for RELION, none of a remark."""
    found = fields(lines[index], comments=True)
    if found and (found[0] == "loop_" or found[0].startswith("_")):
        raise place.error(index, f"{found[0]}: a second table in one block. Give it a line data_… of its own.")
    return [] if not found or is_remark(found, numeric) else _row(lines, index, len(numeric), place)
