"""Memory of a CtfRefine job, planned before its maps are read: announced, met with fewer threads, or refused."""

from __future__ import annotations

import numpy as np

from cryosnake.errors import CryosnakeError
from cryosnake.jobs.options import CtfRefineOptions
from cryosnake.parallel.ranks import Ranks, on_each_rank
from cryosnake.programs.ctfrefine.fits import RESULTS, modes_of
from cryosnake.programs.ctfrefine.units import AT_ONCE, Unit
from cryosnake.programs.refinement.execution import job_memory
from cryosnake.programs.refinement.memory import RUNTIME
from cryosnake.programs.refinement.particles import ParticleSet

_VOXEL = 120  # bytes of each voxel while maps become transforms that reach the Nyquist frequency; measured
_PIXEL, _LENS = 160, 90  # bytes of each Fourier pixel of a particle: summed, and while its CTF is fitted; measured
_SUMS = 64  # bytes of each Fourier pixel of a unit's sums
_MARGIN = 1.05


def planned_workers(particles: ParticleSet, units: list[Unit], box: int, options: CtfRefineOptions, ranks: Ranks,
                    most: int) -> int:
    """Return how many threads, `most` at most, compute units of their own; `box` is that of the half maps, in voxels.

    Raises
    ------
    CryosnakeError
        when the job may take less memory than one thread needs
    """
    allowed = job_memory(options, ranks)
    fixed = _MARGIN * (RUNTIME + _VOXEL * box**3)
    each = _MARGIN * max(_of_unit(particles, unit, options) for unit in units)
    each += RESULTS * ranks.size * _SUMS * max(_pixels(particles, unit) for unit in units)
    workers = min(most, len(units), int((allowed - fixed) // each))
    on_ranks = on_each_rank(ranks.computer.size)
    if workers < 1:
        raise CryosnakeError(f"{particles.path}: CtfRefine of its particles takes {(fixed + each) / 1e9:.1f} GB"
                             f"{on_ranks}, and the job may use {allowed / 1e9:.1f}. Set memory to more, use fewer MPI "
                             "ranks on a computer, or take particles of a smaller box. Nothing was computed.")
    print(f"Memory: at most {(fixed + workers * each) / 1e9:.1f} of {allowed / 1e9:.1f} GB{on_ranks}; {workers} "
          f"thread{'s' if workers > 1 else ''} with micrographs of their own")
    return workers


def _pixels(particles: ParticleSet, unit: Unit) -> float:
    """Return the most Fourier pixels that a unit's images can have."""
    return 0.5 * np.pi * (particles.groups[unit.group].box / 2) ** 2


def _of_unit(particles: ParticleSet, unit: Unit, options: CtfRefineOptions) -> float:
    """Return the bytes that a thread needs for a unit; its CTF is fitted to all particles together."""
    together = min(len(unit), AT_ONCE)
    images = 3 * 4 * together * particles.groups[unit.group].box ** 2  # read, and transformed
    pixels = _PIXEL * together
    if modes_of(options).any:
        pixels = max(pixels, _LENS * len(unit) + _PIXEL * together // 2)
    return images + pixels * _pixels(particles, unit)
