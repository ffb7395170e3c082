"""Particles opened for a job: with the ranks that share the work, and images read as the running options say."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from cryosnake.jobs.forms import Progress
from cryosnake.numerics.backend import use_device
from cryosnake.numerics.refine.kernels.budget import budget_of, particles_of, use_budget
from cryosnake.parallel.images import Reading, open_images
from cryosnake.parallel.memory import available_bytes
from cryosnake.parallel.ranks import Ranks
from cryosnake.parallel.world import world
from cryosnake.programs.refinement.particles import Particles, read_particles, stack_images

_USUAL_BLOCK = 256  # particles; with room for so many the programs decide
_SHARE_OF_FREE = 0.8  # of the memory that is free at the start


@contextmanager
def open_particles(path: str | os.PathLike[str], options: Any, out: str | os.PathLike[str], need_ctf: bool = True,
                   ) -> Iterator[Particles]:
    """Yield the checked particles of a STAR file; `options` has those of `jobs/running_options.py`.

    With several ranks all of them call this together.

    Raises
    ------
    CryosnakeError
        as `read_particles`, and when memory or scratch directory cannot be used as asked for
    """
    particles, ranks = read_particles(path, need_ctf, use_device(options.device)), world()
    budget = budget_of(_memory(options, ranks))
    reading = Reading(options.parallel_io, options.preread, options.scratch_dir or "",
                      round(options.keep_free_scratch * 1e9), budget.images)
    stacks = stack_images(particles.path, particles.table, particles.box)
    block = options.pooled or particles_of(budget.block, particles.box, _USUAL_BLOCK) % _USUAL_BLOCK
    with use_budget(budget), open_images(stacks, reading, ranks, os.fspath(out)) as source:
        yield replace(particles, source=source.images, follow=source.follow, ranks=ranks, block=block,
                      combine_in=Path(out) if options.combine_through_disc else None)


def root_of(progress: Progress, out: str | os.PathLike[str]) -> Path:
    """Return what a job's files begin with: <out>/run, or <out>/run_ctNN where it goes on under that name."""
    return Path(out) / getattr(progress, "root_name", "run")


def iteration_written(progress: Progress, number: int) -> None:
    """Tell who runs this job that all files of an iteration are there, if he listens."""
    if hasattr(progress, "iteration_written"):
        progress.iteration_written(number)


def _memory(options: Any, ranks: Ranks) -> int:
    """Return the bytes that this process may use: its part of the computer's memory that the job may."""
    wanted = options.memory * 1e9 if options.memory else _SHARE_OF_FREE * available_bytes()
    return int(wanted) // ranks.node.size
