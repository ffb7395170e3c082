"""The grey scale of a reference from particles whose poses are known."""

from __future__ import annotations

import numpy as np

from cryosnake.numerics.refine.grids.bands import full_band
from cryosnake.numerics.refine.grids.references import MapReference
from cryosnake.numerics.refine.search.fixed_poses import scale_terms
from cryosnake.programs.refinement.block import SearchPlan, prepare_block
from cryosnake.programs.refinement.device_images import image_blocks
from cryosnake.programs.refinement.estep import BLOCK
from cryosnake.programs.refinement.particles import Particles
from cryosnake.programs.refinement.state import Assignments, Statistics


def scale_at_poses(particles: Particles, rows: np.ndarray, state: Assignments, statistics: Statistics,
                   reference: MapReference, plan: SearchPlan, most: int = 500) -> float:
    """Return the factor that puts a reference on the particles' grey scale: least squares at their present poses."""
    band = full_band(particles.box).cut(plan.size)
    cross = norm = 0.0
    for where, images in image_blocks(particles, rows[:most], BLOCK):
        chosen = rows[:most][where]
        block = prepare_block(particles, chosen, state, statistics, plan, images)
        part = scale_terms(block.operands, reference.transforms[0], state.pose[chosen],
                           state.offset[chosen] - block.operands.offsets, band)
        cross, norm = cross + part[0], norm + part[1]
    return cross / norm if norm > 0 else 0.0
