"""The state of a 3D classification between iterations, and its grid of orientations."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from cryosnake.jobs.options import Class3DOptions
from cryosnake.numerics.refine.classes.class_maps import class_shares
from cryosnake.numerics.refine.grids.grids import SphereGrid, sphere_grid
from cryosnake.programs.refinement.recipe import Model
from cryosnake.programs.refinement.reference_maps import order_of
from cryosnake.programs.refinement.state import Statistics

_DEAD = 0.01  # of the particles
RANGE = 3.0  # standard deviations of a local search (RELION: sigma_ang = range / 3)
_FINE_RANGE = 2.0  # steps, after oversampling, of the search before


@dataclass(frozen=True, kw_only=True)
class Classification3D(Model):
    """Maps, assignments and statistics after an iteration.

    `statistics.direction` is the prior at class · directions + direction, or that of the classes alone without a prior
    of directions (`Stage.has_directions`).
    """

    statistics: Statistics
    volumes: np.ndarray  # (classes, box, box, box), masked
    ssnr: np.ndarray  # (classes, shells)
    size: int
    weight: np.ndarray  # (classes, shells)
    change: tuple[float, float, float] = (999.0, 999.0, 1.0)  # degrees, pixels, fraction of classes
    accuracy: np.ndarray  # (classes, 2) degrees, pixels
    perturbation: float = 0.0

    @property
    def class_fractions(self) -> np.ndarray:
        """Return the fraction (classes,) of the particles in each class."""
        return class_shares(self.statistics.direction.reshape(len(self.volumes), -1))


@dataclass(frozen=True, kw_only=True)
class Stage:
    """How an iteration searches: everywhere, near each particle's last orientation, or the classes alone."""

    order: int  # HEALPix order of the coarse grid
    symmetry: str
    align: bool
    sigma: float  # standard deviation of local searches, degrees; 0 searches everywhere

    @property
    def has_directions(self) -> bool:
        """Whether directions have a prior, in addition to classes."""
        return self.align and self.sigma == 0

    def grid(self, classes: int, perturbation: float = 0.0) -> SphereGrid:
        """Return the orientations of `classes` maps: an asymmetric unit, or the whole sphere for local searches."""
        return sphere_grid(self.order, self.symmetry, perturbation, self.sigma > 0, classes)


def prior_for(stage: Stage, direction: np.ndarray, classes: int) -> np.ndarray:
    """Return a prior (classes · directions,) or (classes,) as a stage has it; the same where it is already."""
    entries = classes * len(stage.grid(1).pixels) if stage.has_directions else classes
    if len(direction) == entries:
        return direction
    return np.repeat(class_shares(direction.reshape(classes, -1)), entries // classes) / (entries // classes)


def stages_of(options: Class3DOptions, maps: int) -> tuple[Stage, Stage, int]:
    """Return the stages of the first and of the last iterations, and the number of the last ones.

    Classes that start from one map have one frame, so that the orientation in one is that in all: then the last third
    searches nearby with half the step, which tells classes apart far better, and costs less, than another search
    everywhere. `maps` is the number of starting maps.
    """
    order, sigma = order_of(options.sampling, "sampling"), float(options.local_range or 0.0) / RANGE
    first = Stage(order=order, symmetry=options.symmetry, align=options.align, sigma=sigma)
    near = _FINE_RANGE * first.grid(1).step / 2 / RANGE
    last = replace(first, order=order + 1, sigma=min(near, sigma or near))
    usual = options.iterations // 3 if first.has_directions and maps == 1 else 0
    fine = usual if options.fine_iterations is None else options.fine_iterations
    return first, last, min(fine, options.iterations)


def deaths(counts: np.ndarray) -> str:
    """Return a warning about classes that hold next to none of the particles, given their numbers (classes,), or ""."""
    total, dead = int(counts.sum()), np.flatnonzero(counts < _DEAD * counts.sum())
    if not dead.size:
        return ""
    named = ", ".join(f"class {number + 1} ({counts[number]:,})" for number in dead)
    if len(dead) == len(counts) - 1:
        return (f"WARNING: all classes but one have died: of {total:,} particles next to none are in {named}. Nothing "
                "was told apart: give each class a starting map of its own, a lower initial_lowpass, or classify "
                "without alignment (align: false) at the poses of a refinement.")
    return f"WARNING: of {total:,} particles next to none are in {named}, which died. Ask for fewer classes."
