"""The types of STAR columns: text becomes numbers where RELION's labels or the values themselves say so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cryosnake.io.labels import REAL, TEXT, WHOLE

if TYPE_CHECKING:
    import pandas as pd


def known_type(label: str, column: list[str]) -> Any:
    """Return a numeric column of RELION as an array, everything else, and what is no number after all, as it is."""
    import numpy as np

    kind = float if label in REAL else int if label in WHOLE else None
    if kind is None or "_" in "".join(column):  # Python reads 1_0 as ten
        return column
    try:
        return np.array(list(map(kind, column)), dtype=np.float64 if kind is float else np.int64)
    except (ValueError, OverflowError):
        return column


def joined(chunks: list[Any]) -> Any:
    """Join the parts of one column, each an array or a list of text."""
    import numpy as np

    if all(isinstance(chunk, np.ndarray) for chunk in chunks):
        return np.concatenate(chunks) if chunks else []
    # A number was text further down: back to text. Only a file that breaks RELION's types comes here.
    return [text for chunk in chunks for text in (chunk if isinstance(chunk, list) else map(repr, chunk.tolist()))]


def typed_table(columns: Mapping[str, Any]) -> pd.DataFrame:
    """Make a table of columns that are arrays, or lists of text whose type is still to be found."""
    import pandas as pd

    return pd.DataFrame({label: _typed(label, column) for label, column in columns.items()}, copy=False)


def _typed(label: str, column: Any) -> Any:
    """Give a column its type: RELION's when it is known, else the one that its values have."""
    import numpy as np
    import pandas as pd

    if isinstance(column, np.ndarray):
        return column
    if not column:
        kind: Any = np.float64 if label in REAL else np.int64 if label in WHOLE else str
        return pd.Series([], dtype=kind)
    # Python reads 1_0 as ten; RELION and people mean a name.
    if label not in TEXT and "_" not in "".join(column):
        for convert in (_whole_numbers, _real_numbers):
            try:
                return convert(column)
            except (ValueError, OverflowError):
                pass
    return pd.Series(column, dtype=str)


def _whole_numbers(column: list[str]) -> Any:
    """Convert to int64 or uint64; ValueError when that would not give the text back (001, 10^20)."""
    import numpy as np

    numbers = list(map(int, column))
    if any(map(_leading_zero, column)):
        raise ValueError("leading zeros")
    low, high = min(numbers), max(numbers)
    if low >= -(2**63) and high < 2**63:
        return np.array(numbers, dtype=np.int64)
    if low >= 0 and high < 2**64:
        return np.array(numbers, dtype=np.uint64)
    raise ValueError("more than 64 bits")


def _real_numbers(column: list[str]) -> Any:
    """Convert to float64; ValueError for text, a lone nan, and where digits would be lost (001, 10^20)."""
    import numpy as np

    numbers = np.array(list(map(float, column)), dtype=np.float64)
    if any(map(_leading_zero, column)) or any(text.isdigit() and len(text) > 15 for text in column):
        raise ValueError("a float would lose digits")
    if not np.isfinite(numbers).any():
        raise ValueError("words only")
    return numbers


def _leading_zero(text: str) -> bool:
    return text[:1] == "0" and text[1:2].isdigit()
