"""What the numbers of RELION's columns may be; a field that is none of them is named with file, column and row.

Files come from many programs: `None`, `N/A`, `1.#QNAN`, decimal commas, volts for kilovolts. The reader (`star.py`)
keeps such a column as text; here it becomes numbers, or an error.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cryosnake.errors import CryosnakeError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


@dataclass(frozen=True, kw_only=True)
class Allowed:
    """The numbers that a column may hold: from `lowest` to `highest`, without `lowest` if it is to be `above`."""

    unit: str = ""
    lowest: float = -1e9
    highest: float = 1e9
    above: bool = False
    whole: bool = False
    hint: str = ""

    def problem(self, value: float) -> str:
        """Return what is wrong with a number, "" if nothing is."""
        if not math.isfinite(value):
            return "not a number"
        if self.whole and value != round(value):
            return "not a whole number"
        if not self.lowest <= value <= self.highest or (self.above and value == self.lowest):
            start = f"above {self.lowest:g} and at most" if self.above else f"between {self.lowest:g} and"
            return f"not {start} {self.highest:g} {self.unit}".rstrip()
        return ""


_PIXELS = Allowed(unit="Å", lowest=0.0, highest=1000.0, above=True)
_ANGLE = Allowed(unit="degrees", lowest=-1e6, highest=1e6)
_DEFOCUS = Allowed(unit="Å", lowest=-1e6, highest=1e6)
_FLAG = Allowed(lowest=0, highest=1, whole=True)
FLAGS = ("rlnCtfDataAreCtfPremultiplied", "rlnCtfDataArePhaseFlipped")
OPTICS: dict[str, Allowed] = {
    "rlnOpticsGroup": Allowed(lowest=0, whole=True),
    "rlnVoltage": Allowed(unit="kV", lowest=10.0, highest=3000.0, hint="300 stands for 300 kV"),
    "rlnSphericalAberration": Allowed(unit="mm", lowest=0.0, highest=20.0),
    "rlnAmplitudeContrast": Allowed(lowest=0.0, highest=1.0, hint="it is a fraction, such as 0.1"),
    "rlnMicrographOriginalPixelSize": _PIXELS,
    "rlnMicrographPixelSize": _PIXELS,
    "rlnImagePixelSize": _PIXELS,
    "rlnImageSize": Allowed(unit="px", lowest=2, highest=65536, whole=True),
    **dict.fromkeys(FLAGS, _FLAG),
}
CTF: dict[str, Allowed] = {
    "rlnDefocusU": _DEFOCUS, "rlnDefocusV": _DEFOCUS, "rlnDefocusAngle": _ANGLE, "rlnPhaseShift": _ANGLE,
    "rlnCtfBfactor": Allowed(unit="Å²"), "rlnCtfScalefactor": Allowed(lowest=0.0, above=True),
}
_SHIFT = Allowed(unit="Å", lowest=-1e5, highest=1e5)
POSE: dict[str, Allowed] = {"rlnAngleRot": _ANGLE, "rlnAngleTilt": _ANGLE, "rlnAnglePsi": _ANGLE,
                            "rlnOriginXAngst": _SHIFT, "rlnOriginYAngst": _SHIFT,
                            "rlnRandomSubset": Allowed(lowest=0, whole=True)}
EXPOSURE: dict[str, Allowed] = {"rlnMicrographPreExposure": Allowed(unit="e/Å²", lowest=0.0, highest=1e4)}
COLUMNS: dict[str, Allowed] = {**OPTICS, **CTF, **POSE, **EXPOSURE}

_WORDS = {"true": 1.0, "yes": 1.0, "false": 0.0, "no": 0.0}  # of flags, as pandas and other programs write them
_NAMES = ("rlnImageName", "rlnOpticsGroupName", "rlnMicrographName", "rlnMicrographMovieName")
_DECIMAL_COMMA = re.compile(r"[-+]?\d+,\d+")
_REMEDY = {"optics": "Correct data_optics, or `microscope:` in the config of the project that made the file.",
           "particles": "Remove them, or run their CTF again."}


def number_of(value: Any, label: str = "") -> float:
    """Return a field of a table as a number, NaN when it is none."""
    text = str(value).strip().lower()
    if label in FLAGS and text in _WORDS:
        return _WORDS[text]
    try:
        return math.nan if "_" in text else float(text)  # Python takes 1_0 for ten
    except ValueError:
        return math.nan


def numbers_of(column: pd.Series) -> np.ndarray:
    """Return a column as float64, NaN where a field is no number."""
    import numpy as np

    if column.dtype.kind in "iufb":
        return column.to_numpy(np.float64)
    label = str(column.name)
    return np.array([number_of(value, label) for value in column.tolist()], np.float64)


def checked(path: str | os.PathLike[str], block: str, table: pd.DataFrame, labels: Collection[str]) -> pd.DataFrame:
    """Return a table with those columns of `labels` (of COLUMNS) that it has as numbers, int64 where they are whole.

    The index is that of the rows in the file, from 0.

    Raises
    ------
    CryosnakeError
        for a field that is not a number or out of range: file, column, first row concerned, and the remedy
    """
    import numpy as np

    changed = {}
    for label in labels:
        if label not in table.columns:
            continue
        allowed, numbers = COLUMNS[label], numbers_of(table[label])
        bad = ~((numbers >= allowed.lowest) & (numbers <= allowed.highest))
        bad |= (numbers != np.rint(numbers)) if allowed.whole else False
        bad |= (numbers == allowed.lowest) if allowed.above else False
        if bad.any():
            raise CryosnakeError(f"{path}: {_complaint(block, table, label, np.flatnonzero(bad), numbers)} "
                                 f"{_REMEDY.get(block, 'Correct the file.')}")
        if table[label].dtype.kind not in ("iu" if allowed.whole else "f"):
            changed[label] = numbers.astype(np.int64) if allowed.whole else numbers
    return table.assign(**changed) if changed else table


def _complaint(block: str, table: pd.DataFrame, label: str, bad: np.ndarray, numbers: np.ndarray) -> str:
    first = int(bad[0])
    name = next((str(table[column].iloc[first]) for column in _NAMES if column in table.columns), "")
    things = {"optics": "optics group(s)", "particles": "particle(s)"}.get(block, "row(s)")
    found, row = _written(table[label].iloc[first]), f"row {table.index[first] + 1} of data_{block}"
    where = f"{name} ({row}: {found})" if name else f"{row} ({found})"
    return (f"{label} is {COLUMNS[label].problem(float(numbers[first]))} for {len(bad)} {things}, the first is {where}"
            f"{_hint(label, found)}.")


def _written(field: Any) -> str:
    return f"{field:g}" if isinstance(field, float) else str(field)


def _hint(label: str, found: Any) -> str:
    if _DECIMAL_COMMA.fullmatch(str(found)):
        return f"; write {str(found).replace(',', '.')}, with a point"
    return f"; {COLUMNS[label].hint}" if COLUMNS[label].hint and math.isfinite(number_of(found)) else ""


def checked_field(row: Mapping[str, Any], label: str, default: float | None = None) -> float:
    """Return a field of a micrograph's or movie's row as a number; `default` where the table has no such column.

    Raises
    ------
    CryosnakeError
        when it is missing without a default, not a number, or out of range
    """
    if label not in row and default is not None:
        return default
    value = number_of(row.get(label, "missing"), label)
    problem = COLUMNS[label].problem(value)
    if problem:
        name = next((row[column] for column in _NAMES if column in row), "")
        found = _written(row.get(label, "it is missing"))
        raise CryosnakeError(f"{name}: {label} is {problem}: {found}{_hint(label, found)}; correct it in the STAR file "
                             "that lists the micrographs, or run the job that made that again")
    return value
