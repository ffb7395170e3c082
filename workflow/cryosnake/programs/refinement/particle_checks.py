"""Checks before a refinement: values that are not numbers, duplicate particles, images already CTF-corrected."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cryosnake.errors import CryosnakeError

CTF_COLUMNS = ("rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle", "rlnPhaseShift", "rlnCtfBfactor", "rlnCtfScalefactor")
POSE_COLUMNS = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi", "rlnOriginXAngst", "rlnOriginYAngst")
CORRECTED = ("rlnCtfDataAreCtfPremultiplied", "rlnCtfDataArePhaseFlipped")


def check_values(path: str, particles: pd.DataFrame, optics: pd.DataFrame, need_ctf: bool) -> None:
    """Check the rows of particles and the optics groups that they use.

    Raises
    ------
    CryosnakeError
        naming file, column, the first particle concerned and the remedy
    """
    names = particles["rlnImageName"]
    for label in (*(CTF_COLUMNS if need_ctf else ()), *POSE_COLUMNS):
        if label in particles.columns:
            bad = ~np.isfinite(particles[label].to_numpy(np.float64))
            if bad.any():
                raise CryosnakeError(f"{path}: {label} is not a number for {bad.sum()} particle(s), the first is "
                                     f"{names.iloc[int(bad.argmax())]}. Remove them, or run their CTF again.")
    twice = names.duplicated()
    if twice.any():
        raise CryosnakeError(f"{path}: {twice.sum()} particle(s) appear twice, the first is "
                             f"{names[twice].iloc[0]}. They would link the half sets; remove them "
                             "(select: duplicate_distance).")
    for label in CORRECTED:
        if need_ctf and label in optics.columns and optics[label].astype(int).any():
            raise CryosnakeError(f"{path}: {label} is set in data_optics; this program needs images whose CTF was not "
                                 "corrected. Extract them again.")


def refuse_blank(path: str, names: list[str], images: np.ndarray) -> None:
    """Raise CryosnakeError for images (n, box, box) that have NaN or infinite pixels, or one grey value throughout."""
    flat = images.reshape(len(images), -1)
    bad = ~np.isfinite(flat).all(1)
    if bad.any():
        raise CryosnakeError(f"{path}: {bad.sum()} image(s) contain NaN or infinite pixels, the first is "
                             f"{names[int(bad.argmax())]}. Extract them again or remove them from the STAR file.")
    blank = flat.max(1) == flat.min(1)
    if blank.any():
        raise CryosnakeError(f"{path}: {blank.sum()} image(s) are blank, the first is {names[int(blank.argmax())]}. "
                             "Remove them from the STAR file.")
