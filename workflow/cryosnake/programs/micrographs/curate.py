"""Curate: micrographs accepted or rejected by limits on their columns, and by what a person saw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryosnake.errors import CryosnakeError, Rejected
from cryosnake.io.checked_numbers import number_of
from cryosnake.io.paths import post_name
from cryosnake.jobs.options import CurateOptions
from cryosnake.limits import Limit, limits_of, why_out


@dataclass(frozen=True)
class CurateState:
    """The limits by column, and the flags by the names of micrographs below a job directory."""

    limits: Mapping[str, Limit]
    flags: Mapping[str, str]


def prepare(options: CurateOptions, optics: Mapping[str, Any], inputs: Mapping[str, Path]) -> CurateState:
    """Return limits and flags; they are the same for all optics groups."""
    return CurateState(limits_of(options.limits), options.flags or {})


def process(row: Mapping[str, Any], optics: Mapping[str, Any], state: CurateState, root: Path) -> dict[str, Any]:
    """Return the row of a micrograph that goes on.

    Raises
    ------
    Rejected
        with the reasons, for one that does not
    CryosnakeError
        when the table has no column of a limit
    """
    values = {label: _value(row, label) for label in state.limits}
    reasons = why_out(values, state.limits, state.flags.get(post_name(root), ""))
    if reasons:
        raise Rejected(", ".join(reasons))
    return dict(row)


def _value(row: Mapping[str, Any], label: str) -> float:
    if label not in row:
        numbers = ", ".join(name for name, value in row.items() if isinstance(value, int | float))
        raise CryosnakeError(f"the micrographs have no column {label}, on which there is a limit; columns with numbers "
                             f"are {numbers}. Correct `limits` in config.yaml, or with `cryosnake curate`")
    return number_of(row[label])
