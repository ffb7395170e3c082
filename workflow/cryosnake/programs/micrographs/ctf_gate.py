"""The quality gate for CTF fits: a pure function of the table and the limits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from cryosnake.errors import CryosnakeError
from cryosnake.jobs.options import CtfFindOptions

# For each option that sets a limit: the quantity as named in the reason, its column and unit. The options' defaults are
# from the 24 K2 micrographs of EMPIAR-10204: right fits go to 4.8 Å or better, the 24 wrong ones of another run claim
# 5.5 Å at best; right fits have a figure of merit above 0.08 (0.13 by CTFFIND4's own definition; at 3,000 Å of defocus
# 0.026), fits to noise below 0.02 (the best of 150 0.024), also for small micrographs.
_QUANTITIES = {
    "max_resolution": ("fit resolution", "rlnCtfMaxResolution", " Å"),
    "min_figure_of_merit": ("figure of merit", "rlnCtfFigureOfMerit", ""),
    "min_defocus": ("mean defocus", "mean defocus", " Å"),
    "max_defocus": ("mean defocus", "mean defocus", " Å"),
    "max_astigmatism": ("astigmatism", "astigmatism", " Å"),
    "max_ice_density": ("ice ring density", "rlnCtfIceRingDensity", ""),
}


def gate(table: pd.DataFrame, options: CtfFindOptions) -> pd.Series:
    """Return the reason why each micrograph is rejected, "" where it passes.

    Parameters
    ----------
    table
        Rows of micrographs_ctf.star, cryosnake's or RELION's
    options
        Their limits, None for no limit; a value that is missing (NaN) does not pass its limit

    Raises
    ------
    CryosnakeError
        if the column of a limit is missing
    """
    values = table.copy()
    if {"rlnDefocusU", "rlnDefocusV"} <= set(values.columns):
        values["mean defocus"] = 0.5 * (values["rlnDefocusU"] + values["rlnDefocusV"])
        values["astigmatism"] = abs(values["rlnDefocusU"] - values["rlnDefocusV"])
    reasons = pd.Series([""] * len(table), index=table.index, dtype=object)
    for limit in _QUANTITIES:
        if (bound := getattr(options, limit)) is not None:
            reasons += _reasons(values, limit, bound)
    return reasons.str.removesuffix("; ")


def found(row: Mapping[str, Any]) -> str:
    """Return the values of a rejected fit as text; the picture of the job reads them (report/panels/ctf.py)."""
    return (f"(found: mean defocus {0.5 * (row['rlnDefocusU'] + row['rlnDefocusV']):.0f} Å, fit resolution "
            f"{row['rlnCtfMaxResolution']:.2f} Å, astigmatism {abs(row['rlnDefocusU'] - row['rlnDefocusV']):.0f} Å, "
            f"figure of merit {row['rlnCtfFigureOfMerit']:.4f})")


def _reasons(values: pd.DataFrame, limit: str, bound: float) -> pd.Series:
    what, label, unit = _QUANTITIES[limit]
    if label not in values:
        raise CryosnakeError(f"the quality gate has a limit on the {what}, but the table has no column "
                             f"{label if label.startswith('rln') else 'rlnDefocusU, rlnDefocusV'}: "
                             "remove that limit or estimate the CTF again")
    column = values[label].astype(float)
    passes, relation = (column <= bound, "above") if limit.startswith("max_") else (column >= bound, "below")
    texts = [f"{what} {value:.4g}{unit} is {relation} {bound:g}{unit}; "
             if np.isfinite(value) else f"{what} is not a number; " for value in column]
    return pd.Series(np.where(passes, "", texts), index=values.index, dtype=object)
