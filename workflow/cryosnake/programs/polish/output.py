"""Files of a Polish job, in RELION's names, columns and units."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cryosnake.io.mrc import write_mrc
from cryosnake.io.star import write_star
from cryosnake.numerics.extraction.normalise import DustLimits, background, default_background_radius, normalise
from cryosnake.numerics.polish.frame_weights import FrameFalloff
from cryosnake.numerics.refine.grids.bands import full_band
from cryosnake.numerics.refine.grids.images import images_of_pixels
from cryosnake.programs.polish.frames import open_movie
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


def write_shiny(folder: Path, movie: MovieParticles, motion: Motion, falloff: FrameFalloff) -> list[str]:
    """Write the polished images of a movie; return their names."""
    band = full_band(movie.box)
    weights = falloff.weights_of(len(movie.frames), movie.box // 2 + 1).astype(np.float32)
    boxes = open_movie(movie.motion, movie.frames, motion.places, movie.window, movie.box)
    total = np.zeros((len(movie.rows), len(band.kx)), np.complex64)
    for frame, weight in zip(boxes.transforms(band), weights, strict=True):
        total += frame * weight[np.minimum(band.shell, len(weight) - 1)]
    images = images_of_pixels(total, band)
    outside = background(movie.box, default_background_radius(movie.box, movie.box))
    images = normalise(images, outside, DustLimits(), np.random.default_rng(0))
    stem = folder / movie.name
    path = stem.with_name(stem.name + "_shiny.mrcs")
    write_mrc(path, images, movie.pixel_size, stack=True)
    return [f"{number}@{path}" for number in range(1, len(images) + 1)]


def write_particles(folder: Path, particles: ParticleSet, movies: list[MovieParticles], names: np.ndarray) -> None:
    """Write shiny.star: all rows and columns of the particles, with the polished images."""
    optics, table = particles.tables["optics"].copy(), particles.table.copy()
    table["rlnImageName"] = names
    optics[_PREMULTIPLIED] = 0
    for movie in movies:
        row = optics.index[movie.group]
        optics.loc[row, "rlnImagePixelSize"], optics.loc[row, "rlnImageSize"] = movie.pixel_size, movie.box
    write_star(folder / "shiny.star", {"optics": optics, "particles": table})


def write_b_factors(folder: Path, falloff: FrameFalloff, length: float) -> None:
    """Write bfactors.star: how frames, counted from 0, fall; `length` is that of the box in Å."""
    write_star(folder / "bfactors.star", {"perframe_bfactors": pd.DataFrame({
        "rlnMovieFrameNumber": np.arange(len(falloff.fall)),
        "rlnBfactorUsedForSharpening": falloff.b_factors(length),
        "rlnFittedInterceptGuinierPlot": np.log(falloff.amplitude)})})
