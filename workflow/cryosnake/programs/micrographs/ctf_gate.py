"""Which CTF fits are good enough: a pure function of the table and the limits."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cryosnake.errors import CryosnakeError


@dataclass(frozen=True)
class GateLimits:
    """Limits of a good fit; None switches a limit off.

    The defaults are from the 24 K2 micrographs of EMPIAR-10204: right fits go to 4.8 Å or better, the 24 wrong
    ones of another run claim 5.5 Å at best; right fits have a figure of merit above 0.08 (0.13 by CTFFIND4's own
    reckoning), fits to noise below 0.025, also of small micrographs.
    """

    max_resolution: float | None = 5.0  # Å
    min_figure_of_merit: float | None = 0.03
    min_defocus: float | None = None  # Å, mean of U and V
    max_defocus: float | None = None  # Å
    max_astigmatism: float | None = None  # Å, U - V
    max_ice_density: float | None = None


@dataclass(frozen=True)
class _Limit:
    what: str  # the quantity, as the reason calls it
    label: str  # column
    unit: str
    bound: float
    upper: bool


def gate(table: pd.DataFrame, limits: GateLimits) -> pd.Series:
    """Return why each micrograph is not good enough, "" where it passes.

    Parameters
    ----------
    table
        Rows of micrographs_ctf.star, cryosnake's or RELION's
    limits
        A value that is missing (NaN) does not pass its limit

    Raises
    ------
    CryosnakeError
        if a column that a limit is about is not there
    """
    values = table.copy()
    if {"rlnDefocusU", "rlnDefocusV"} <= set(values.columns):
        values["mean defocus"] = 0.5 * (values["rlnDefocusU"] + values["rlnDefocusV"])
        values["astigmatism"] = abs(values["rlnDefocusU"] - values["rlnDefocusV"])
    reasons = pd.Series([""] * len(table), index=table.index, dtype=object)
    for limit in _limits(limits):
        reasons += _reasons(values, limit)
    return reasons.str.removesuffix("; ")


def _limits(limits: GateLimits) -> list[_Limit]:
    candidates = (
        _Limit("fit resolution", "rlnCtfMaxResolution", " Å", _bound(limits.max_resolution), True),
        _Limit("figure of merit", "rlnCtfFigureOfMerit", "", _bound(limits.min_figure_of_merit), False),
        _Limit("mean defocus", "mean defocus", " Å", _bound(limits.min_defocus), False),
        _Limit("mean defocus", "mean defocus", " Å", _bound(limits.max_defocus), True),
        _Limit("astigmatism", "astigmatism", " Å", _bound(limits.max_astigmatism), True),
        _Limit("ice ring density", "rlnCtfIceRingDensity", "", _bound(limits.max_ice_density), True),
    )
    return [limit for limit in candidates if not math.isnan(limit.bound)]


def _bound(value: float | None) -> float:
    return math.nan if value is None else value


def _reasons(values: pd.DataFrame, limit: _Limit) -> pd.Series:
    if limit.label not in values:
        raise CryosnakeError(f"the quality gate has a limit on the {limit.what}, but the table has no column "
                             f"{limit.label if limit.label.startswith('rln') else 'rlnDefocusU, rlnDefocusV'}: "
                             "take that limit away or estimate the CTF again")
    column = values[limit.label].astype(float)
    passes = column <= limit.bound if limit.upper else column >= limit.bound
    relation = "above" if limit.upper else "below"
    texts = [f"{limit.what} {value:.4g}{limit.unit} is {relation} {limit.bound:g}{limit.unit}; "
             if np.isfinite(value) else f"{limit.what} is not a number; " for value in column]
    return pd.Series(np.where(passes, "", texts), index=values.index, dtype=object)
