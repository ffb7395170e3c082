"""Velocity, divergence and acceleration of the particles of these movies, before they are polished."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cryosnake.atomic import write_text
from cryosnake.errors import CryosnakeError
from cryosnake.numerics.polish.prior import MotionScales
from cryosnake.numerics.polish.training import TrainingMovie, held_out_likelihood, train_scales
from cryosnake.parallel.ranks import Ranks
from cryosnake.programs.ctfrefine.kept import read_kept, write_kept
from cryosnake.programs.ctfrefine.references import References
from cryosnake.programs.polish.motion import aligned, compare, correlations, strength
from cryosnake.programs.polish.particles import MovieParticles, signature
from cryosnake.programs.polish.work import PolishWork
from cryosnake.programs.refinement.particles import ParticleSet

_PARAMETERS, _KEPT = "opt_params_all_groups.txt", "training.npz"
_SEED = 1  # of the order of the movies
_LEAST_PIXELS = 20  # of frames in either part of the frequencies


def trained_scales(work: PolishWork) -> MotionScales:
    """Return the scales under which tracks fitted at low frequencies predict the higher ones best.

    They are written to opt_params_all_groups.txt, as RELION does, and kept. All ranks call this together.

    Raises
    ------
    CryosnakeError
        when no movie has two particles, or there are hardly any frequencies to hold out
    """
    options, ranks, particles = work.options, work.ranks, work.particles
    start = MotionScales(velocity=options.velocity, divergence=options.divergence,
                         acceleration=options.acceleration or options.velocity)
    chosen = _chosen(particles.path, work.movies, options.training_particles)
    wanted = hashlib.sha256("|".join([str(options.held_out), *(signature(particles, movie, work.references,
                                                                         str(start))
                                                               for movie in chosen)]).encode()).hexdigest()
    kept = ranks.broadcast(_read(work.folder / _KEPT, wanted) if ranks.rank == 0 else None)
    if isinstance(kept, MotionScales):
        return kept
    mine = [_training_movie(particles, movie, work.references, start, options.held_out)
            for _, movie in work.mine(chosen, "training")]
    found, gain = _search(ranks, mine, start)
    if ranks.rank == 0:
        print(f"trained on {sum(len(movie.rows) for movie in chosen)} particles of {len(chosen)} movies: velocity "
              f"{found.velocity:.3g} Å per e/Å², divergence {found.divergence:.4g} Å, acceleration "
              f"{found.acceleration:.3g} Å per e/Å²; log-likelihood {gain:.1f} above that of the values given")
        _write(work.folder, found, wanted)
    return found


def _chosen(path: str, movies: Sequence[MovieParticles], least: int) -> list[MovieParticles]:
    """Return movies in random order that have at least so many particles together, if all have."""
    several = [movie for movie in movies if len(movie.rows) > 1]
    if not several:
        raise CryosnakeError(f"{path}: no movie has two particles, so how particles move cannot be learnt. Set train: "
                             "false")
    order = np.random.default_rng(_SEED).permutation(len(several))
    counts = np.cumsum([len(several[number].rows) for number in order])
    return [several[number] for number in order[: int(np.searchsorted(counts, least)) + 1]]


def _training_movie(particles: ParticleSet, movie: MovieParticles, references: References, start: MotionScales,
                    held_out: float) -> TrainingMovie:
    compared = compare(particles, movie, references)
    band = compared.pixels.band
    split = np.sqrt(1.0 - held_out) / references.limit
    low = np.hypot(band.kx, band.ky) / compared.pixels.length < split
    if min(low.sum(), (~low).sum()) < _LEAST_PIXELS:
        raise CryosnakeError(f"polish: {movie.name} has {int(low.sum())} Fourier pixels below {1.0 / split:.1f} Å and "
                             f"{int((~low).sum())} above; too few to learn how particles move. Change held_out, or set "
                             "train: false")
    strong = strength(compared, aligned(compared, start))
    (seen,), step = correlations(compared, compared.boxes, compared.own * strong, scaled=False, parts=[low])
    (judged,), _ = correlations(compared, compared.boxes, compared.opposite * strong, scaled=False, parts=[~low])
    return TrainingMovie(places=movie.places * movie.motion.pixel_size, seen=seen, held_out=judged,
                         steps=movie.motion.dose / step)


def _search(ranks: Ranks, mine: Sequence[TrainingMovie], start: MotionScales) -> tuple[MotionScales, float]:
    """Return the best scales and their gain; rank 0 searches, every rank computes its own movies' likelihood."""
    if ranks.rank > 0:
        while (scales := ranks.broadcast(None)) is not None:
            ranks.gather(held_out_likelihood(mine, scales))
        return ranks.broadcast(None)

    def likelihood(scales: MotionScales) -> float:
        return float(sum(ranks.gather(held_out_likelihood(mine, ranks.broadcast(scales)))))

    found = train_scales(likelihood, start)
    ranks.broadcast(None)
    return ranks.broadcast(found)


def _write(folder: Path, found: MotionScales, wanted: str) -> None:
    values = (found.velocity, found.divergence, found.acceleration)
    write_text(folder / _PARAMETERS, " ".join(f"{value:.6g}" for value in values) + "\n")
    write_kept(folder / _KEPT, wanted, {"scales": np.array(values)})


def _read(path: Path, wanted: str) -> MotionScales | None:
    found = read_kept(path, wanted)
    if found is None:
        return None
    velocity, divergence, acceleration = found["scales"].tolist()
    return MotionScales(velocity=velocity, divergence=divergence, acceleration=acceleration)
