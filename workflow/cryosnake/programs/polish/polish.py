"""Polish: the motion of each particle, and the weight of each frame, from movies and a refined map."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from cryosnake.atomic import replacing
from cryosnake.errors import CryosnakeError
from cryosnake.jobs.forms import Progress
from cryosnake.jobs.options import PolishOptions
from cryosnake.numerics.polish.frame_weights import FrameFalloff, fit_falloff
from cryosnake.programs.ctfrefine.input_particles import read_posed
from cryosnake.programs.ctfrefine.references import References, read_references
from cryosnake.programs.polish.motion import Motion, find_motion
from cryosnake.programs.polish.output import write_b_factors, write_motion, write_particles, write_shiny
from cryosnake.programs.polish.particles import MovieParticles, movies_of, signature
from cryosnake.programs.refinement.particles import ParticleSet


def run(options: PolishOptions, inputs: Mapping[str, str | Path], out: str | Path, progress: Progress) -> None:
    """Write shiny.star, images and tracks of each movie, and bfactors.star below `out`.

    Raises
    ------
    CryosnakeError
        when particles, PostProcess and micrographs do not fit together, or a movie is gone
    """
    particles = read_posed(str(inputs["particles"]))
    references = read_references(str(inputs["postprocess"]))
    movies = movies_of(particles, str(inputs["micrographs"]), options)
    folder = Path(out)
    print(f"{particles.describe()}; half maps used to {references.limit:.2f} Å")
    motions = []
    for done, movie in enumerate(movies):
        progress(done, 2 * len(movies), f"motion of {movie.name}")
        motions.append(_motion(folder, particles, movie, references, options))
    falloff = _falloff(movies, motions, options, references)
    write_b_factors(folder, falloff, movies[0].length)
    names = np.empty(len(particles), object)
    for done, (movie, motion) in enumerate(zip(movies, motions, strict=True)):
        progress(len(movies) + done, 2 * len(movies), f"images of {movie.name}")
        names[movie.rows] = write_shiny(folder, movie, motion, falloff)
    write_particles(folder, particles, movies, names)


def _motion(folder: Path, particles: ParticleSet, movie: MovieParticles, references: References,
            options: PolishOptions) -> Motion:
    """Return a movie's motion; taken from this or an earlier Polish job that computed it from the same."""
    wanted, name = signature(particles, movie, references, options), f"{movie.name}_motion.npz"
    others = sorted((path for path in folder.parent.glob("job*") if path.name != folder.name), reverse=True)
    for place in (folder, *others):
        found = _read_kept(place / name, wanted)
        if found is not None:
            break
    else:
        found = find_motion(particles, movie, references, options)
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    write_motion(folder, movie, found)
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, signature=np.array(wanted), **vars(found))
    return found


def _read_kept(path: Path, wanted: str) -> Motion | None:
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as found:
            if str(found["signature"]) == wanted:
                return Motion(**{key: found[key] for key in found.files if key != "signature"})
    except (OSError, ValueError, KeyError, EOFError):  # absent, or damaged: it is computed again
        return None
    except Exception as error:  # zipfile.BadZipFile and zlib.error are no ValueErrors
        print(f"{path} is damaged ({error}) and computed again")
    return None


def _falloff(movies: list[MovieParticles], motions: list[Motion], options: PolishOptions, references: References,
             ) -> FrameFalloff:
    """Fit the fall of all frames to the sums of all movies.

    Raises
    ------
    CryosnakeError
        when boxes differ between movies, or no frame correlates with the maps
    """
    first = movies[0]
    if any((movie.box, round(movie.length, 2)) != (first.box, round(first.length, 2)) for movie in movies):
        raise CryosnakeError("polish: the images of the optics groups differ in box or pixel size. Set extract_size "
                             "(and rescale), which then hold for all")
    frames = max(len(movie.frames) for movie in movies)
    sums = np.zeros((3, frames, first.box // 2 + 1))
    for motion in motions:
        for total, part in zip(sums, (motion.cross, motion.frame_power, motion.predicted_power), strict=True):
            total[: len(part)] += part
    cross, frame_power, predicted_power = sums
    fcc = np.divide(cross, np.sqrt(frame_power * predicted_power), out=np.zeros_like(cross),
                    where=(frame_power > 0) & (predicted_power > 0))
    low = max(2, round(first.length / options.min_resolution))
    high = min(first.box // 2 - 1, int(first.length / references.limit))
    if high - low < 3:
        raise CryosnakeError(f"polish: between min_resolution ({options.min_resolution:g} Å) and the limit of the half "
                             f"maps ({references.limit:.2f} Å) there are too few shells. Set a larger min_resolution")
    try:
        return fit_falloff(fcc, low, high)
    except ValueError as error:
        raise CryosnakeError(f"polish: {error}. Are particles, half maps and movies of the same data?") from error
