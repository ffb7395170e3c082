"""Execution of the work on a particle set: its ranks, its device, and the source of its images."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cryosnake.numerics.backend import Array, choose_device
from cryosnake.numerics.refine.kernels.budget import budget_of, particles_of, use_budget
from cryosnake.parallel.images import Reading, open_images
from cryosnake.parallel.memory import available_bytes
from cryosnake.parallel.ranks import Ranks, SingleRank
from cryosnake.parallel.stacks import Images, ReadImages, StackImages
from cryosnake.parallel.world import world
from cryosnake.programs.optics.corrected_images import CorrectedImages
from cryosnake.programs.refinement.particle_checks import refuse_blank
from cryosnake.programs.refinement.particles import ParticleSet, read_particles

_USUAL_BLOCK = 256  # particles; with memory for this many the programs decide
_SHARE_OF_FREE = 0.8  # of the memory that is free at the start


@dataclass(frozen=True, kw_only=True)
class Execution:
    """A particle set, and the execution of the work on it: nothing here changes a result.

    Attributes
    ----------
    particles : ParticleSet
    images : callable
        Where images come from: rows (n,) -> images (n, box, box) float32; see `parallel/images.py`. Raises
        CryosnakeError when a stack cannot be read, an image has another size than the optics table says, is blank or
        not finite.
    expect_rows : callable
        Receives the rows that `images` will be called with next, in blocks.
    ranks : Ranks
        The processes that share the work.
    block : int
        Particles that are computed together; 0 where the program decides.
    combine_in : Path, optional
        Folder for files through which the ranks' sums are combined; without it MPI does.
    device : str
        "cpu" or "gpu": where images are worked on, see `device_images.py`.
    cache : dict
        Images that are kept between iterations.
    """

    particles: ParticleSet
    images: Images = field(repr=False)
    expect_rows: Callable[[np.ndarray], None] = field(default=lambda rows: None, repr=False)
    ranks: Ranks = field(default_factory=SingleRank, repr=False)
    block: int = 0
    combine_in: Path | None = None
    device: str = "cpu"
    cache: dict[str, Array] = field(default_factory=dict, repr=False)


@contextmanager
def execution_of(path: str | os.PathLike[str], options: Any, out: str | os.PathLike[str]) -> Iterator[Execution]:
    """Yield the execution that the running options ask for, on the checked particles of a STAR file.

    All ranks call this together.

    Raises
    ------
    CryosnakeError
        as `read_particles`, and when memory or scratch directory cannot be used as requested
    """
    device, ranks = choose_device(options.device), world()
    particles = read_particles(path, options.ctf)
    budget = budget_of(job_memory(options, ranks))
    reading = Reading(parallel_io=options.parallel_io, preread=options.preread, scratch_dir=options.scratch_dir or "",
                      keep_free=round(options.keep_free_scratch * 1e9), kept=budget.images)
    block = options.pooled or particles_of(budget.block, particles.box, _USUAL_BLOCK) % _USUAL_BLOCK
    with use_budget(budget), open_images(stack_images(particles), reading, ranks, os.fspath(out)) as source:
        yield Execution(particles=particles, images=source.images, expect_rows=source.expect_rows, ranks=ranks,
                        block=block, combine_in=Path(out) if options.combine_through_disc else None, device=device)


def stack_images(particles: ParticleSet) -> ReadImages:
    """Return the images of particles from their own files, corrected for what their optics groups say."""
    names, groups = particles.table["rlnImageName"], particles.groups
    box, pixel_size = particles.box, particles.pixel_size
    if all(group.as_recorded and group.fits(box, pixel_size) for group in particles.used_groups):
        return StackImages(particles.path, names.tolist(), box, refuse_blank)
    members = [np.flatnonzero(particles.optics == number) for number in range(len(groups))]
    place_of = np.empty(len(names), np.int64)
    for rows in members:
        place_of[rows] = np.arange(len(rows))
    stacks = [StackImages(particles.path, names.iloc[rows].tolist(), group.box, refuse_blank)
              for rows, group in zip(members, groups, strict=True)]
    return CorrectedImages(box=box, pixel_size=pixel_size, groups=groups, stacks=stacks, group_of=particles.optics,
                           place_of=place_of, ctf=particles.ctf)


def job_memory(options: Any, ranks: Ranks) -> int:
    """Return the bytes that this process may use: its share of the job's memory on this computer."""
    wanted = options.memory * 1e9 if options.memory else _SHARE_OF_FREE * available_bytes()
    return int(wanted) // ranks.computer.size
