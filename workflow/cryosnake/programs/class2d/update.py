"""Update of a 2D classification by a batch of particles: its statistics and averages."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cryosnake.numerics.backend import to_numpy
from cryosnake.numerics.image_geometry import centre_of_mass
from cryosnake.numerics.refine.classes.averages import (
    class_averages,
    decayed_sums,
    finish_class_sums,
    moved_sums,
    revived,
    sums_of_averages,
)
from cryosnake.numerics.refine.classes.class_maps import class_ssnr
from cryosnake.numerics.refine.grids.images import shift_images
from cryosnake.numerics.refine.grids.references import ClassReferences
from cryosnake.numerics.refine.sums.maximisation import reference_power
from cryosnake.numerics.refine.sums.reconstruction import mean_weight
from cryosnake.programs.class2d.model import Classification
from cryosnake.programs.refinement.estep import new_statistics
from cryosnake.programs.refinement.particles import ParticleSet
from cryosnake.programs.refinement.state import Assignments
from cryosnake.programs.refinement.step import Accumulated


def after_batch(particles: ParticleSet, model: Classification, accumulated: Accumulated, assignments: Assignments,
                weight: float) -> Classification:
    """Return the model with the statistics and assignments after a batch; `weight` is relative to all before."""
    old, rows = model.statistics, model.rows
    new, norms = new_statistics(particles, rows, accumulated, old)
    if len(rows) < len(particles):  # a mini-batch contains too few particles of a micrograph
        new = replace(new, scale=old.scale)
    new = replace(new, noise=(1.0 - weight) * old.noise + weight * new.noise)
    if weight < 1.0:
        share = accumulated.direction / accumulated.direction.sum()
        new = replace(new, direction=(1.0 - weight) * old.direction + weight * share)
    change = model.assignments.of(rows).changes_to(assignments.of(rows))
    norm = assignments.norm.copy()
    norm[rows] = norms
    return replace(model, statistics=new, change=change, assignments=replace(assignments, norm=norm))


def accumulated_sums(model: Classification, batch: np.ndarray, references: ClassReferences, weight: float,
                     ) -> np.ndarray:
    """Return the sums of all batches so far, from those of the last one.

    A continued run, which has not kept them, computes them from the averages.
    """
    batch = finish_class_sums(batch)
    if weight == 1.0:
        return batch
    before = model.sums
    if before is None:
        before = sums_of_averages(to_numpy(references.transforms), model.weight, model.ssnr)
    sums = decayed_sums(before, batch, weight)
    revived(sums, batch, model.statistics.direction)
    return sums


def maximised(model: Classification, sums: np.ndarray, references: ClassReferences, box: int, tau2_fudge: float,
              ) -> Classification:
    """Return the model with new averages, which are not masked yet."""
    radius, ssnr = model.size // 2, np.zeros((len(sums), box // 2 + 1))
    weight, within = np.zeros_like(ssnr), slice(radius + 1)
    for number, transform in enumerate(to_numpy(references.transforms)):
        weight[number, within] = mean_weight(sums[number], radius)
        power = reference_power(transform, radius + 1)
        ssnr[number, within] = class_ssnr(weight[number, within], power, tau2_fudge, 2)
    return replace(model, unmasked=class_averages(sums, radius, box, ssnr[:, within]), ssnr=ssnr, weight=weight)


def centred(model: Classification) -> Classification:
    """Return the model with the averages' centres of mass in the middle, moved by whole pixels.

    Particles and sums are moved with them.
    """
    centre = np.rint(centre_of_mass(model.unmasked)).astype(np.int64)
    found = model.assignments
    seen = found.top_weight > 0
    # The rows of R are the image's axes in the average's frame: a move of −c there is one of −R c in the image.
    moved, offset = centre[found.class_index[seen]].astype(np.float64), found.offset.copy()
    offset[seen] -= np.einsum("nij,nj->ni", found.pose[seen, :2, :2], moved)
    sums = None if model.sums is None else moved_sums(model.sums, -centre, model.unmasked.shape[-1])
    return replace(model, sums=sums, assignments=replace(found, offset=offset),
                   unmasked=shift_images(model.unmasked, -centre))
