"""Which particles are of which movie, and of what size their polished images are."""

from __future__ import annotations

from collections import Counter
from pathlib import Path, PurePosixPath

import numpy as np

from cryosnake.errors import CryosnakeError
from cryosnake.io.paths import movie_of, post_name
from cryosnake.io.star import read_star
from cryosnake.jobs.options import PolishOptions
from cryosnake.names import is_listed_name
from cryosnake.programs.optics.groups import OpticsGroup
from cryosnake.programs.polish.motion_metadata import RecordedMotion, read_motion
from cryosnake.programs.polish.particles import MovieParticles, Size
from cryosnake.programs.refinement.particles import ParticleSet

_COORDINATES = ("rlnCoordinateX", "rlnCoordinateY")
_ORIGINS = ("rlnOriginXAngst", "rlnOriginYAngst")


def movies_of(particles: ParticleSet, micrographs: str, options: PolishOptions) -> list[MovieParticles]:
    """Return the particles of each movie.

    Raises
    ------
    CryosnakeError
        when a particle's movie is not among the micrographs, or has no motion metadata; when frames are asked for that
        it does not have, or movies of one optics group have different pixels
    """
    missing = [label for label in _COORDINATES if label not in particles.table.columns]
    if missing:
        raise CryosnakeError(f"{particles.path}: data_particles lacks {', '.join(missing)}: where in the movies the "
                             "particles are is not known. Connect particles that were extracted from micrographs")
    known = _metadata(micrographs)
    of = np.array([movie_of(str(name)) for name in particles.table["rlnMicrographName"]])
    names, movie = np.unique(of, return_inverse=True)
    unlisted = [name for name in names if str(name) not in known]
    if unlisted:
        raise CryosnakeError(f"{particles.path}: {int(np.isin(of, unlisted).sum())} particle(s) are of {len(unlisted)} "
                             f"micrograph(s) that {micrographs} does not list (first: {unlisted[0]}). Connect the "
                             "MotionCorr job of all movies, or leave these particles out with Select")
    stems = _stems([str(name) for name in names])
    found = [_movie(particles, np.flatnonzero(movie == number), read_motion(known[str(name)]), stems[number], options)
             for number, name in enumerate(names)]
    _check_sizes(particles, found)
    return found


def _metadata(micrographs: str) -> dict[str, str]:
    """Return the file of each movie's motion."""
    tables = read_star(micrographs)
    if "micrographs" not in tables or "rlnMicrographMetadata" not in tables["micrographs"]:
        raise CryosnakeError(f"{micrographs} has no rlnMicrographMetadata: it is not of a motion correction. Connect "
                             "corrected_micrographs.star of a MotionCorr job")
    listed = tables["micrographs"]
    return {movie_of(str(name)): str(path) for name, path in
            zip(listed["rlnMicrographName"], listed["rlnMicrographMetadata"], strict=True)}


def _stems(names: list[str]) -> list[str]:
    """Return the paths of movies' files below the job directory: as RELION's, where these are each movie's own."""
    usual = [str(PurePosixPath(post_name(name)).with_suffix("")) for name in names]
    count = Counter(usual)
    full = [str(PurePosixPath(name).with_suffix("")) for name in names]
    chosen = [short if count[short] == 1 else long for short, long in zip(usual, full, strict=True)]
    for name, stem in zip(names, chosen, strict=True):
        if not is_listed_name(stem):
            raise CryosnakeError(f"{name!r} does not lie below the project folder, so its images have no place in the "
                                 "job. Link its folder into the project, and run MotionCorr again")
    return chosen


def _movie(particles: ParticleSet, rows: np.ndarray, motion: RecordedMotion, name: str, options: PolishOptions,
           ) -> MovieParticles:
    groups = particles.optics[rows].astype(np.int64)
    used = {group: particles.groups[group] for group in np.unique(groups).tolist()}
    coordinates, origins = (np.stack([particles.column(label)[rows] for label in labels], 1)
                            for labels in (_COORDINATES, _ORIGINS))
    if options.recenter:
        pixel = motion.pixel_size * motion.binning
        moved = np.rint(origins / pixel)
        coordinates, origins = coordinates - moved, origins - moved * pixel
    as_refined = [_as_refined(group, motion) for group in used.values()]
    window = max(size.window for size in as_refined)
    finest = min(size.window / size.box for size in as_refined)
    return MovieParticles(name=name, rows=rows, groups=groups, motion=motion, frames=_frames(motion, options),
                          coordinates=coordinates, origins=origins,
                          size=Size(window=window, box=min(window, 2 * round(window / finest / 2))),
                          sizes={number: _size(group, motion, options) for number, group in used.items()})


def _frames(motion: RecordedMotion, options: PolishOptions) -> np.ndarray:
    aligned = np.flatnonzero(np.isfinite(motion.shifts).all(1)) + 1
    if len(aligned) == 0:
        raise CryosnakeError(f"{motion.path}: no frame was aligned. Run MotionCorr again on this movie")
    last = options.last_frame if options.last_frame > 0 else int(aligned[-1])
    frames = aligned[(aligned >= options.first_frame) & (aligned <= last)]
    if len(frames) < 2 or (options.last_frame > 0 and options.last_frame > aligned[-1]):
        raise CryosnakeError(f"{motion.movie}: frames {options.first_frame} to {last} were asked for; motion is known "
                             f"of {aligned[0]} to {aligned[-1]}. Change first_frame or last_frame")
    return frames


def _as_refined(group: OpticsGroup, motion: RecordedMotion) -> Size:
    """Return the size of a group's images as they are, in whole pixels of the movie; not finer than the movie."""
    window = 2 * round(group.box * group.pixel_size / motion.pixel_size / 2)
    return Size(window=window, box=min(group.box, window))


def _size(group: OpticsGroup, motion: RecordedMotion, options: PolishOptions) -> Size:
    window = options.extract_size or _as_refined(group, motion).window
    box = options.rescale or (window if options.extract_size else _as_refined(group, motion).box)
    if box > window or box % 2 or window % 2:
        raise CryosnakeError(f"polish: extract_size {window} and rescale {box} must be even, and rescale no larger")
    return Size(window=window, box=box)


def _check_sizes(particles: ParticleSet, movies: list[MovieParticles]) -> None:
    """Refuse images of one optics group with several pixel sizes: data_optics has one of each group."""
    known: dict[int, MovieParticles] = {}
    for movie in movies:
        for group, size in movie.sizes.items():
            first = known.setdefault(group, movie)
            one, other = first.pixel_size_of(group), movie.pixel_size_of(group)
            if first.sizes[group].box != size.box or abs(one - other) > 1e-4 * one:
                raise CryosnakeError(
                    f"{particles.path}: optics group {particles.optics_name(group)} has particles of movies of "
                    f"{first.motion.pixel_size:g} Å ({Path(first.motion.movie).name}) and "
                    f"{movie.motion.pixel_size:g} Å per pixel ({Path(movie.motion.movie).name}); an optics group has "
                    "one pixel size. Give each kind of movie an optics group of its own when they are imported")
