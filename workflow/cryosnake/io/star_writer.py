"""STAR files written in RELION's layout and number formats. The public name is `cryosnake.io.star.write_star`."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from cryosnake.atomic import replacing
from cryosnake.errors import CryosnakeError
from cryosnake.io.labels import REAL, WHOLE

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

# Outside of this range RELION writes an exponent.
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
        When a text holds a line break or both kinds of quotes, which STAR cannot hold on one line.
    """
    with replacing(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        for name, table in tables.items():
            file.write(f"\n# version 30001\n\ndata_{name}\n\n")
            try:
                file.writelines(_list_lines(table) if isinstance(table, Mapping) else _loop_lines(table))
            except ValueError as error:
                raise CryosnakeError(f"{path}, data_{name}: {error}") from None
            file.write(" \n")


def _list_lines(values: Mapping[str, Any]) -> Iterable[str]:
    for label, value in values.items():
        yield f"_{label:<40} {_one(label, value).rjust(12)}\n"


def _loop_lines(table: pd.DataFrame) -> Iterable[str]:
    yield "loop_ \n"
    for number, label in enumerate(table.columns, 1):
        yield f"_{label} #{number} \n"
    columns = [_column(label, table[label]) for label in table.columns]
    for row in zip(*columns, strict=True):
        yield " ".join(row) + " \n"


def _column(label: str, series: pd.Series) -> list[str]:
    """Format one column, by its type and by what RELION expects below this label."""
    import numpy as np

    kind = series.dtype.kind
    if kind in "biuf":
        values = series.to_numpy()
        if label in WHOLE and kind == "f" and np.array_equal(values, np.rint(values)):
            values = values.astype(np.int64)  # a merge of tables made floats of them
        if values.dtype.kind == "f" or label in REAL:
            return _reals(values.astype(np.float64))
        return list(map("%12d".__mod__, values.tolist()))
    return _texts(label, series)


def _reals(values: np.ndarray) -> list[str]:
    import numpy as np

    formatted = list(map("%12.6f".__mod__, values.tolist()))
    size = np.abs(values)
    for index in np.flatnonzero(((size < _SMALL) & (size > 0)) | ((size > _LARGE) & np.isfinite(size))).tolist():
        formatted[index] = f"{values[index]:12.6e}"
    return formatted


def _texts(label: str, series: pd.Series) -> list[str]:
    """Format text; each distinct value once, for most columns repeat a few thousand names."""
    known: dict[Any, str] = {}
    formatted = []
    for value in series.tolist():
        text = known.get(value)
        if text is None:
            text = known[value] = _one(label, value).rjust(10)
        formatted.append(text)
    return formatted


def _one(label: str, value: Any) -> str:
    """Format a single value."""
    if value is None or (isinstance(value, float) and math.isnan(value) and label not in REAL):
        return "None"
    if isinstance(value, str):
        return _quoted(label, value)
    if isinstance(value, os.PathLike):
        return _quoted(label, os.fspath(value))
    if hasattr(value, "item"):
        value = value.item()
    convert: Callable[[Any], str] = _real if isinstance(value, float) or label in REAL else _whole
    return convert(value)


def _real(value: Any) -> str:
    number = float(value)
    size = abs(number)
    return f"{number:.6e}" if 0 < size < _SMALL or _LARGE < size < math.inf else f"{number:.6f}"


def _whole(value: Any) -> str:
    return str(int(value)) if isinstance(value, bool | int) else _quoted("", str(value))


def _quoted(label: str, text: str) -> str:
    """Quote text that would not be read back as one field."""
    if "\n" in text or "\r" in text:
        raise ValueError(f"{label}: a STAR file cannot hold a line break, as in {text!r}.")
    bare = text and text[0] not in "\"'#_;" and not text.startswith(("data_", "loop_")) and len(text.split()) == 1
    if bare and text == text.strip():
        return text
    quote = '"' if '"' not in text else "'"
    if quote in text:
        raise ValueError(f"{label}: a STAR file cannot hold both kinds of quotes with blanks, as in {text!r}.")
    return f"{quote}{text}{quote}"
