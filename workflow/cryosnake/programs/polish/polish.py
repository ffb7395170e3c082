"""Polish: the motion of each particle, and the weight of each frame, from movies and a refined map.

Movies are divided among the MPI ranks: each rank finds the motion of its own; rank 0 fits how frames fall to the sums
of all; then each rank writes the images of its own movies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from cryosnake.jobs.forms import Progress
from cryosnake.jobs.options import PolishOptions
from cryosnake.numerics.backend import choose_device
from cryosnake.numerics.polish.prior import MotionScales
from cryosnake.parallel.world import world
from cryosnake.programs.ctfrefine.input_particles import read_posed
from cryosnake.programs.ctfrefine.references import half_map_box, read_references
from cryosnake.programs.polish.kept import kept_motion
from cryosnake.programs.polish.memory import plan_memory
from cryosnake.programs.polish.motion import find_motion
from cryosnake.programs.polish.movies import movies_of
from cryosnake.programs.polish.output import write_b_factors, write_particles, write_shiny
from cryosnake.programs.polish.particles import signature
from cryosnake.programs.polish.training import trained_scales
from cryosnake.programs.polish.weights import Sums, exposure_of, fit_falloffs
from cryosnake.programs.polish.work import PolishWork

T = TypeVar("T")


def run(options: PolishOptions, inputs: Mapping[str, str | Path], out: str | Path, progress: Progress) -> None:
    """Write shiny.star, images and tracks of each movie, and bfactors.star below `out`.

    Raises
    ------
    CryosnakeError
        when particles, PostProcess and micrographs do not fit together, a movie is gone, or memory is too little
    """
    particles = read_posed(str(inputs["particles"]))
    movies, ranks = movies_of(particles, str(inputs["micrographs"]), options), world()
    plan_memory(movies, half_map_box(str(inputs["postprocess"])), options, ranks)
    references = read_references(str(inputs["postprocess"]), None, choose_device(options.device))
    work = PolishWork(particles=particles, movies=movies, references=references, options=options, folder=Path(out),
                      ranks=ranks, progress=progress)
    if work.ranks.rank == 0:
        print(f"{particles.describe()}; half maps used to {references.limit:.2f} Å")
    scales = MotionScales(velocity=options.velocity, divergence=options.divergence, acceleration=options.acceleration)
    if options.train:
        scales = trained_scales(work)
    places, sums = _motions(work, scales)
    falloffs = work.ranks.broadcast(fit_falloffs(work.movies, sums, references, options.min_resolution)
                                    if work.ranks.rank == 0 else None)
    names = {number: write_shiny(work.folder, movie, places[number], falloffs[exposure_of(movie)], references)
             for number, movie in work.mine(work.movies, "images")}
    all_names = _merged(work.ranks.gather(names))
    if work.ranks.rank == 0:
        write_b_factors(work.folder, list(falloffs.values()), references.length)
        write_particles(work.folder, particles, work.movies, all_names)


def _motions(work: PolishWork, scales: MotionScales) -> tuple[dict[int, np.ndarray], dict[int, Sums]]:
    """Return the places of this rank's movies, and, on rank 0, the sums of all movies."""
    particles, references = work.particles, work.references
    places, sums, new = {}, {}, 0
    for number, movie in work.mine(work.movies, "motion"):
        motion, is_new = kept_motion(work.folder, movie, signature(particles, movie, references, str(scales)),
                                     partial(find_motion, particles, movie, references, scales))
        places[number], sums[number] = motion.places, (motion.cross, motion.frame_power, motion.predicted_power)
        new += is_new
    counts = work.ranks.gather(new)
    if work.ranks.rank == 0:
        print(f"motion of {sum(counts)} movie(s) found, of {len(work.movies) - sum(counts)} taken as found before")
    return places, _merged(work.ranks.gather(sums))


def _merged(parts: Sequence[Mapping[int, T]]) -> dict[int, T]:
    return {key: value for part in parts for key, value in part.items()}
