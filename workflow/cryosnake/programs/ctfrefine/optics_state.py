"""What is known at a time of the job: optics groups with all their odd terms, and the CTF of each row."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cryosnake.numerics.ctf import Defocus, Microscope
from cryosnake.numerics.ctf_refine.defocus_fit import Lens
from cryosnake.numerics.ctf_refine.magnification import defocus_in_new_frame
from cryosnake.numerics.ctf_refine.phase_fit import EVEN_TERMS, ODD_TERMS
from cryosnake.programs.optics.groups import OpticsGroup
from cryosnake.programs.refinement.particles import ParticleSet

_COMA = ((4, 1), (3, 0))  # of x and y: the coefficient of coma, and that of a shift


@dataclass(frozen=True, kw_only=True)
class GroupOptics:
    """Of one optics group: odd terms, beam tilt among them, even terms, and magnification (2, 2)."""

    odd: np.ndarray
    even: np.ndarray
    magnification: np.ndarray

    def values(self) -> np.ndarray:
        """Return all numbers as one array."""
        return np.concatenate([self.odd, self.even, self.magnification.ravel()])


def optics_of(group: OpticsGroup) -> GroupOptics:
    """Return the aberrations and magnification of a group as they are in its file."""
    assert group.microscope is not None
    odd, even = np.zeros(max(ODD_TERMS, len(group.odd))), np.zeros(max(EVEN_TERMS, len(group.even)))
    odd[: len(group.odd)], even[: len(group.even)] = group.odd, group.even
    coma = _coma(group.microscope)
    for tilt, (third, first) in zip(group.tilt, _COMA, strict=True):
        odd[third] -= coma * tilt / 3.0
        odd[first] -= 2.0 * coma * tilt / 3.0
    return GroupOptics(odd=odd, even=even, magnification=group.magnification)


def tilt_and_rest(odd: np.ndarray, microscope: Microscope) -> tuple[tuple[float, float], np.ndarray]:
    """Return beam tilt x, y in mrad, and odd terms without it, as RELION writes them."""
    rest, tilt = odd.copy(), []
    for third, first in _COMA:
        tilt.append(-3.0 * float(rest[third]) / _coma(microscope))
        rest[first] -= 2.0 * rest[third]
        rest[third] = 0.0
    return (tilt[0], tilt[1]), rest


def _coma(microscope: Microscope) -> float:
    """Return the factor of k³ in the phase of a beam tilt of 1 mrad, rad Å³; at least tiny, for a lens without Cs."""
    return max(2e4 * math.pi * microscope.cs * microscope.wavelength**2, 1e-6)


def lens_of(particles: ParticleSet) -> Lens:
    """Return the CTF parameters of all rows."""
    u, v = particles.column("rlnDefocusU"), particles.column("rlnDefocusV")
    double = np.radians(2.0 * particles.column("rlnDefocusAngle"))
    terms = [0.5 * (u + v), 0.5 * (u - v) * np.cos(double), 0.5 * (u - v) * np.sin(double),
             np.radians(particles.column("rlnPhaseShift"))]
    return Lens(terms=np.stack(terms, 1), b_factor=particles.column("rlnCtfBfactor"),
                scale=particles.column("rlnCtfScalefactor", 1.0))


def rows_of(lens: Lens, rows: np.ndarray | slice) -> Lens:
    """Return the CTF parameters of some rows."""
    return Lens(terms=lens.terms[rows], b_factor=lens.b_factor[rows], scale=lens.scale[rows])


def with_rows(lens: Lens, rows: np.ndarray, new: Lens) -> Lens:
    """Return a lens with other values of some rows."""
    terms, b_factor, scale = lens.terms.copy(), lens.b_factor.copy(), lens.scale.copy()
    terms[rows], b_factor[rows], scale[rows] = new.terms, new.b_factor, new.scale
    return Lens(terms=terms, b_factor=b_factor, scale=scale)


def defocus_columns(lens: Lens) -> dict[str, np.ndarray]:
    """Return RELION's columns of defocus: U ≥ V in Å, the angle of U in [0, 180)."""
    half = np.hypot(lens.terms[:, 1], lens.terms[:, 2])
    angle = np.mod(np.degrees(0.5 * np.arctan2(lens.terms[:, 2], lens.terms[:, 1])), 180.0)
    return {"rlnDefocusU": lens.terms[:, 0] + half, "rlnDefocusV": lens.terms[:, 0] - half,
            "rlnDefocusAngle": np.where(angle >= 180.0, 0.0, angle)}


def in_new_frame(lens: Lens, change: np.ndarray) -> Lens:
    """Return a lens whose phases at (1 + D) k are what they were at k; `change` is 1 + D."""
    columns: dict[str, Any] = defocus_columns(lens)
    new = defocus_in_new_frame(Defocus(*columns.values()), change)
    double = np.radians(2.0 * np.asarray(new.angle))
    half = 0.5 * np.asarray(new.astigmatism)
    terms = np.stack([np.asarray(new.mean), half * np.cos(double), half * np.sin(double), lens.terms[:, 3]], 1)
    return replace(lens, terms=terms)
