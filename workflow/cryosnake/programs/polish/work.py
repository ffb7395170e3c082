"""A Polish job's input, and how the work on it is done."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cryosnake.jobs.forms import Progress
from cryosnake.jobs.options import PolishOptions
from cryosnake.parallel.ranks import Ranks
from cryosnake.programs.ctfrefine.references import References
from cryosnake.programs.polish.particles import MovieParticles
from cryosnake.programs.refinement.particles import ParticleSet


@dataclass(frozen=True, kw_only=True)
class PolishWork:
    """Particles, their movies, half maps and options; the job's folder; the ranks among which movies are divided."""

    particles: ParticleSet
    movies: list[MovieParticles]
    references: References
    options: PolishOptions
    folder: Path
    ranks: Ranks
    progress: Progress

    def mine(self, movies: list[MovieParticles], what: str) -> Iterator[tuple[int, MovieParticles]]:
        """Yield those of these movies that this rank works on, with their places in the list; say what is done."""
        numbers = range(self.ranks.rank, len(movies), self.ranks.size)
        for done, number in enumerate(numbers):
            self.ranks.check_stop()
            self.progress(done, len(numbers), f"{what}: {movies[number].name}")
            yield number, movies[number]
