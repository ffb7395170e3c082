"""Types of STAR columns: text becomes numbers according to RELION's labels or the values themselves."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cryosnake.io.labels import REAL, TEXT, WHOLE

if TYPE_CHECKING:
    import pandas as pd

ROWS_AT_ONCE = 1 << 16  # 1,000,000 rows of 16 columns, read and written so, take half the memory of starfile
# In columns joined by line ends, each field after one.
_LEADING_ZERO = re.compile(r"\n[+-]?0\d")
_LONG = re.compile(r"\n[+-]?\d{16,}(?=\n|$)")


def parsed(text: str, labels: list[str]) -> list[Any] | None:
    """Parse rows that are known to have one unquoted field per label; None when a number is not one after all."""
    import numpy as np
    import pandas as pd

    types = {label: np.float64 if label in REAL else np.int64 if label in WHOLE else str for label in labels}
    try:
        table = pd.read_csv(io.BytesIO(text.encode()), sep=r"\s+", header=None, names=labels, dtype=types,
                            na_filter=False)
    except (ValueError, OverflowError):
        return None
    return [table[label].tolist() if types[label] is str else table[label].to_numpy() for label in labels]


def known_type(label: str, column: list[str]) -> Any:
    """Return a numeric column of RELION as an array; all else, or one that is not numeric after all, unchanged."""
    import numpy as np

    if (label not in REAL and label not in WHOLE) or "_" in "".join(column):
        return column
    try:
        if label in WHOLE and all(map(str.isdigit, column)):
            return np.array(list(map(int, column)), dtype=np.int64)
        numbers = np.array(list(map(float, column)), dtype=np.float64)
    except (ValueError, OverflowError):
        return column
    if label in REAL:
        return numbers
    # Whole numbers that a program wrote as 2.000000, or that have a sign.
    whole = np.abs(numbers) < 2.0**53
    return numbers.astype(np.int64) if whole.all() and np.array_equal(numbers, np.rint(numbers)) else column


def joined(chunks: list[Any]) -> Any:
    """Join the parts of one column, each an array or a list of text."""
    import numpy as np

    if all(isinstance(chunk, np.ndarray) for chunk in chunks):
        return np.concatenate(chunks) if chunks else []
    # Numbers above, text further down: all text. Only a file that breaks RELION's types gets here.
    return [text for chunk in chunks for text in (chunk if isinstance(chunk, list) else map(repr, chunk.tolist()))]


def typed_table(columns: Mapping[str, Any]) -> pd.DataFrame:
    """Make a table of columns that are arrays, or lists of text whose type is not yet known."""
    import pandas as pd

    return pd.DataFrame({label: _typed(label, column) for label, column in columns.items()}, copy=False)


def _typed(label: str, column: Any) -> Any:
    """Give a column its type: RELION's when it is known, else that of its values."""
    import numpy as np
    import pandas as pd

    if isinstance(column, np.ndarray | pd.Series):
        return column
    if not column:
        kind: Any = np.float64 if label in REAL else np.int64 if label in WHOLE else str
        return pd.Series([], dtype=kind)
    text = "\n" + "\n".join(column)
    # Python would read 1_0 as ten and 001 as one, but they are names.
    if label not in TEXT and "_" not in text and not _LEADING_ZERO.search(text):
        for convert in (_whole_numbers, _real_numbers):
            try:
                return convert(column)
            except (ValueError, OverflowError):
                pass
    return pd.Series(column, dtype=str)


def _whole_numbers(column: list[str]) -> Any:
    """Convert to int64 or uint64; ValueError for anything else."""
    import numpy as np

    numbers = list(map(int, column))
    low, high = min(numbers), max(numbers)
    if low >= -(2**63) and high < 2**63:
        return np.array(numbers, dtype=np.int64)
    if low >= 0 and high < 2**64:
        return np.array(numbers, dtype=np.uint64)
    raise ValueError("more than 64 bits")


def _real_numbers(column: list[str]) -> Any:
    """Convert to float64; ValueError for text, for too many digits, and where nothing is a number."""
    import numpy as np

    numbers = np.array(list(map(float, column)), dtype=np.float64)
    if _LONG.search("\n" + "\n".join(column)) or not np.isfinite(numbers).any():
        raise ValueError("words, or numbers of more digits than a float has")
    return numbers
