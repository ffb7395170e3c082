"""Files of a Polish job, in RELION's names, columns and units."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cryosnake.io.mrc import write_mrc
from cryosnake.io.star import write_star
from cryosnake.numerics.backend import namespace, to_numpy
from cryosnake.numerics.extraction.normalise import DustLimits, background, default_background_radius, normalise
from cryosnake.numerics.polish.frame_weights import FrameFalloff
from cryosnake.numerics.refine.grids.bands import full_band
from cryosnake.numerics.refine.grids.images import images_of_pixels
from cryosnake.programs.ctfrefine.references import References
from cryosnake.programs.polish.frames import MovieBoxes, open_movie
from cryosnake.programs.polish.motion import Motion
from cryosnake.programs.polish.particles import MovieParticles
from cryosnake.programs.refinement.particles import ParticleSet

_PREMULTIPLIED = "rlnCtfDataAreCtfPremultiplied"


def write_motion(folder: Path, movie: MovieParticles, motion: Motion) -> None:
    """Write the tracks, displacements of the content in Å, and the sums of the frames' correlations."""
    moved = (motion.places - movie.places[:, None]) * movie.motion.pixel_size
    tables: dict[str, Any] = {"general": {"rlnParticleNumber": len(moved)}}
    for number, track in enumerate(moved):
        tables[str(number)] = pd.DataFrame(track, columns=["rlnOriginXAngst", "rlnOriginYAngst"])
    stem = folder / movie.name
    write_star(stem.with_name(stem.name + "_tracks.star"), tables)
    for ending, values in (("cc", motion.cross), ("w0", motion.frame_power), ("w1", motion.predicted_power)):
        write_mrc(stem.with_name(f"{stem.name}_FCC_{ending}.mrc"), values.astype(np.float32), 1.0)


def write_shiny(folder: Path, movie: MovieParticles, places: np.ndarray, falloff: FrameFalloff,
                references: References) -> list[str]:
    """Write the polished images of a movie, a stack for each size; return the particles' names.

    Parameters
    ----------
    places : (p, f, 2)
        Of the particles, pixels of the movie.
    falloff : FrameFalloff
        In shells of the references.
    references : References
        On the device to use.
    """
    names = [""] * len(movie.rows)
    stem, sizes = folder / movie.name, list(dict.fromkeys(movie.sizes.values()))
    for size in sizes:
        groups = [group for group, mine in movie.sizes.items() if mine == size]
        members = np.flatnonzero(np.isin(movie.groups, groups))
        boxes = open_movie(movie.motion, movie.frames, places[members], (size.window, size.box),
                           references.transforms[0])
        images = _polished(boxes, falloff, references.length / (size.window * movie.motion.pixel_size))
        ending = "_shiny.mrcs" if len(sizes) == 1 else f"_shiny_{size.window}-{size.box}.mrcs"
        path = stem.with_name(stem.name + ending)
        write_mrc(path, images, size.window * movie.motion.pixel_size / size.box, stack=True)
        for number, member in enumerate(members.tolist(), 1):
            names[member] = f"{number}@{path}"
    return names


def _polished(boxes: MovieBoxes, falloff: FrameFalloff, shells: float) -> np.ndarray:
    """Return the weighted sums of frames (n, box, box), normalised; `shells` of the falloff per pixel of transforms."""
    band, xp = full_band(boxes.box), namespace(boxes.like)
    weights = falloff.weights_of(len(boxes.raw), np.hypot(band.kx, band.ky).astype(np.float64) * shells)
    total = xp.zeros((len(boxes.places), len(band.kx)), xp.complex64)
    for frame, weight in zip(boxes.transforms(band), weights.astype(np.float32), strict=True):
        total += frame * xp.asarray(weight)
    images = to_numpy(images_of_pixels(total, band))
    outside = background(boxes.box, default_background_radius(boxes.box, boxes.box))
    return normalise(images, outside, DustLimits(), np.random.default_rng(0))


def write_particles(folder: Path, particles: ParticleSet, movies: list[MovieParticles],
                    names: Mapping[int, list[str]]) -> None:
    """Write shiny.star: all rows and columns of the particles, with their polished images and where these were cut.

    `names` are those of each movie's images, by its place in the list.
    """
    optics, table = particles.tables["optics"].copy(), particles.table.copy()
    listed = np.empty(len(particles), object)
    for number, movie in enumerate(movies):
        listed[movie.rows] = names[number]
    table["rlnImageName"] = listed
    optics[_PREMULTIPLIED] = 0
    for number, axis in enumerate("XY"):
        for label, what in ((f"rlnCoordinate{axis}", "coordinates"), (f"rlnOrigin{axis}Angst", "origins")):
            before = particles.column(label)
            values = before.copy()
            for movie in movies:
                values[movie.rows] = getattr(movie, what)[:, number]
            if not np.array_equal(values, before):
                table[label] = values
    for movie in movies:
        for group, size in movie.sizes.items():
            row = optics.index[group]
            optics.loc[row, "rlnImagePixelSize"], optics.loc[row, "rlnImageSize"] = movie.pixel_size_of(group), size.box
    write_star(folder / "shiny.star", {"optics": optics, "particles": table})


def write_b_factors(folder: Path, falloffs: list[FrameFalloff], length: float) -> None:
    """Write bfactors.star: how frames, counted from 0, fall; `length` is that of the shells' box in Å.

    RELION's block is the first; movies of another dose have blocks of their own.
    """
    tables: dict[str, Any] = {}
    for number, falloff in enumerate(falloffs, 1):
        tables["perframe_bfactors" + (f"_{number}" if number > 1 else "")] = pd.DataFrame({
            "rlnMovieFrameNumber": np.arange(len(falloff.fall)),
            "rlnBfactorUsedForSharpening": falloff.b_factors(length),
            "rlnFittedInterceptGuinierPlot": np.log(falloff.amplitude)})
    write_star(folder / "bfactors.star", tables)
