"""The particles of each movie, where they are in its frames, and what they should look like."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import numpy as np

from cryosnake.digests import digest
from cryosnake.errors import CryosnakeError
from cryosnake.numerics.aberrations import odd_phase
from cryosnake.numerics.backend import Array, namespace
from cryosnake.numerics.refine.grids.bands import Band
from cryosnake.numerics.refine.grids.images import ctf_at
from cryosnake.programs.ctfrefine.optics_state import optics_of
from cryosnake.programs.ctfrefine.pixels import GroupPixels, pixels_of
from cryosnake.programs.ctfrefine.references import References
from cryosnake.programs.polish.motion_metadata import RecordedMotion
from cryosnake.programs.refinement.particles import ParticleSet

_ALL = 1e4  # Å: no frequency is too low


@dataclass(frozen=True, kw_only=True)
class Size:
    """Of images: pixels of the movie, and pixels of the images that are made of as much."""

    window: int
    box: int


@dataclass(frozen=True, kw_only=True)
class MovieParticles:
    """Particles of one movie.

    Attributes
    ----------
    name : str
        Path of its files below the job directory, without ending.
    rows, groups : (p,) int64
        In the table of particles, and in that of optics groups.
    motion : RecordedMotion
    frames : (f,) int64
        Numbers of the frames, from 1.
    coordinates, origins : (p, 2)
        Of the particles: pixels of the micrograph, and Å.
    size : Size
        Of what is compared with predictions: that of the particles as refined, the largest and finest of them.
    sizes : dict of int to Size
        Of the polished images of each optics group.
    """

    name: str
    rows: np.ndarray
    groups: np.ndarray
    motion: RecordedMotion
    frames: np.ndarray
    coordinates: np.ndarray
    origins: np.ndarray
    size: Size
    sizes: dict[int, Size]

    @property
    def places(self) -> np.ndarray:
        """Where boxes are cut (p, 2), pixels of the movie, in the motion-corrected micrograph; as Extract cuts them."""
        return np.trunc(self.coordinates) * self.motion.binning

    @property
    def length(self) -> float:
        """Å, of what is compared with predictions."""
        return self.size.window * self.motion.pixel_size

    def pixel_size_of(self, group: int) -> float:
        """Return Å, exactly, of the polished images of an optics group."""
        return self.sizes[group].window * self.motion.pixel_size / self.sizes[group].box


def pixels_in(particles: ParticleSet, movie: MovieParticles, references: References) -> GroupPixels:
    """Return the pixels at which a movie's particles are predicted."""
    groups = [particles.groups[group] for group in movie.sizes]
    widest = max(groups, key=lambda group: float(np.linalg.norm(group.magnification, 2)))
    seen = replace(widest, box=movie.size.box, pixel_size=movie.length / movie.size.box, premultiplied=False)
    return pixels_of(particles.path, seen, references, _ALL)


def predicted(particles: ParticleSet, movie: MovieParticles, pixels: GroupPixels, halves: np.ndarray) -> Array:
    """Return predictions (p, pixels) complex64 of a movie's particles from half maps (p,) 1 or 2."""
    xp = namespace(pixels.references.transforms[0])
    result = xp.empty((len(movie.rows), len(pixels.band.kx)), xp.complex64)
    for group in movie.sizes:
        mine = np.flatnonzero(movie.groups == group)
        result[xp.asarray(mine)] = _predicted_of_group(particles, movie, pixels, group, mine, halves[mine])
    return result


def _predicted_of_group(particles: ParticleSet, movie: MovieParticles, pixels: GroupPixels, number: int,
                        mine: np.ndarray, halves: np.ndarray) -> Array:
    group, rows, optics = particles.groups[number], movie.rows[mine], optics_of(particles.groups[number])
    assert group.microscope is not None
    xp, poses, pixel_size = (namespace(pixels.references.transforms[0]), particles.poses()[rows],
                             movie.length / movie.size.box)
    result = xp.empty((len(rows), len(pixels.band.kx)), xp.complex64)
    for half in (1, 2):
        these = np.flatnonzero(halves == half)
        if len(these):
            result[xp.asarray(these)] = pixels.predictions(half, poses[these], optics.magnification)
    kx, ky = pixels.seen(optics.magnification)
    seen_x, seen_y = ((k * movie.length).astype(np.float32) for k in (kx, ky))
    seen = Band(movie.size.box, seen_x, seen_y, pixels.band.shell)
    result *= ctf_at(seen, particles.defoci(rows), pixel_size, group.microscope, even=group.even, like=result)
    odd = np.exp(1j * odd_phase(optics.odd.tolist(), (0.0, 0.0), None, kx, ky)).astype(np.complex64)
    result *= xp.asarray(odd)
    return result * pixels.band.phases(-movie.origins[mine] / pixel_size, like=result)


def signature(particles: ParticleSet, movie: MovieParticles, references: References, settings: str) -> str:
    """Return a digest of all that a movie's motion depends on; `settings` are those of the prior."""
    motion = movie.motion
    files = [_signed(name) for name in (motion.movie, motion.gain, motion.defects) if name]
    groups = [particles.groups[group] for group in movie.sizes]
    signed = hashlib.sha256(f"{references.identity}|{references.limit}|{motion}|{files}|{movie.size}|{settings}|"
                            f"{groups}".encode())
    lens = particles.defoci(movie.rows)
    for values in (movie.frames, movie.places, movie.origins, movie.groups, motion.shifts, motion.hot_pixels,
                   particles.poses()[movie.rows], particles.column("rlnRandomSubset")[movie.rows], *lens.values(),
                   *(() if motion.coefficients is None else (motion.coefficients,))):
        signed.update(np.ascontiguousarray(values).tobytes())
    return signed.hexdigest()


def _signed(name: str) -> str:
    try:
        return f"{name}:{digest(name)}"
    except OSError as error:
        raise CryosnakeError(f"{name} cannot be read ({error.strerror}). Restore it: particles are polished from the "
                             "movies, with their gain and defects") from None
