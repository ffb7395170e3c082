"""Projects and particle stacks with a known truth, for the demo and the tests.

Conventions are RELION's. Coordinates: 0-based pixels of the motion-corrected micrograph, whose reference is the first
frame; a particle lies at rlnCoordinate - rlnOrigin…Angst / pixel size. Euler angles: ZYZ. Motion: a point r of the
corrected micrograph lies at r - shift in a raw frame. Raw frames are multiplied by the gain reference. TIFF rows are
stored from the bottom up.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cryosnake.io.movies import write_movie_tiff
from cryosnake.io.mrc import write_mrc
from cryosnake.jobs.forms import Progress
from cryosnake.numerics.ctf import Defocus
from cryosnake.programs.simulate.particles import simulate_particles
from cryosnake.programs.simulate.settings import ProjectSettings, checked_settings, optics_of, silent
from cryosnake.programs.simulate.truth import (
    defocus_columns,
    particle_rows,
    write_defects,
    write_maps,
    write_motion,
    write_mtf,
    write_tables,
)
from cryosnake.simulation.atoms import Atoms, diameter
from cryosnake.simulation.detector import Detector, random_detector, recorded_frame
from cryosnake.simulation.ice import beam_profile, carbon_edge, contamination
from cryosnake.simulation.micrograph import (
    Optics,
    PlacedParticles,
    particle_contrast,
    place_particles,
    random_poses,
)
from cryosnake.simulation.motion import random_motion
from cryosnake.simulation.movie import Specimen, expected_frames
from cryosnake.simulation.protein import pseudo_protein
from cryosnake.simulation.warp import MARGIN

__all__ = ["ProjectSettings", "simulate_particles", "simulate_project"]


def simulate_project(folder: str | Path, *, atoms: Atoms | None = None, progress: Progress = silent,
                     **settings: Any) -> ProjectSettings:
    """Write movies, gain reference and starting reference of a project, and its truth.

    `folder` gets Movies/movie_NNNN.tiff (or .mrcs), gain.mrc, reference.mrc (the density low-passed at 40 Å) and
    truth/: map.mrc, particles.star, micrographs.star, defects.txt (x y width height) and motion/movie_NNNN.star. Every
    movie depends on the seed and its own number only, so `first=13` adds movies to a project of twelve.

    Parameters
    ----------
    folder : path
    atoms : Atoms, optional
        The particle; without it `pseudo_protein(symmetry, residues, seed)`.
    progress : callable
        progress(done, total, message).
    **settings
        Fields of `ProjectSettings`.

    Raises
    ------
    CryosnakeError
        when a setting is unknown or the particles do not fit
    """
    chosen = checked_settings(settings)
    folder = Path(folder)
    for name in ("Movies", "truth/motion"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    if atoms is None:
        atoms = pseudo_protein(chosen.symmetry, chosen.residues, chosen.seed)
    detector = random_detector(np.random.default_rng([chosen.seed, 0]), chosen.size, hot=chosen.hot_pixels,
                               dead=chosen.dead_pixels)
    write_mrc(folder / "gain.mrc", detector.gain, chosen.pixel_size)
    write_defects(folder / "truth/defects.txt", detector)
    if chosen.blur > 0:
        write_mtf(folder / "mtf.star", chosen.blur)
    write_maps(folder, atoms, chosen)
    particles, micrographs = [], []
    for done, number in enumerate(range(chosen.first, chosen.first + chosen.movies)):
        progress(done, chosen.movies, f"movie {number}")
        rows, row = _write_movie(folder, number, atoms, detector, chosen)
        particles.append(rows)
        micrographs.append(row)
    write_tables(folder, chosen, pd.concat(particles, ignore_index=True), pd.DataFrame(micrographs))
    progress(chosen.movies, chosen.movies, "done")
    return chosen


def _write_movie(folder: Path, number: int, atoms: Atoms, detector: Detector, settings: ProjectSettings,
                 ) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Write one movie and its motion STAR; return the rows of its particles and its micrograph."""
    rng = np.random.default_rng([settings.seed, number])
    stem = f"movie_{number:04d}"
    name = f"Movies/{stem}.{settings.format}"
    optics, defocus = optics_of(settings), _random_defocus(rng, settings)
    motion = random_motion(rng, settings.frames, settings.size, pixel_size=settings.pixel_size,
                           dose_per_frame=settings.dose_per_frame, drift=settings.drift, local=settings.local_motion)
    particles = _random_particles(rng, atoms, settings)
    specimen = _specimen(rng, atoms, particles, optics, defocus, settings)
    beam = beam_profile(rng, settings.size)
    electrons = settings.dose_per_frame * settings.pixel_size**2
    dtype = np.uint8 if electrons < 60.0 else np.uint16
    frames = np.stack([
        recorded_frame(rng, intensity, beam, detector, electrons, dtype)
        for intensity in expected_frames(rng, specimen, motion, optics, defocus,
                                         dose_per_frame=settings.dose_per_frame, blur=settings.blur)])
    _write_frames(folder / name, frames, settings.pixel_size)
    write_motion(folder / f"truth/motion/{stem}.star", name, motion, particles, settings)
    return particle_rows(stem, particles, defocus, settings), {
        "rlnMicrographName": f"Movies/{stem}.mrc", "rlnMicrographMovieName": name, "rlnOpticsGroup": 1,
        **defocus_columns(defocus), "rlnCtfAstigmatism": float(defocus.u - defocus.v)}


def _random_defocus(rng: np.random.Generator, settings: ProjectSettings) -> Defocus:
    mean = rng.uniform(*settings.defocus)
    half = 0.5 * rng.uniform(0.0, settings.astigmatism)
    return Defocus(mean + half, mean - half, rng.uniform(0.0, 180.0), settings.phase_shift)


def _random_particles(rng: np.random.Generator, atoms: Atoms, settings: ProjectSettings) -> PlacedParticles:
    across = diameter(atoms) / settings.pixel_size
    positions = place_particles(rng, settings.size, settings.particles_per_movie, 0.95 * across, 0.6 * across)
    return PlacedParticles(positions, random_poses(rng, len(positions)),
                           rng.normal(0.0, settings.ice_spread, len(positions)))


def _specimen(rng: np.random.Generator, atoms: Atoms, particles: PlacedParticles, optics: Optics, defocus: Defocus,
              settings: ProjectSettings) -> Specimen:
    shape = (settings.size[0] + 2 * MARGIN, settings.size[1] + 2 * MARGIN)
    moved = replace(particles, positions=particles.positions + MARGIN)
    contrast = particle_contrast(atoms, moved, shape, optics, defocus, settings.b_factor)
    crystals = int(rng.integers(1, 4)) if rng.random() < settings.contaminated else 0
    transmission = contamination(rng, shape, settings.pixel_size, crystals)
    carbon = carbon_edge(rng, shape, rng.uniform(0.1, 0.35)) if rng.random() < settings.carbon else None
    return Specimen(contrast, transmission, carbon, settings.ice_thickness)


def _write_frames(path: Path, frames: np.ndarray, pixel_size: float) -> None:
    """Write the raw counts."""
    if path.suffix == ".mrcs":
        write_mrc(path, frames.astype(np.int8 if frames.max() < 128 else np.uint16), pixel_size, stack=True)
        return
    write_movie_tiff(path, frames)
