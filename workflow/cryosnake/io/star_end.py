"""Where the table of a STAR file ends, and which lines behind that are remarks.

RELION stops reading at the first blank line behind the first row. Programs and people put remarks there, but rows too:
a line behind the blank one is a remark only where it can't be a row, neither a whole one nor one that was cut off or
has a blank in a name. Else it is used, or an error, so that no row is lost without a word.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import compress, count
from typing import Any

from cryosnake.io.labels import REAL, TEXT, WHOLE

# What programs write in place of a number counts as one here: such a row is damaged, but a row.
_NUMBER = re.compile(r"[+-]?\.?\d|[+-]?(nan|inf|infinity|none|null|na|n/a|<na>|\.|-)$", re.IGNORECASE)


def table_end(lines: list[str], first: int) -> int:
    """Return the index of the first blank line behind the row at `first`, the number of lines if there is none."""
    end = lines.index("", first) if "" in lines[first:] else len(lines)
    return next(compress(count(first), map(str.isspace, lines[first:end])), end)  # by maps: a million lines


def holds_numbers(label: str, chunks: Sequence[Any]) -> bool:
    """Whether a column is one of numbers: by RELION's label, else by the values (arrays, or lists of text) in it."""
    if label in REAL or label in WHOLE:
        return True
    return label not in TEXT and all(not isinstance(chunk, list) or all(map(_NUMBER.match, chunk)) for chunk in chunks)


def is_remark(found: Sequence[str], numeric: Sequence[bool]) -> bool:
    """Whether the fields of a line can't be those of a row, whole or damaged, of a table with such columns."""
    if len(found) == len(numeric):
        return any(numeric) and not any(_NUMBER.match(text) for text in compress(found, numeric))
    if len(found) < len(numeric) or _fit(found, numeric):  # cut off, or something behind it
        return not _fit(found, numeric)
    return not any(_fit(found, numeric[:text]) and _fit(found[::-1], numeric[:text:-1])  # a blank in a name
                   for text, is_number in enumerate(numeric) if not is_number)


def _fit(found: Sequence[str], numeric: Sequence[bool]) -> bool:
    """Whether the first fields may stand in these columns; a web address is not a name of a file."""
    return all(_NUMBER.match(text) if is_number else "://" not in text
               for text, is_number in zip(found, numeric, strict=False))
