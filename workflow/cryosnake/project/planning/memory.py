"""Memory that a job requests, estimated from its ranks, its maps and the box of its particles.

A refinement stores for each map a reference and sums, half transforms padded to twice the box: 4 box³ voxels of 8 and
12 bytes. Rank 0 computes the maps, from the sums of both half sets again, joined at low resolution, their total (36
bytes per voxel) and 39 for the division and the transform (measured at box 96). Threads insert into private volumes,
up to a limit. The rest (interpreter, kernels, images, of which a process keeps up to 1 GB) does not depend on the box.
Half of the total is added.
"""

from __future__ import annotations

import math
import os

from cryosnake.errors import CryosnakeError
from cryosnake.pipeline.star_text import parse_blocks
from cryosnake.project.planning.planned import Plan, PlannedJob

FIXED = 1500  # MB of one process
MARGIN = 1.5
HEAD = 1 << 16  # bytes at the start of a STAR file that contain the optics table
_PADDED = 4 / 1e6  # million voxels of a half transform, padded twice, for one voxel of the box
_REFERENCE, _SUMS, _MAKING = 8, 12, 36 + 39  # bytes of a voxel


def memory_mb(plan: Plan, job: PlannedJob, ranks: int, threads: int) -> int:
    """Return the memory in MB that all ranks of a job request in the first attempt; `threads` is their total.

    If the box is not known yet, or does not matter, it is the job type's, for each rank.
    """
    resources = job.config.type.resources
    box = particle_box(plan, job) if resources.maps or resources.voxel_bytes else 0
    if not box:
        return resources.mem_mb * ranks
    if resources.voxel_bytes:
        return math.ceil(MARGIN * ranks * (FIXED + resources.voxel_bytes * box**3 / 1e6) / 100) * 100
    maps = int(resources.maps) if resources.maps.isdecimal() else int(job.config.parameters()[resources.maps])
    if resources.maps_shared and ranks % resources.maps_shared == 0:
        maps //= resources.maps_shared
    voxels = _PADDED * box**3
    own = min(threads / ranks * maps * voxels * _SUMS, resources.thread_maps_mb)
    each = FIXED + maps * voxels * (_REFERENCE + _SUMS) + own
    return math.ceil(MARGIN * (ranks * each + voxels * _MAKING) / 100) * 100


def particle_box(plan: Plan, job: PlannedJob) -> int:
    """Return the box in pixels of a job's particles, 0 when it is not known yet.

    From their STAR file, or from the job that will extract them.
    """
    source = job.inputs.get("particles") or job.inputs.get("particles1")  # of a join
    if source is None:
        return 0
    found = _box_in_star(os.path.join(plan.folder, source.path))
    if found or not source.job:
        return found
    upstream = plan.at(source.job)
    parameters = upstream.config.parameters()
    if "box_size" in parameters:
        return int(parameters.get("rescale") or parameters["box_size"] or 0)
    return particle_box(plan, upstream)


def _box_in_star(path: str) -> int:
    """Return rlnImageSize of the first optics group, 0 if there is none."""
    try:
        with open(path, "rb") as file:
            whole_lines = file.read(HEAD).decode(errors="replace").rpartition("\n")[0]
        optics = parse_blocks(whole_lines, path, ("optics",))["optics"]
        return int(float(optics.value("rlnImageSize") or 0))
    except (OSError, CryosnakeError, KeyError, ValueError):
        return 0
