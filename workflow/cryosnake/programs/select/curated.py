"""Particles accepted or rejected by limits of columns and by eye, and the table of what a selection leaves out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cryosnake.io.star import write_star
from cryosnake.jobs.options import SelectOptions
from cryosnake.limits import ACCEPT, REJECT, limits_of, why_out
from cryosnake.programs.select.rows import column_of

if TYPE_CHECKING:
    import pandas as pd

REASON = "cryosnakeReason"


def keep_by_limits(rows: pd.DataFrame, limits: Mapping[str, str], flags: Mapping[str, str], path: str) -> np.ndarray:
    """Return which rows keep all limits, as an array of bool; a flag on their image decides alone."""
    keep = np.ones(len(rows), bool)
    for label, limit in limits_of(limits).items():
        values = column_of(rows, label, path, blanks=True)
        keep &= (values >= limit.low) & (values <= limit.high)
    said = _flags_of(rows, flags)
    return (keep | (said == ACCEPT)) & (said != REJECT)


def with_reasons(rows: pd.DataFrame, step: str, options: SelectOptions, path: str) -> pd.DataFrame:
    """Return rows that a step left out with a column of reasons: the rules that each breaks, or the step."""
    limits = limits_of(options.limits)
    if step != "limits and flags":
        return rows.assign(**{REASON: f"by {step}"})
    columns = {label: column_of(rows, label, path, blanks=True) for label in limits} if len(rows) else {}
    said = _flags_of(rows, options.flags or {})
    reasons = [", ".join(why_out({label: float(values[row]) for label, values in columns.items()}, limits,
                                 str(said[row]))) for row in range(len(rows))]
    return rows.assign(**{REASON: reasons})


def write_rejected(path: Path, tables: Mapping[str, pd.DataFrame], left_out: Sequence[pd.DataFrame]) -> None:
    """Write the rows that were left out, with optics; optics alone where there are none."""
    import pandas as pd

    some = [rows for rows in left_out if len(rows)]
    others = {name: table for name, table in tables.items() if name != "particles"}
    write_star(path, {**others, **({"particles": pd.concat(some, ignore_index=True)} if some else {})})


def _flags_of(rows: pd.DataFrame, flags: Mapping[str, str]) -> np.ndarray:
    if not flags or "rlnImageName" not in rows.columns:
        return np.full(len(rows), "", dtype="U6")
    return np.array([flags.get(str(name), "") for name in rows["rlnImageName"]], dtype="U6")
