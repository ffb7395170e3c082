"""Columns of joined tables: those that all have, with the values of each table under one another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

_NUMBERED_ANEW = "rlnGroupNumber"  # of the micrographs of one table; what takes particles numbers them again
_GROUP = "rlnGroupName"
_USUAL = {"rlnPhaseShift": 0.0, "rlnCtfBfactor": 0.0, "rlnCtfScalefactor": 1.0}  # what a row without the column says


def with_usual(paths: Sequence[str], tables: Sequence[pd.DataFrame]) -> list[pd.DataFrame]:
    """Return the tables with the columns of the CTF that only others have: without a phase plate the shift is 0."""
    there = [label for label in _USUAL if any(label in table.columns for table in tables)]
    found = []
    for path, table in zip(paths, tables, strict=True):
        lacking = {label: _USUAL[label] for label in there if label not in table.columns}
        if lacking:
            print(f"{path}: {', '.join(f'{label} is {value:g}' for label, value in lacking.items())}, for it has none")
        found.append(table.assign(**lacking))
    return found


def common_columns(paths: Sequence[str], tables: Sequence[pd.DataFrame], kind: str) -> list[str]:
    """Return the labels that all tables have, in the order of the first; prints those that are left out, and why."""
    lacking: dict[tuple[str, ...], list[str]] = {}
    for label in dict.fromkeys(label for table in tables for label in table.columns):
        without = tuple(path for path, table in zip(paths, tables, strict=True) if label not in table.columns)
        lacking.setdefault(without, []).append(label)
    for without, labels in lacking.items():
        if without:
            print(f"data_{kind}: left out, for {' and '.join(without)} {_has_not(without)}: {', '.join(labels)}")
            if "rlnRandomSubset" in labels:
                print("without rlnRandomSubset, refinement draws the half sets anew")
    return [label for label in lacking.get((), []) if label != _NUMBERED_ANEW]


def _has_not(paths: Sequence[str]) -> str:
    return "has none" if len(paths) == 1 else "have none"


def with_own_groups(paths: Sequence[str], tables: Sequence[pd.DataFrame], labels: Sequence[str]) -> list[pd.DataFrame]:
    """Return the tables with names of groups (rlnGroupName) that are of one table each."""
    if _GROUP not in labels:
        return list(tables)
    found: list[pd.DataFrame] = []
    taken: set[str] = set()
    for number, (path, table) in enumerate(zip(paths, tables, strict=True), 1):
        own = set(map(str, table[_GROUP].unique()))
        if own & taken:
            table = table.assign(**{_GROUP: [f"join{number}_{name}" for name in table[_GROUP]]})
            print(f"{path}: {len(own & taken)} of its groups have names of other groups; they are join{number}_… here")
        taken |= set(map(str, table[_GROUP].unique()))
        found.append(table)
    return found


def stacked(tables: Sequence[pd.DataFrame], labels: Sequence[str]) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the rows of all tables in these columns, and the number of the table of each (n,)."""
    import pandas as pd

    rows = pd.DataFrame({label: _column([table[label] for table in tables]) for label in labels}, copy=False)
    return rows, np.repeat(np.arange(len(tables)), [len(table) for table in tables])


def _column(parts: Sequence[pd.Series]) -> Any:
    """Return the values of a column; numbers beside text, and whole numbers beyond int64, stay what they are."""
    kinds = {part.dtype.kind for part in parts}
    if kinds <= {"f", "i"} or (len(kinds) == 1 and kinds <= set("fiub")):
        return np.concatenate([part.to_numpy() for part in parts])
    return [value for part in parts for value in part.tolist()]
