"""Checks before a refinement: duplicate particles, images whose phases were flipped, aberrations in the wrong table."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from cryosnake.errors import CryosnakeError
from cryosnake.io.checked_numbers import CTF, POSE, checked, number_of
from cryosnake.numerics.euler import euler_to_matrix
from cryosnake.programs.refinement.same_particles import first_of_image

# Columns of data_optics, with the value that changes nothing
_OF_OPTICS = {"rlnBeamTiltX": 0.0, "rlnBeamTiltY": 0.0, "rlnOddZernike": 0.0, "rlnEvenZernike": 0.0,
                "rlnMagMat00": 1.0, "rlnMagMat01": 0.0, "rlnMagMat10": 0.0, "rlnMagMat11": 1.0}
_ANGLES, _HALF = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"), "rlnRandomSubset"
_ALIKE = 1e3  # elements of the matrices of two copies at different orientations differ by more than the inverse
_FLIPPED = "rlnCtfDataArePhaseFlipped"
_NUMBER = re.compile(r"[^\[\],\s]+")


def check_values(path: str, particles: pd.DataFrame, optics: pd.DataFrame, need_ctf: bool) -> pd.DataFrame:
    """Check the rows of particles and the optics groups that they use; return the particles, with numbers as such.

    Raises
    ------
    CryosnakeError
        naming file, column, the first particle concerned and the remedy
    """
    particles = checked(path, "particles", particles, [*(CTF if need_ctf else ()), *POSE])
    _refuse_twice(path, particles)
    if need_ctf and _FLIPPED in optics.columns and optics[_FLIPPED].any():
        raise CryosnakeError(f"{path}: {_FLIPPED} is set in data_optics; this program needs images whose phases were "
                             "not flipped. Extract them again.")
    return particles


def _refuse_twice(path: str, particles: pd.DataFrame) -> None:
    """Refuse particles that are listed twice, but for copies at other orientations in the same half set."""
    names, first = particles["rlnImageName"], first_of_image(particles["rlnImageName"])
    copies = np.flatnonzero(np.bincount(first, minlength=len(first))[first] > 1)
    if not len(copies):
        return
    again = copies[first[copies] != copies]
    if _HALF in particles.columns:
        halves = particles[_HALF].to_numpy()
        apart = again[halves[again] != halves[first[again]]]
        if len(apart):
            raise CryosnakeError(f"{path}: copies of {names.iloc[int(apart[0])]} are in both half sets "
                                 f"({_HALF}), which would link them. Expand particles that have their half sets, or "
                                 "remove the column")
    twice = again if not set(_ANGLES) <= set(particles.columns) else copies[_repeated(particles.iloc[copies],
                                                                                      first[copies])]
    if len(twice):
        name, other = names.iloc[int(twice[0])], names.iloc[int(first[twice[0]])]
        raise CryosnakeError(f"{path}: {len(twice)} particle(s) appear twice, the first is {name}"
                             f"{f' (as {other})' if other != name else ''}. They would link the half sets; remove them "
                             "(select: duplicate_distance).")


def _repeated(copies: pd.DataFrame, first: np.ndarray) -> np.ndarray:
    """Return which rows (n,) have the image and the orientation of an earlier one; `first` (n,) tells images apart."""
    poses = euler_to_matrix(*(copies[label].to_numpy(np.float64) for label in _ANGLES))
    keys = np.column_stack([first, np.rint(poses.reshape(len(poses), 9) * _ALIKE)]) + 0.0
    return pd.DataFrame(keys).duplicated().to_numpy()


def not_applied(particles: pd.DataFrame) -> str:
    """Return a warning that names aberrations and magnifications in the particles' rows, "" where there are none.

    RELION, and so do we, takes them from the optics table alone.
    """
    found = [label for label, usual in _OF_OPTICS.items()
             if label in particles.columns and any(_differs(value, usual) for value in particles[label].unique())]
    if not found:
        return ""
    return (f"WARNING: {', '.join(found)}: aberrations and magnifications in data_particles are NOT APPLIED, only "
            "passed on; they belong in data_optics, where CtfRefine writes them.")


def _differs(value: object, usual: float) -> bool:
    """Whether a number, or one in a list such as [0.1,0,0], differs from the one that changes nothing."""
    numbers = (number_of(text) for text in _NUMBER.findall(str(value)))
    return any(abs(number - usual) > 1e-6 for number in numbers)


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
