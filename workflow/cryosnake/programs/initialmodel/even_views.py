"""Mini-batches in which all views are equally frequent, where most views of the particles are alike."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from cryosnake.numerics.views.spread import UNEVEN, view_spread
from cryosnake.programs.initialmodel.model import InitialMaps
from cryosnake.programs.refinement.iteration_pictures import views

_NEAR = 12.0  # degrees, within which views count as alike
_RAREST = 0.02  # of the density of the most frequent views; rarer ones are not taken more often


def evened(model: InitialMaps) -> np.ndarray | None:
    """Return the chance (n,) of each particle to be in a mini-batch, None where all have the same.

    Views that are nearly alike do not say how deep a map is along them: tilts that are too large, in a map that is too
    flat for them, explain them as well. Other views say it, if they are not outvoted.
    """
    known = model.assignments.top_weight > 0  # it has been in a mini-batch
    seen = model.assignments.pose[known, 2]
    if known.sum() < 20 or view_spread(views(model.assignments.pose[known], model.symmetry)).evenness >= UNEVEN:
        return None
    mates = views(model.assignments.pose[known], model.symmetry)
    tree = cKDTree(np.concatenate([mates, -mates]))
    density = tree.query_ball_point(seen, 2 * np.sin(np.radians(_NEAR / 2)), return_length=True).astype(np.float64)
    chance = np.full(len(known), 1.0 / np.median(density))
    chance[known] = 1.0 / np.maximum(density, _RAREST * density.max())
    return chance / chance.sum()
