"""How even the views of a refinement are, and the resolution of its map in each direction: <root>_views.json."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import numpy as np

from cryosnake.atomic import write_text
from cryosnake.jobs.options import Refine3DOptions
from cryosnake.numerics.fsc import resolution_at
from cryosnake.numerics.views.directional_fsc import HALF_ANGLE, axes, directional_fsc
from cryosnake.numerics.views.spread import view_spread
from cryosnake.programs.refine3d.model import Refinement
from cryosnake.programs.refinement.iteration_pictures import views
from cryosnake.programs.refinement.recipe import Recipe

_FURTHER = 1.25  # shells to which curves are made, in units of the last one above 0.143


def judged_views(recipe: Recipe[Refine3DOptions, Any, Any], model: Refinement, solvent: np.ndarray) -> str:
    """Write the numbers, and return them as text.

    `curves` (directions, shells) are the FSC of the written half maps inside the solvent mask, in cones about the unit
    vectors `directions` (x, y, z); `resolution` (directions,) in Å, where each falls below 0.143.
    """
    length = recipe.particles.length
    spread = view_spread(views(model.assignments.pose, recipe.options.symmetry))
    first, second = (half * solvent for half in model.unfiltered)
    last = round(_FURTHER * length / resolution_at(model.fsc, length))
    curves = directional_fsc(first, second, min(last + 2, len(first) // 2))
    found = [resolution_at(curve, length) for curve in curves]
    write_text(f"{recipe.root}_views.json", json.dumps(asdict(spread) | {
        "directions": axes().round(5).tolist(), "resolution": np.round(found, 2).tolist(),
        "curves": curves.round(4).tolist()}) + "\n")
    return (f"Resolution by direction, in cones of {HALF_ANGLE:g}°, inside the solvent mask: {min(found):.1f} to "
            f"{max(found):.1f} Å (FSC 0.143)\n{spread.describe()}")
