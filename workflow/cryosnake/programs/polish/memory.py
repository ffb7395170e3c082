"""Memory of a Polish job, planned before its maps are read: announced, or refused."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cryosnake.errors import CryosnakeError
from cryosnake.jobs.options import PolishOptions
from cryosnake.parallel.ranks import Ranks, on_each_rank
from cryosnake.programs.polish.motion import REACH
from cryosnake.programs.polish.particles import MovieParticles
from cryosnake.programs.refinement.execution import job_memory
from cryosnake.programs.refinement.memory import RUNTIME

_VOXEL = 120  # bytes of each voxel while maps become transforms that reach the Nyquist frequency
_COUNT, _CAMERA = 2, 24  # bytes of a pixel of a frame, and of those of gain, defects and one corrected frame
_PIXEL = 64  # bytes of each Fourier pixel of a particle: predictions from both half maps, a frame, products
_MARGIN = 1.05


def plan_memory(movies: Sequence[MovieParticles], box: int, options: PolishOptions, ranks: Ranks) -> None:
    """Say how much memory this process needs at most; `box` is that of the half maps, in voxels.

    Raises
    ------
    CryosnakeError
        when the job may take less
    """
    allowed = job_memory(options, ranks)
    largest = max(movies, key=_of_movie)
    needed = RUNTIME + _VOXEL * box**3 + _of_movie(largest)
    if options.train:
        particles = min(options.training_particles, sum(len(movie.rows) for movie in movies)) / ranks.size
        needed += 2 * particles * _of_track(largest)
    needed *= _MARGIN
    on_ranks = on_each_rank(ranks.computer.size)
    if needed > allowed:
        fewer = " and fewer training_particles" if options.train else ""
        raise CryosnakeError(f"polish takes {needed / 1e9:.1f} GB{on_ranks} for {largest.motion.movie}, and the job "
                             f"may use {allowed / 1e9:.1f}. Set memory to more, or use fewer MPI ranks on a "
                             f"computer{fewer}. Nothing was computed.")
    if ranks.rank == 0:
        print(f"Memory: at most {needed / 1e9:.1f} of {allowed / 1e9:.1f} GB{on_ranks}")


def _of_movie(movie: MovieParticles) -> float:
    """Return the bytes of a movie while its motion is found."""
    rows, columns = movie.motion.shape
    last = int(movie.frames[-1] - movie.frames[0]) + 1
    pixels = 0.5 * np.pi * (max(movie.size.box, *(size.box for size in movie.sizes.values())) / 2) ** 2
    return rows * columns * (last * _COUNT + _CAMERA) + len(movie.rows) * (pixels * _PIXEL + _of_track(movie))


def _of_track(movie: MovieParticles) -> float:
    """Return the bytes of one particle's correlations, half a pixel apart."""
    across = 2 * np.ceil(REACH / (0.5 * movie.length / movie.size.box))
    return float(4 * len(movie.frames) * across**2)
