"""Symmetry expansion: copies of particles at the orientations that a symmetry makes equal, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cryosnake.errors import CryosnakeError
from cryosnake.numerics.euler import euler_to_matrix, matrix_to_euler
from cryosnake.numerics.symmetry import operators
from cryosnake.programs.select.rows import column_of

if TYPE_CHECKING:
    import pandas as pd

_ANGLES = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi")


def expanded(rows: pd.DataFrame, symmetry: str, path: str) -> pd.DataFrame:
    """Return each row once for each rotation of a point group, consecutively; the first copy is the row as it was.

    Raises
    ------
    CryosnakeError
        when the rows have no orientations, or are copies already
    """
    if rows["rlnImageName"].duplicated().any():
        raise CryosnakeError(f"{path} has copies of particles already; set remove_copies: true to expand them anew")
    group = operators(symmetry)
    poses = euler_to_matrix(*(column_of(rows, label, path) for label in _ANGLES))
    angles = np.stack(matrix_to_euler(np.einsum("nij,gjk->ngik", poses, group)), -1)  # (n, copies, 3)
    copies = rows.loc[rows.index.repeat(len(group))].reset_index(drop=True)
    for number, label in enumerate(_ANGLES):
        angles[:, 0, number] = column_of(rows, label, path)
        copies[label] = angles[:, :, number].ravel()
    print(f"expanded by {symmetry}: {len(copies)} copies of {len(rows)} particles")
    return copies


def keep_first_copies(rows: pd.DataFrame, path: str) -> np.ndarray:
    """Return which rows (n,) are the first of their image."""
    if "rlnImageName" not in rows.columns:
        raise CryosnakeError(f"{path} has no column rlnImageName; remove_copies is for particles")
    return ~rows["rlnImageName"].duplicated().to_numpy()
