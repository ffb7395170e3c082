"""The depth of both half maps along an axis that most views share, before the last iteration of a refinement.

While poses are rough, the map gets flat along that axis, and tilts too large; finer iterations mend it by a percent
each, and would go on to tilts too small. So the factor of tilts is searched, by particles left out of the maps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from cryosnake.jobs.options import Refine3DOptions
from cryosnake.numerics.refine.grids.grids import shift_grid, sphere_grid
from cryosnake.numerics.refine.grids.references import MapReference
from cryosnake.numerics.refine.search.fixed_poses import classify_at_poses
from cryosnake.numerics.refine.sums.maximisation import finish_sums, regularised_map
from cryosnake.numerics.refine.sums.reconstruction import mean_weight
from cryosnake.numerics.symmetry import operators
from cryosnake.numerics.views.relief import deepened, preferred_axis, scaled_tilts
from cryosnake.programs.refine3d.model import Refinement
from cryosnake.programs.refinement.block import prepare_block
from cryosnake.programs.refinement.device_images import image_blocks
from cryosnake.programs.refinement.estep import BLOCK, expect
from cryosnake.programs.refinement.iteration_pictures import views
from cryosnake.programs.refinement.recipe import Recipe
from cryosnake.programs.refinement.state import Assignments
from cryosnake.programs.refinement.step import ExpectationStep, SearchPlan

_FACTORS = np.geomspace(0.72, 1.25, 9)  # of the tangents of tilts
_FOLDS = 4
_MOST = 1000  # particles of each half
_NEAR = 12.0  # degrees, within which views count as alike
_EVENED = 1 / 3  # power of their number by which weights fall; 0 leaves views as frequent as they are, 1 evens them
_ORDER, _SIGMA = 3, 3.75  # of the local searches: HEALPix, degrees
_MOST_PIXELS = 96  # across the images: depth is coarse
_Recipe = Recipe[Refine3DOptions, Any, Any]


def with_depth(recipe: _Recipe, model: Refinement, solvent: np.ndarray) -> Refinement:
    """Return the model with the tilts, and the depth of the maps, that suit each half best; as it is for even views."""
    sets, group = recipe.sets(model), recipe.options.symmetry
    found = (preferred_axis(views(model.assignments.pose[rows], group)) for rows in sets)
    axes = [axis for axis in found if axis is not None]
    if len(axes) < len(sets):
        return model
    pose, volumes, factors = model.assignments.pose.copy(), [], []
    for half, (rows, axis) in enumerate(zip(sets, axes, strict=True)):
        factor = _search(recipe, model, half, axis, solvent).best_factor()
        pose[rows] = scaled_tilts(pose[rows], axis, factor)
        volumes.append(deepened(model.volumes[half], axis, 1.0 / factor) * solvent)
        factors.append(f"{factor:.2f}")
    recipe.say(f"Most views are about one axis: tilts from it times {' and '.join(factors)} (half 1 and 2), in maps as "
               "much deeper along it, suit particles best that are left out of these maps")
    return replace(model, volumes=volumes, assignments=replace(model.assignments, pose=pose))


def _search(recipe: _Recipe, model: Refinement, half: int, axis: np.ndarray, solvent: np.ndarray) -> DepthSearch:
    rows = recipe.rng(6, model.iteration, half).permutation(recipe.sets(model)[half])[:_MOST]
    grid = sphere_grid(_ORDER, recipe.options.symmetry, 0.0, whole=True)
    size, sampling = min(model.size, _MOST_PIXELS), model.sampling
    plan = recipe.search_plan(size, recipe.coarse_size(grid.step, size),
                              shift_grid(sampling.offset_range, sampling.offset_step), model.ssnr > 3.0,
                              recipe.options.seed, sigma=_SIGMA, diameter=recipe.options.particle_diameter)
    present = recipe.seen(recipe.maps(model.volumes[half][None], size, grid))
    return DepthSearch(recipe=recipe, model=model, plan=plan, present=present, half=half, axis=axis, solvent=solvent,
                       folds=[np.sort(rows[number::_FOLDS]) for number in range(_FOLDS)])


@dataclass(frozen=True, kw_only=True)
class DepthSearch:
    """What the trials of a half share: its particles by folds, the axis of their views, and how poses are searched."""

    recipe: _Recipe
    model: Refinement
    plan: SearchPlan
    present: MapReference  # the half's map as it is
    half: int
    folds: list[np.ndarray]
    axis: np.ndarray
    solvent: np.ndarray

    def best_factor(self) -> float:
        """Return the factor of tilts that suits particles best, between those tried."""
        weights = self.weights()
        scores = np.array([weights @ self.likelihoods(factor) for factor in _FACTORS])
        top = int(np.clip(scores.argmax(), 1, len(scores) - 2))
        around = slice(top - 1, top + 2)
        second, first, _ = np.polyfit(np.log(_FACTORS[around]), scores[around], 2)
        if second >= 0.0:
            return float(_FACTORS[scores.argmax()])
        return float(np.exp(np.clip(-0.5 * first / second, *np.log(_FACTORS[[0, -1]]))))

    def weights(self) -> np.ndarray:
        """Return the weight (n,) of each particle, in the order of the folds: the rarer its view, the more.

        Of the many views about the axis, each is predicted better the smaller the tilts; of the few others, the larger,
        whatever is true: other views say more then. So neither outvotes the other.
        """
        seen = self.model.assignments.pose[np.concatenate(self.folds), 2]
        mates = views(self.model.assignments.pose[np.concatenate(self.folds)], self.recipe.options.symmetry)
        tree = cKDTree(np.concatenate([mates, -mates]))
        count = tree.query_ball_point(seen, 2 * np.sin(np.radians(_NEAR / 2)), return_length=True)
        return np.asarray(count, np.float64) ** -_EVENED

    def likelihoods(self, factor: float) -> np.ndarray:
        """Return the log likelihood (n,) of each particle in a map made without its fold, tilts being scaled."""
        known = self.model.assignments
        moved = replace(known, pose=scaled_tilts(known.pose, self.axis, factor))
        sums = [self._sums(rows, moved) for rows in self.folds]
        whole = np.sum(sums, 0)
        return np.concatenate([expect(self._step(rows, moved, self._reference(whole - own))).assigned.log_likelihood
                               for rows, own in zip(self.folds, sums, strict=True)])

    def _reference(self, sums: np.ndarray) -> MapReference:
        """Return the map of some of the half's particles, as a reference."""
        radius, weight = self.plan.size // 2, mean_weight(sums, self.plan.size // 2)
        share = (1 - 1 / _FOLDS) * sum(map(len, self.folds)) / (self.model.half == self.half + 1).sum()
        volume = regularised_map(sums, radius, self.recipe.particles.box, share * self.model.ssnr, weight)
        volumes = (volume * self.solvent)[None]
        return self.recipe.seen(self.recipe.maps(volumes, self.plan.size, self.present.grid))

    def _step(self, rows: np.ndarray, assignments: Assignments, reference: MapReference) -> ExpectationStep:
        return ExpectationStep(work=self.recipe.work, rows=rows, assignments=assignments, plan=self.plan,
                               statistics=self.model.statistics[self.half], reference=reference)

    def _sums(self, rows: np.ndarray, assignments: Assignments) -> np.ndarray:
        """Return the sums of particles at their poses, over the group."""
        step = self._step(rows, assignments, self.present)  # sums do not depend on the map
        sums = step.empty_sums()
        for where, images in image_blocks(step.work, rows, step.work.block or BLOCK):
            operands, mine = prepare_block(step, where, images).operands, rows[where]
            classify_at_poses(operands, self.present.transforms, assignments.pose[mine],
                              assignments.offset[mine] - operands.offsets, step.band, np.zeros(1), sums)
        return finish_sums(sums[:, 0], operators(self.recipe.options.symmetry))
