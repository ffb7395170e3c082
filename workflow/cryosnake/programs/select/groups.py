"""Particles regrouped: the groups of a classification, which share a scale of intensity, made fewer and larger."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cryosnake.errors import CryosnakeError
from cryosnake.io.star import read_table
from cryosnake.programs.select.rows import column_of

_FEWEST = 10  # particles of a new group on average, RELION's limit


def regrouped(rows: pd.DataFrame, count: int, model: str | None, path: str) -> pd.DataFrame:
    """Return particles with rlnGroupName of about `count` new groups, and without rlnGroupNumber: RELION's rule.

    In each optics group the groups of the model are taken by their scale, and one after the other put together until
    there are more particles than the mean; the group that is one too many begins the next.

    Raises
    ------
    CryosnakeError
        without the classification's model.star, when a particle's group is not in it, or when groups would be small
    """
    if model is None:
        raise CryosnakeError("regroup needs the classification's model.star: connect model, such as "
                             "model: classes.model")
    mean = len(rows) // count
    if mean < _FEWEST:
        raise CryosnakeError(f"{path}: {len(rows)} particles in {count} groups are fewer than {_FEWEST} in each; set "
                             f"regroup to {max(1, len(rows) // _FEWEST)} or less")
    groups = read_table(model, "model_groups", ["rlnGroupNumber", "rlnGroupScaleCorrection"])
    number = column_of(rows, "rlnGroupNumber", path).astype(int)
    unknown = set(number.tolist()) - set(groups["rlnGroupNumber"].astype(int))
    if unknown:
        raise CryosnakeError(f"{model} has no group {min(unknown)}, but {path} has particles of it. It is not the "
                             "model of these particles' classification")
    optics = column_of(rows, "rlnOpticsGroup", path).astype(int)
    by_scale = groups.sort_values("rlnGroupScaleCorrection", kind="stable")["rlnGroupNumber"].astype(int).tolist()
    new = _new_groups(number, optics, by_scale, mean)
    width = len(str(count))
    names = {old: f"group_{to:0{width}d}" for old, to in new.items()}
    print(f"regrouped: {len(set(names.values()))} groups in place of {len(names)}")
    return rows.drop(columns=["rlnGroupNumber", "rlnGroupName"], errors="ignore").assign(
        rlnGroupName=[names[one] for one in number.tolist()])


def _new_groups(number: np.ndarray, optics: np.ndarray, by_scale: list[int], mean: int) -> dict[int, int]:
    """Return the new number of each group that particles have; a group is of the optics of its first particle."""
    old, first, sizes = np.unique(number, return_index=True, return_counts=True)
    optics_of = dict(zip(old.tolist(), optics[first].tolist(), strict=True))
    size_of = dict(zip(old.tolist(), sizes.tolist(), strict=True))
    new: dict[int, int] = {}
    last = 0
    for kind in range(1, int(optics.max()) + 1):  # RELION counts one on for an optics group without particles, too
        last, filled = last + 1, 0
        for group in by_scale:
            if optics_of.get(group) != kind:
                continue
            filled += size_of[group]
            if filled > mean:
                last, filled = last + 1, 0
            new[group] = last
    return new
