"""Hierarchy of grids: every orientation of a grid belongs to one of the grid that is twice as coarse.

A search over many orientations starts on a coarse grid, at the resolution that its step allows, and continues with
the children of its significant samples: adaptive oversampling (Scheres 2012, J. Struct. Biol. 180, section 2.4) over
more than one level.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cryosnake.numerics import healpix
from cryosnake.numerics.backend import Array, namespace
from cryosnake.numerics.euler import euler_to_matrix
from cryosnake.numerics.refine.grids.grids import SphereGrid
from cryosnake.numerics.refine.grids.pose_distance import in_plane_angle


def parent_grid(grid: SphereGrid) -> SphereGrid:
    """Return the grid at twice the step, equally rotated; its in-plane angles lie between two of the grid's."""
    above = grid.pixels >> 2  # sorted, as the pixels are
    pixels = above[np.append(True, above[1:] != above[:-1])]
    return replace(grid, order=grid.order - 1, pixels=pixels, perturbation=grid.perturbation / 2.0,
                   psi_offset=grid.psi_offset / 2.0 + 0.25)


def search_grids(grid: SphereGrid, coarsest: int = 2) -> list[SphereGrid]:
    """Return the grids of a search that ends on `grid`, starting with the coarsest one, of at least the given order."""
    grids = [grid]
    while grids[0].order > coarsest:
        grids.insert(0, parent_grid(grids[0]))
    return grids


def children_of(grid: SphereGrid, parents: Array) -> Array:
    """Return the orientations (n, 8) of a grid that belong to orientations (n,) of its parent grid.

    −1 where a direction is not in the grid's asymmetric unit. Each orientation of the grid has one parent.
    """
    xp, above = namespace(parents), parent_grid(grid)
    used, direction = xp.unique(parents // above.psi_count % len(above.pixels), return_inverse=True)
    pixels, directions = xp.asarray(grid.pixels), xp.asarray(above.pixels)[used]
    inside = healpix.children(directions)  # (directions, 4)
    rot, tilt = (angle.reshape(inside.shape) for angle in healpix.pixel_angles(grid.order, inside.ravel()))
    above_rot, above_tilt = healpix.pixel_angles(above.order, directions)
    frame = euler_to_matrix(above_rot, above_tilt, xp.zeros_like(above_rot))
    level = in_plane_angle(frame[:, None], euler_to_matrix(rot, tilt, xp.zeros_like(rot))) / grid.step
    place = xp.minimum(xp.searchsorted(pixels, inside), len(pixels) - 1)
    place = xp.where(pixels[place] == inside, place, -1)
    first = xp.ceil(2 * (parents % above.psi_count)[:, None] + level[direction] - 0.5).astype(xp.int64)  # (n, 4)
    index = (first[:, :, None] + xp.arange(2)) % grid.psi_count
    whole = above.class_of(parents)[:, None] * len(pixels) + place[direction]
    numbers = whole[:, :, None] * grid.psi_count + index
    return xp.where(place[direction][:, :, None] >= 0, numbers, -1).reshape(len(parents), 8)
