"""The particles of each movie, where they are in its frames, and what they should look like."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import numpy as np

from cryosnake.errors import CryosnakeError
from cryosnake.io.paths import movie_of
from cryosnake.io.star import read_star
from cryosnake.jobs.options import PolishOptions
from cryosnake.numerics.aberrations import odd_phase
from cryosnake.numerics.refine.grids.bands import Band
from cryosnake.numerics.refine.grids.images import ctf_at
from cryosnake.programs.ctfrefine.optics_state import optics_of
from cryosnake.programs.ctfrefine.pixels import GroupPixels, pixels_of
from cryosnake.programs.ctfrefine.references import References
from cryosnake.programs.ctfrefine.units import kept_name
from cryosnake.programs.polish.motion_metadata import RecordedMotion, read_motion
from cryosnake.programs.refinement.particles import ParticleSet

_ALL = 1e4  # Å: no frequency is too low
_ORIGIN = ("rlnOriginXAngst", "rlnOriginYAngst")


@dataclass(frozen=True, kw_only=True)
class MovieParticles:
    """Particles of one movie, all of one optics group.

    Attributes
    ----------
    name : str
        Path of its files below the job directory, without ending.
    rows : (p,) int64
        In the table of particles.
    group : int
    motion : RecordedMotion
    frames : (f,) int64
        Numbers of the frames, from 1.
    places : (p, 2)
        Where the boxes are cut, pixels of the movie, in the motion-corrected micrograph.
    window, box : int
        Pixels of the movie, and of the polished images.
    """

    name: str
    rows: np.ndarray
    group: int
    motion: RecordedMotion
    frames: np.ndarray
    places: np.ndarray
    window: int
    box: int

    @property
    def pixel_size(self) -> float:
        """Å, exactly, of the polished images."""
        return self.window * self.motion.pixel_size / self.box

    @property
    def length(self) -> float:
        """Å, of the box."""
        return self.window * self.motion.pixel_size


def movies_of(particles: ParticleSet, micrographs: str, options: PolishOptions) -> list[MovieParticles]:
    """Return the particles of each movie.

    Raises
    ------
    CryosnakeError
        when a particle's movie is not among the micrographs, or has no motion metadata; when frames are asked for that
        it does not have, or a micrograph's particles are of several optics groups
    """
    tables = read_star(micrographs)
    if "micrographs" not in tables or "rlnMicrographMetadata" not in tables["micrographs"]:
        raise CryosnakeError(f"{micrographs} has no rlnMicrographMetadata: it is not of a motion correction. Connect "
                             "corrected_micrographs.star of a MotionCorr job")
    listed = tables["micrographs"]
    known = {movie_of(str(name)): str(path) for name, path in
             zip(listed["rlnMicrographName"], listed["rlnMicrographMetadata"], strict=True)}
    names, micrograph = np.unique(particles.table["rlnMicrographName"].to_numpy(str), return_inverse=True)
    missing = [name for name in names if movie_of(str(name)) not in known]
    if missing:
        count = int(np.isin(particles.table["rlnMicrographName"].to_numpy(str), missing).sum())
        raise CryosnakeError(f"{particles.path}: {count} particle(s) are of {len(missing)} micrograph(s) that "
                             f"{micrographs} does not list (first: {missing[0]}). Connect the MotionCorr job of all "
                             "movies, or leave these particles out with Select")
    return [_movie(particles, np.flatnonzero(micrograph == number), read_motion(known[movie_of(str(name))]), str(name),
                   options) for number, name in enumerate(names)]


def _movie(particles: ParticleSet, rows: np.ndarray, motion: RecordedMotion, name: str, options: PolishOptions,
           ) -> MovieParticles:
    groups = np.unique(particles.optics[rows])
    if len(groups) > 1:
        raise CryosnakeError(f"{particles.path}: particles of {name} are in {len(groups)} optics groups; those of one "
                             "movie must be in one. Correct rlnOpticsGroup")
    group = particles.groups[int(groups[0])]
    aligned = np.flatnonzero(np.isfinite(motion.shifts).all(1)) + 1
    last = options.last_frame if options.last_frame > 0 else int(aligned[-1])
    frames = aligned[(aligned >= options.first_frame) & (aligned <= last)]
    if len(frames) < 2 or (options.last_frame > 0 and options.last_frame > aligned[-1]):
        raise CryosnakeError(f"{motion.movie}: frames {options.first_frame} to {last} were asked for; motion is known "
                             f"of {aligned[0]} to {aligned[-1]}. Change first_frame or last_frame")
    window = options.extract_size or 2 * round(group.box * group.pixel_size / motion.pixel_size / 2)
    box = options.rescale or (window if options.extract_size else group.box)
    if box > window or box % 2 or window % 2:
        raise CryosnakeError(f"polish: extract_size {window} and rescale {box} must be even, and rescale no larger")
    coordinates = np.stack([particles.column(f"rlnCoordinate{axis}")[rows] for axis in "XY"], 1)
    post = kept_name(name, 1, True).removesuffix("_optics-group_1")
    return MovieParticles(name=post, rows=rows, group=int(groups[0]), motion=motion, frames=frames,
                          places=np.trunc(coordinates) * motion.binning, window=window, box=box)


def pixels_in(particles: ParticleSet, movie: MovieParticles, references: References) -> GroupPixels:
    """Return the pixels at which a movie's particles are predicted."""
    group = replace(particles.groups[movie.group], box=movie.box, pixel_size=movie.pixel_size)
    return pixels_of(particles.path, group, references, _ALL)


def predicted(particles: ParticleSet, movie: MovieParticles, pixels: GroupPixels, halves: np.ndarray) -> np.ndarray:
    """Return predictions (p, pixels) complex64 of a movie's particles from half maps (p,) 1 or 2."""
    group, rows, optics = particles.groups[movie.group], movie.rows, optics_of(particles.groups[movie.group])
    assert group.microscope is not None
    poses = particles.poses()[rows]
    result = np.empty((len(rows), len(pixels.band.kx)), np.complex64)
    for half in (1, 2):
        mine = np.flatnonzero(halves == half)
        if len(mine):
            result[mine] = pixels.predictions(half, poses[mine], optics.magnification)
    kx, ky = pixels.seen(optics.magnification)
    seen_x, seen_y = ((k * movie.length).astype(np.float32) for k in (kx, ky))
    seen = Band(movie.box, seen_x, seen_y, pixels.band.shell)
    result *= ctf_at(seen, particles.defoci(rows), movie.pixel_size, group.microscope, even=group.even)
    result *= np.exp(1j * odd_phase(optics.odd.tolist(), (0.0, 0.0), None, kx, ky)).astype(np.complex64)
    origins = np.stack([particles.column(label)[rows] for label in _ORIGIN], 1)
    return np.asarray(result * pixels.band.phases(-origins / movie.pixel_size))


def signature(particles: ParticleSet, movie: MovieParticles, references: References, options: PolishOptions) -> str:
    """Return a digest of all that a movie's motion depends on."""
    digest = hashlib.sha256(f"{references.identity}|{references.limit}|{movie.motion}|{movie.window}|{movie.box}|"
                            f"{options.velocity}|{options.divergence}|{options.acceleration}|"
                            f"{particles.groups[movie.group]}".encode())
    lens = particles.defoci(movie.rows)
    columns = [particles.column(label)[movie.rows] for label in (*_ORIGIN, "rlnRandomSubset")]
    for values in (movie.frames, movie.places, movie.motion.shifts, particles.poses()[movie.rows], *lens.values(),
                   *columns, *(() if movie.motion.coefficients is None else (movie.motion.coefficients,))):
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()
