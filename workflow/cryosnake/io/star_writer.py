"""STAR files written in RELION's layout and number formats. The public name is `cryosnake.io.star.write_star`.

By hand, not by starfile: that has one format for all reals, dates its files, and takes three times as long.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from cryosnake.atomic import replacing
from cryosnake.errors import CryosnakeError
from cryosnake.io.labels import REAL, WHOLE
from cryosnake.io.star_columns import ROWS_AT_ONCE

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

# Outside this range RELION writes an exponent.
_SMALL, _LARGE = 1e-3, 1e5


def write_star(path: str | os.PathLike[str], tables: Mapping[str, pd.DataFrame | Mapping[str, Any]]) -> None:
    """Write blocks as RELION does; the file is complete or absent.

    Reals have six decimals, with an exponent below 0.001 and above 100,000, so about seven digits survive; NaN is
    written as `nan`, which RELION reads as 0. Whole numbers and text survive exactly; a missing text becomes `None`.

    Parameters
    ----------
    path
        The file; its folder must exist.
    tables
        Block name without `data_` to a table (written as a loop), or to a mapping of label to value (a list).
        Labels have no leading underscore.

    Raises
    ------
    CryosnakeError
        When a text contains a line break or both kinds of quotes, which STAR cannot have on one line.
    """
    with replacing(path, durable=True) as temporary, open(temporary, "w", encoding="utf-8") as file:
        for name, table in tables.items():
            file.write(f"\n# version 30001\n\ndata_{name}\n\n")
            try:
                file.writelines(_list_lines(table) if isinstance(table, Mapping) else _loop_lines(table))
            except ValueError as error:
                raise CryosnakeError(f"{path}, data_{name}: {error}") from None
            file.write(" \n")


def is_whole(path: str | os.PathLike[str]) -> bool:
    """Whether a file of `write_star` (or RELION) ends with a blank line: not in a table, where it may be cut off."""
    with open(path, "rb") as file:
        *_, last, rest = [b"", b"no end", *file.read().split(b"\n")]
    return not (last.strip() or rest)


def _list_lines(values: Mapping[str, Any]) -> Iterable[str]:
    for label, value in values.items():
        yield f"_{label:<40} {_one(label, value).rjust(12)}\n"


def _loop_lines(table: pd.DataFrame) -> Iterable[str]:
    yield "loop_ \n"
    for number, label in enumerate(table.columns, 1):
        yield f"_{label} #{number} \n"
    columns = [(label, _values(label, table[label])) for label in table.columns]
    for start in range(0, len(table), ROWS_AT_ONCE):
        part = [_formatted(label, values[start : start + ROWS_AT_ONCE]) for label, values in columns]
        yield from (" ".join(row) + " \n" for row in zip(*part, strict=True))


def _values(label: str, series: pd.Series) -> np.ndarray | list[Any]:
    """Return numbers, in RELION's type for this label, or a list of anything else."""
    import numpy as np

    kind = series.dtype.kind
    if kind not in "biuf":
        return series.tolist()
    values = series.to_numpy()
    if label in WHOLE and kind == "f" and np.array_equal(values, np.rint(values)):
        return values.astype(np.int64)  # merging tables had made them floats
    return np.asarray(values, np.float64) if kind == "f" or label in REAL else values


def _formatted(label: str, values: np.ndarray | list[Any]) -> list[str]:
    if isinstance(values, list):
        return _texts(label, values)
    return _reals(values) if values.dtype.kind == "f" else list(map("%12d".__mod__, values.tolist()))


def _reals(values: np.ndarray) -> list[str]:
    import numpy as np

    formatted = list(map("%12.6f".__mod__, values.tolist()))
    size = np.abs(values)
    for index in np.flatnonzero((size < _SMALL) & (size > 0) | (size > _LARGE)).tolist():
        formatted[index] = _real(values[index]).rjust(12)
    return formatted


def _texts(label: str, values: list[Any]) -> list[str]:
    """Format text; each distinct value once, as most columns repeat a few thousand names."""
    known = {value: _one(label, value).rjust(10) for value in set(values)}
    return [known[value] for value in values]


def _one(label: str, value: Any) -> str:
    """Format a single value."""
    if value is None or (isinstance(value, float) and math.isnan(value) and label not in REAL):
        return "None"
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    elif hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) or (label in REAL and not isinstance(value, str)):
        return _real(float(value))
    return _quoted(label, str(int(value) if isinstance(value, bool) else value))


def _real(value: float) -> str:
    return f"{value:.6e}" if 0 < abs(value) < _SMALL or _LARGE < abs(value) < math.inf else f"{value:.6f}"


def _quoted(label: str, text: str) -> str:
    """Quote text that would not be read back as one field."""
    if "\n" in text or "\r" in text:
        raise ValueError(f"{label}: a STAR file cannot contain a line break, as in {text!r}.")
    bare = text and text[0] not in "\"'#_;" and not text.startswith(("data_", "loop_")) and len(text.split()) == 1
    if bare and text == text.strip():
        return text
    quote = '"' if '"' not in text else "'"
    if quote in text:
        raise ValueError(f"{label}: a STAR file cannot contain both kinds of quotes with spaces, as in {text!r}.")
    return f"{quote}{text}{quote}"
