"""The truth of a simulation, in RELION's files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cryosnake.atomic import write_text
from cryosnake.io.mrc import write_mrc
from cryosnake.io.star import read_table, write_star
from cryosnake.numerics.ctf import Defocus
from cryosnake.numerics.filters import low_pass
from cryosnake.programs.simulate.settings import ProjectSettings, optics_of, optics_row
from cryosnake.simulation.atoms import Atoms
from cryosnake.simulation.density import density_from_atoms
from cryosnake.simulation.detector import Detector
from cryosnake.simulation.micrograph import PlacedParticles
from cryosnake.simulation.motion import TrueMotion, local_shift


def write_maps(folder: Path, atoms: Atoms, settings: ProjectSettings) -> None:
    """Write truth/map.mrc and reference.mrc.

    Grey scale: that of particles whose background has a standard deviation of 1, as after RELION's extraction,
    estimated from the electrons per pixel alone.
    """
    density = density_from_atoms(atoms, settings.box, settings.box_pixel_size, settings.b_factor)
    electrons = settings.dose_per_frame * settings.frames * settings.box_pixel_size**2
    density *= np.float32(2.0 * optics_of(settings).interaction * settings.box_pixel_size * np.sqrt(electrons))
    write_mrc(folder / "truth/map.mrc", density, settings.box_pixel_size)
    write_mrc(folder / "reference.mrc", low_pass(density, 40.0, settings.box_pixel_size), settings.box_pixel_size)


def write_defects(path: Path, detector: Detector) -> None:
    """Write the bad pixels as MotionCor2 lists them: x, y, width, height."""
    y, x = np.nonzero(detector.excess)
    write_text(path, "".join(f"{column} {row} 1 1\n" for row, column in zip(y, x, strict=True)))


def write_mtf(path: Path, blur: float) -> None:
    """Write the camera's MTF in RELION's form: frequency in 1/px up to Nyquist, value."""
    frequency = np.linspace(0.0, 0.5, 51)
    value = np.exp(-2.0 * (np.pi * blur * frequency) ** 2)
    write_star(path, {"mtf": pd.DataFrame({"rlnResolutionInversePixel": frequency, "rlnMtfValue": value})})


def write_tables(folder: Path, settings: ProjectSettings, particles: pd.DataFrame, micrographs: pd.DataFrame) -> None:
    """Write truth/particles.star and micrographs.star; rows of earlier movies, before `settings.first`, stay."""
    label, optics = "rlnMicrographName", optics_row(settings.pixel_size, optics_of(settings).microscope)
    optics |= {"rlnMicrographPixelSize": settings.pixel_size, **settings.aberrations.columns()}
    for name, table in (("particles", particles), ("micrographs", micrographs)):
        path = folder / f"truth/{name}.star"
        if settings.first > 1 and path.exists():
            earlier = read_table(path, name)
            kept = earlier[~earlier[label].isin(micrographs[label])]
            table = pd.concat([kept, table], ignore_index=True)
        write_star(path, {"optics": pd.DataFrame([optics]), name: table})


def write_motion(path: Path, name: str, motion: TrueMotion, particles: PlacedParticles,
                 settings: ProjectSettings) -> None:
    """Write a movie's motion as RELION's motion correction does; the local shifts are those at the particles."""
    count = len(motion.global_shifts)
    frames = np.arange(count)
    local = np.stack([local_shift(motion, particles.positions, float(frame)) for frame in frames], 1)  # (n, frames, 2)
    write_star(path, {
        "general": {
            "rlnImageSizeX": settings.size[1], "rlnImageSizeY": settings.size[0], "rlnImageSizeZ": count,
            "rlnMicrographMovieName": name, "rlnMicrographGainName": "gain.mrc", "rlnMicrographBinning": 1.0,
            "rlnMicrographOriginalPixelSize": settings.pixel_size, "rlnMicrographDoseRate": settings.dose_per_frame,
            "rlnMicrographPreExposure": 0.0, "rlnVoltage": settings.voltage, "rlnMicrographStartFrame": 1,
            "rlnMotionModelVersion": 1},
        "global_shift": pd.DataFrame({
            "rlnMicrographFrameNumber": frames + 1, "rlnMicrographShiftX": motion.global_shifts[:, 0],
            "rlnMicrographShiftY": motion.global_shifts[:, 1]}),
        "local_motion_model": pd.DataFrame({
            "rlnMotionModelCoeffsIdx": np.arange(len(motion.coefficients)),
            "rlnMotionModelCoeff": motion.coefficients}),
        "local_shift": pd.DataFrame({
            "rlnMicrographFrameNumber": np.tile(frames + 1, len(local)),
            "rlnCoordinateX": np.repeat(particles.positions[:, 0], count),
            "rlnCoordinateY": np.repeat(particles.positions[:, 1], count),
            "rlnMicrographShiftX": local[..., 0].ravel(), "rlnMicrographShiftY": local[..., 1].ravel()}),
    })


def defocus_columns(defocus: Defocus) -> dict[str, Any]:
    """Return RELION's columns of a defocus."""
    return {"rlnDefocusU": defocus.u, "rlnDefocusV": defocus.v, "rlnDefocusAngle": defocus.angle,
            "rlnPhaseShift": defocus.phase_shift}


def particle_rows(stem: str, particles: PlacedParticles, defocus: Defocus, settings: ProjectSettings) -> pd.DataFrame:
    """Return RELION's rows: whole-pixel coordinates (where extraction cuts), the remainder as origin in Å."""
    whole = np.rint(particles.positions)
    origin = (whole - particles.positions) * settings.pixel_size
    own = replace(defocus, u=defocus.u + particles.heights, v=defocus.v + particles.heights)
    return pd.DataFrame({
        "rlnCoordinateX": whole[:, 0], "rlnCoordinateY": whole[:, 1], "rlnMicrographName": f"Movies/{stem}.mrc",
        "rlnOpticsGroup": 1, "rlnAngleRot": particles.angles[:, 0], "rlnAngleTilt": particles.angles[:, 1],
        "rlnAnglePsi": particles.angles[:, 2], "rlnOriginXAngst": origin[:, 0], "rlnOriginYAngst": origin[:, 1],
        **defocus_columns(own)})
