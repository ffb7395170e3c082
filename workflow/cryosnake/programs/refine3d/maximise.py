"""The maximisation step of a gold-standard refinement: two half maps, their FSC, and finally one map."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from cryosnake.jobs.options import Refine3DOptions
from cryosnake.numerics.fsc import fsc as fsc_of_maps
from cryosnake.numerics.refine.sums.least_squares import least_squares_map
from cryosnake.numerics.refine.sums.maximisation import (
    gold_standard,
    join_low_resolution,
    regularised_map,
    ssnr_from_fsc,
)
from cryosnake.numerics.refine.sums.reconstruction import mean_weight
from cryosnake.programs.refine3d.model import Refinement
from cryosnake.programs.refinement.recipe import Recipe

_JOIN_RESOLUTION = 40.0  # Å: the halves share what is coarser


def maximised(recipe: Recipe[Refine3DOptions, Any, Any], model: Refinement, sums: list[np.ndarray], solvent: np.ndarray,
              ) -> Refinement:
    """Return the model with new half maps from their sums; with unfiltered ones and the joined map in the last one.

    The sums change: in the last iteration nothing takes more memory, and one after the other is given up.
    """
    box, radius, options, last = recipe.particles.box, model.size // 2, recipe.options, model.last
    shared = min(int(recipe.particles.length / _JOIN_RESOLUTION), radius)
    joined = 0 if last else shared
    fsc = gold_standard(sums[0], sums[1], radius, joined, box // 2 + 1)
    if last or options.solvent_fsc:
        make = least_squares_map if last else regularised_map
        model = replace(model, unfiltered=[make(half, radius, box, None) for half in sums])
    if options.solvent_fsc:
        fsc = _masked_fsc(model, solvent, options.seed, joined)
    ssnr = ssnr_from_fsc(fsc)
    if not last:
        join_low_resolution(sums[0], sums[1], shared)
    weight = [mean_weight(half, radius) for half in sums]
    if options.local_regularisation and not last:
        volumes = _locally_regularised(sums, radius, solvent, recipe.particles.pixel_size)
    else:
        volumes = [regularised_map(half, radius, box, ssnr, mean) * solvent
                   for half, mean in zip(sums, weight, strict=True)]
    if last:
        sums[0] += sums.pop()
        model = replace(model, joined=least_squares_map(sums.pop(), radius, box, ssnr_from_fsc(fsc, both_halves=True)))
        if not options.solvent_fsc:  # what is said is that of the maps written, not of the sums that filter the map
            fsc = fsc_of_maps(*model.unfiltered)
    return replace(model, fsc=fsc, ssnr=ssnr, weight=weight, volumes=volumes)


def _locally_regularised(sums: list[np.ndarray], radius: int, solvent: np.ndarray, pixel_size: float,
                         ) -> list[np.ndarray]:
    """Return the halves, each filtered locally as finely as it predicts the other, instead of by one SSNR.

    The low band that the halves share passes all the filters compared, so it has no influence on the choice.
    """
    from cryosnake.numerics.refine.sums.local_filter import cross_validated_filter

    a, b = (regularised_map(half, radius, solvent.shape[0], None) for half in sums)
    first, second, _ = cross_validated_filter(a, b, solvent, pixel_size)
    return [first * solvent, second * solvent]


def _masked_fsc(model: Refinement, solvent: np.ndarray, seed: int, joined: int) -> np.ndarray:
    from cryosnake.numerics.postprocessing import fsc_curves

    curve = fsc_curves(model.unfiltered[0], model.unfiltered[1], solvent, seed).corrected.copy()
    curve[: joined + 1] = 1.0
    curve[model.size // 2 + 1 :] = 0.0
    return curve
