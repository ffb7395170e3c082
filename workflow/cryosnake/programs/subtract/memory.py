"""Memory of a Subtract job: announced before maps are transformed, met with fewer images at a time, or refused."""

from __future__ import annotations

from cryosnake.errors import CryosnakeError
from cryosnake.jobs.options import SubtractOptions
from cryosnake.parallel.ranks import Ranks, on_each_rank
from cryosnake.programs.refinement.execution import job_memory
from cryosnake.programs.refinement.memory import RUNTIME
from cryosnake.programs.refinement.particles import ParticleSet
from cryosnake.programs.subtract.images import ROOM
from cryosnake.programs.subtract.references import References

_AT_ONCE = 32  # images, where memory allows
_MAP, _TRANSFORM, _MAKING = 12, 33, 60  # bytes of a voxel: a map, twice and masked; its transform; while it is made
_PIXEL = 80  # bytes of a pixel of a predicted image; measured
_MARGIN = 1.05


def planned_block(particles: ParticleSet, references: References, options: SubtractOptions, ranks: Ranks) -> int:
    """Return how many images are predicted at a time.

    Raises
    ------
    CryosnakeError
        when the job may take less memory than one image needs
    """
    allowed, voxels = job_memory(options, ranks), references.box**3
    maps = len(references.maps) * references.classes
    fixed = _MARGIN * (RUNTIME + voxels * (maps * (_MAP + _TRANSFORM) + _MAKING))
    each = _MARGIN * _PIXEL * max((ROOM * group.box) ** 2 for group in particles.used_groups)
    block = min(_AT_ONCE, int((allowed - fixed) // each))
    on_ranks = on_each_rank(ranks.computer.size)
    if block < 1:
        raise CryosnakeError(f"subtract: {maps} map(s) of {references.box} voxels and their transforms take "
                             f"{(fixed + each) / 1e9:.1f} GB{on_ranks}, and the job may use {allowed / 1e9:.1f}. Set "
                             "memory to more, or use fewer MPI ranks on a computer. Nothing was computed.")
    print(f"Memory: at most {(fixed + block * each) / 1e9:.1f} of {allowed / 1e9:.1f} GB{on_ranks}; {block} images at "
          "a time")
    return block
