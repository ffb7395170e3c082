"""Projects and particle stacks with a known truth, for the demo and the tests.

Conventions are RELION's. Coordinates: 0-based pixels of the motion-corrected micrograph, whose reference is the first
frame; a particle lies at rlnCoordinate - rlnOrigin…Angst / pixel size. Euler angles: ZYZ. Motion: a point r of the
corrected micrograph lies at r - shift in a raw frame. Raw frames are multiplied by the gain reference. TIFF rows are
stored from the bottom up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tifffile

from cryosnake.errors import CryosnakeError
from cryosnake.io.atomic import replacing
from cryosnake.io.mrc import write_mrc
from cryosnake.io.star import write_star
from cryosnake.numerics.filters import low_pass
from cryosnake.numerics.simulation.atoms import Atoms, diameter
from cryosnake.numerics.simulation.density import density_from_atoms
from cryosnake.numerics.simulation.micrograph import (
    Defocus,
    Optics,
    Particles,
    beam_profile,
    carbon_edge,
    contamination,
    particle_contrast,
    place_particles,
    random_poses,
)
from cryosnake.numerics.simulation.motion import Motion, local_shift, random_motion
from cryosnake.numerics.simulation.movie import (
    MARGIN,
    Detector,
    Specimen,
    expected_frames,
    random_detector,
    recorded_frame,
)
from cryosnake.numerics.simulation.protein import pseudo_protein

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Settings:
    """What a simulated data set is made with. Lengths in Å unless said otherwise.

    `size` is (h, w) in pixels. `defocus` is a range, `astigmatism` the largest U - V; `ice_spread` is the standard
    deviation of a particle's height. `contaminated` and `carbon` are the fractions of movies with ice crystals and with
    a carbon edge. `box` and `box_pixel_size` belong to the truth map and the starting reference.
    """

    movies: int = 12
    first: int = 1
    size: tuple[int, int] = (1280, 1280)
    frames: int = 16
    pixel_size: float = 1.77
    voltage: float = 300.0
    cs: float = 2.7
    amplitude_contrast: float = 0.1
    phase_shift: float = 0.0
    dose_per_frame: float = 3.0
    particles_per_movie: int = 70
    symmetry: str = "D2"
    residues: int = 1020
    box: int = 64
    box_pixel_size: float = 4.425
    defocus: tuple[float, float] = (8000.0, 20000.0)
    astigmatism: float = 400.0
    ice_thickness: float = 350.0
    ice_spread: float = 80.0
    drift: float = 12.0
    local_motion: float = 4.0
    contaminated: float = 0.25
    carbon: float = 0.0
    hot_pixels: int = 12
    dead_pixels: int = 6
    b_factor: float = 40.0
    seed: int = 1
    format: str = "tiff"


def _silent(done: int, total: int, message: str) -> None:
    pass


def simulate_project(folder: str | Path, *, atoms: Atoms | None = None, progress: Progress = _silent,
                     **settings: Any) -> Settings:
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
        Fields of `Settings`.

    Raises
    ------
    CryosnakeError
        when a setting is unknown or the particles do not fit
    """
    chosen = _settings(settings)
    folder = Path(folder)
    for name in ("Movies", "truth/motion"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    if atoms is None:
        atoms = pseudo_protein(chosen.symmetry, chosen.residues, chosen.seed)
    detector = random_detector(np.random.default_rng([chosen.seed, 0]), chosen.size, hot=chosen.hot_pixels,
                               dead=chosen.dead_pixels)
    write_mrc(folder / "gain.mrc", detector.gain, chosen.pixel_size)
    _write_defects(folder / "truth/defects.txt", detector)
    write_maps(folder, atoms, chosen)
    particles, micrographs = [], []
    for done, number in enumerate(range(chosen.first, chosen.first + chosen.movies)):
        progress(done, chosen.movies, f"movie {number}")
        rows, row = _write_movie(folder, number, atoms, detector, chosen)
        particles.append(rows)
        micrographs.append(row)
    optics = optics_table(chosen)
    write_star(folder / "truth/particles.star", {"optics": optics, "particles": pd.concat(particles)})
    write_star(folder / "truth/micrographs.star", {"optics": optics, "micrographs": pd.DataFrame(micrographs)})
    progress(chosen.movies, chosen.movies, "done")
    return chosen


def _settings(given: dict[str, Any]) -> Settings:
    unknown = set(given) - set(Settings.__dataclass_fields__)
    if unknown:
        raise CryosnakeError(f"simulate: {', '.join(sorted(unknown))} is no setting; there are "
                             f"{', '.join(Settings.__dataclass_fields__)}.")
    chosen = Settings(**given)
    if chosen.format not in ("tiff", "mrcs"):
        raise CryosnakeError(f"simulate: format {chosen.format!r} is not known; use tiff or mrcs.")
    if chosen.size[0] % 2 or chosen.size[1] % 2:
        raise CryosnakeError(f"simulate: size {chosen.size} has an odd number of pixels; use even numbers.")
    return chosen


def optics_of(settings: Settings) -> Optics:
    """Return the microscope of these settings."""
    return Optics(settings.pixel_size, settings.voltage, settings.cs, settings.amplitude_contrast)


def optics_table(settings: Settings) -> pd.DataFrame:
    """Return RELION's data_optics of the movies."""
    return pd.DataFrame([{
        "rlnOpticsGroupName": "opticsGroup1", "rlnOpticsGroup": 1,
        "rlnMicrographOriginalPixelSize": settings.pixel_size, "rlnVoltage": settings.voltage,
        "rlnSphericalAberration": settings.cs,
        "rlnAmplitudeContrast": settings.amplitude_contrast, "rlnMicrographPixelSize": settings.pixel_size}])


def write_maps(folder: Path, atoms: Atoms, settings: Settings) -> None:
    """Write truth/map.mrc and reference.mrc.

    Grey scale: that of particles whose background has a standard deviation of 1, as RELION's extraction leaves them,
    estimated from the electrons per pixel alone.
    """
    density = density_from_atoms(atoms, settings.box, settings.box_pixel_size, settings.b_factor)
    electrons = settings.dose_per_frame * settings.frames * settings.box_pixel_size**2
    density *= np.float32(2.0 * optics_of(settings).interaction * settings.box_pixel_size * np.sqrt(electrons))
    write_mrc(folder / "truth/map.mrc", density, settings.box_pixel_size)
    write_mrc(folder / "reference.mrc", low_pass(density, 40.0, settings.box_pixel_size), settings.box_pixel_size)


def _write_defects(path: Path, detector: Detector) -> None:
    y, x = np.nonzero(detector.excess)
    with replacing(path) as temporary:
        temporary.write_text("".join(f"{column} {row} 1 1\n" for row, column in zip(y, x, strict=True)))


def _write_movie(folder: Path, number: int, atoms: Atoms, detector: Detector, settings: Settings,
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
                                         dose_per_frame=settings.dose_per_frame,
                                         ice_thickness=settings.ice_thickness)])
    _write_frames(folder / name, frames, settings.pixel_size)
    _write_motion(folder / f"truth/motion/{stem}.star", name, motion, particles, settings)
    return _particle_rows(stem, particles, defocus, settings), {
        "rlnMicrographName": f"Movies/{stem}.mrc", "rlnMicrographMovieName": name, "rlnOpticsGroup": 1,
        **_defocus_columns(defocus), "rlnCtfAstigmatism": float(defocus.u - defocus.v)}


def _random_defocus(rng: np.random.Generator, settings: Settings) -> Defocus:
    mean = rng.uniform(*settings.defocus)
    half = 0.5 * rng.uniform(0.0, settings.astigmatism)
    return Defocus(mean + half, mean - half, rng.uniform(0.0, 180.0), settings.phase_shift)


def _random_particles(rng: np.random.Generator, atoms: Atoms, settings: Settings) -> Particles:
    across = diameter(atoms) / settings.pixel_size
    positions = place_particles(rng, settings.size, settings.particles_per_movie, 0.95 * across, 0.6 * across)
    return Particles(positions, random_poses(rng, len(positions)), rng.normal(0.0, settings.ice_spread, len(positions)))


def _specimen(rng: np.random.Generator, atoms: Atoms, particles: Particles, optics: Optics, defocus: Defocus,
              settings: Settings) -> Specimen:
    shape = (settings.size[0] + 2 * MARGIN, settings.size[1] + 2 * MARGIN)
    moved = replace(particles, positions=particles.positions + MARGIN)
    contrast = particle_contrast(atoms, moved, shape, optics, defocus, settings.b_factor)
    crystals = int(rng.integers(1, 4)) if rng.random() < settings.contaminated else 0
    transmission = contamination(rng, shape, settings.pixel_size, crystals)
    carbon = carbon_edge(rng, shape, rng.uniform(0.1, 0.35)) if rng.random() < settings.carbon else None
    return Specimen(contrast, transmission, carbon)


def _write_frames(path: Path, frames: np.ndarray, pixel_size: float) -> None:
    with replacing(path) as temporary:
        if path.suffix == ".mrcs":
            write_mrc(path, frames.astype(np.uint16 if frames.max() > 127 else np.int8), pixel_size, stack=True)
            return
        tifffile.imwrite(temporary, frames[:, ::-1], compression="lzw", photometric="minisblack")


def _write_motion(path: Path, name: str, motion: Motion, particles: Particles, settings: Settings) -> None:
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


def _defocus_columns(defocus: Defocus) -> dict[str, Any]:
    return {"rlnDefocusU": defocus.u, "rlnDefocusV": defocus.v, "rlnDefocusAngle": defocus.angle,
            "rlnPhaseShift": defocus.phase_shift}


def _particle_rows(stem: str, particles: Particles, defocus: Defocus, settings: Settings) -> pd.DataFrame:
    """Return RELION's rows: whole-pixel coordinates (where extraction cuts), what is left over as origin in Å."""
    whole = np.rint(particles.positions)
    origin = (whole - particles.positions) * settings.pixel_size
    own = replace(defocus, u=defocus.u + particles.heights, v=defocus.v + particles.heights)
    return pd.DataFrame({
        "rlnCoordinateX": whole[:, 0], "rlnCoordinateY": whole[:, 1], "rlnMicrographName": f"Movies/{stem}.mrc",
        "rlnOpticsGroup": 1, "rlnAngleRot": particles.angles[:, 0], "rlnAngleTilt": particles.angles[:, 1],
        "rlnAnglePsi": particles.angles[:, 2], "rlnOriginXAngst": origin[:, 0], "rlnOriginYAngst": origin[:, 1],
        **_defocus_columns(own)})
