"""Files of a CtfRefine job: particles_ctf_refine.star in RELION's columns, and what the pictures are drawn from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cryosnake.atomic import replacing
from cryosnake.io.star import write_star
from cryosnake.jobs.options import CtfRefineOptions
from cryosnake.numerics.aberrations import even_phase, odd_phase
from cryosnake.numerics.ctf_refine.defocus_fit import FIXED
from cryosnake.programs.ctfrefine.fits import Measured, State
from cryosnake.programs.ctfrefine.optics_state import defocus_columns, tilt_and_rest
from cryosnake.programs.refinement.particles import ParticleSet

_MAGNIFICATION = ("rlnMagMat00", "rlnMagMat01", "rlnMagMat10", "rlnMagMat11")


def write_particles(path: Path, particles: ParticleSet, state: State, options: CtfRefineOptions) -> None:
    """Write all rows of the particles, with what was fitted in their columns and in the optics table."""
    optics, table = particles.tables["optics"].copy(), particles.table.copy()
    for label, values in _optics_columns(particles, state, options).items():
        optics[label] = values
    for label, column in _particle_columns(state, options).items():
        table[label] = column
    write_star(path, {"optics": optics, "particles": table})


def _optics_columns(particles: ParticleSet, state: State, options: CtfRefineOptions) -> dict[str, list[Any]]:
    """Return RELION's columns of the optics table for what was fitted, one value for each group."""
    columns: dict[str, list[Any]] = {}

    def add(values: Mapping[str, Any]) -> None:
        for label, value in values.items():
            columns.setdefault(label, []).append(value)

    for group, own in zip(particles.groups, state.optics, strict=True):
        assert group.microscope is not None
        tilt, odd = tilt_and_rest(own.odd, group.microscope)
        if options.beam_tilt or options.trefoil:
            add({"rlnBeamTiltX": tilt[0], "rlnBeamTiltY": tilt[1]})
        if options.trefoil or (options.beam_tilt and any(any(each.odd) for each in particles.groups)):
            add({"rlnOddZernike": _listed(odd)})
        if options.fourth_order:
            add({"rlnEvenZernike": _listed(own.even)})
        if options.magnification:
            add(dict(zip(_MAGNIFICATION, own.magnification.ravel().tolist(), strict=True)))
    return columns


def _listed(values: np.ndarray) -> str:
    return f"[{','.join(f'{value:.6f}' for value in values)}]"


def _particle_columns(state: State, options: CtfRefineOptions) -> dict[str, np.ndarray]:
    columns: dict[str, np.ndarray] = {}
    if FIXED != options.defocus or FIXED != options.astigmatism or options.magnification:
        columns |= defocus_columns(state.lens)
    if options.phase_shift != FIXED:
        columns["rlnPhaseShift"] = np.degrees(state.lens.terms[:, 3])
    if options.b_factor != FIXED:
        columns |= {"rlnCtfBfactor": state.lens.b_factor, "rlnCtfScalefactor": state.lens.scale}
    return columns


def write_phases(path: Path, particles: ParticleSet, measured: Mapping[int, Measured]) -> None:
    """Write measured and fitted phases of each optics group, (box, box) images, for the pictures."""
    arrays: dict[str, Any] = {}
    for group, found in measured.items():
        name = particles.optics_name(group)
        arrays |= {f"{group}_name": np.array(name), f"{group}_kx": found.at.kx, f"{group}_ky": found.at.ky}
        arrays |= {f"{group}_{key}": values for key, values in _phases(found).items()}
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **arrays)


def _phases(found: Measured) -> dict[str, np.ndarray]:
    """Return measured and fitted odd and even phases (pixels,) float32, radians."""
    kx, ky = found.at.kx, found.at.ky
    odd = odd_phase(found.fit.odd.tolist(), (0.0, 0.0), None, kx, ky)
    even = even_phase(found.fit.even.tolist(), kx, ky)
    sums, back = found.sums, np.exp(-1j * odd)
    slope, own = (back * sums.cross_sin).real, (back * sums.cross_cos).real
    determinant = sums.sin2 * sums.cos2 - sums.sin_cos**2
    cos = sums.cos2 * slope - sums.sin_cos * own
    sin = sums.sin_cos * slope - sums.sin2 * own
    measured_even = np.where(determinant > 0, np.arctan2(sin, cos), 0.0)
    pairs = {"odd_measured": np.angle(sums.cross(even)), "odd_fitted": odd, "even_measured": measured_even,
             "even_fitted": even}
    return {key: np.asarray(values, np.float32) for key, values in pairs.items()}
