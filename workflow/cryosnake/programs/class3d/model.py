"""The state of a 3D classification between iterations, and its grid of orientations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cryosnake.jobs.options import Class3DOptions
from cryosnake.numerics.refine.classes.class_maps import class_shares
from cryosnake.numerics.refine.grids.grids import SphereGrid, sphere_grid
from cryosnake.programs.refinement.recipe import Model
from cryosnake.programs.refinement.reference_maps import order_of
from cryosnake.programs.refinement.state import Statistics

_DEAD = 0.01  # of the particles
RANGE = 3.0  # standard deviations of a local search (RELION: sigma_ang = range / 3)


@dataclass(frozen=True, kw_only=True)
class Classification3D(Model):
    """Maps, assignments and statistics after an iteration.

    `statistics.direction` is the prior at class · directions + direction, or that of the classes alone without a prior
    of directions (`has_directions`).
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


def sigma_of(options: Class3DOptions) -> float:
    """Return the standard deviation of local searches, degrees; 0 searches everywhere."""
    return float(options.local_range or 0.0) / RANGE


def has_directions(options: Class3DOptions) -> bool:
    """Return whether directions have a prior, in addition to classes."""
    return options.align and not options.local_range


def grid_of(options: Class3DOptions, perturbation: float, classes: int, whole: bool) -> SphereGrid:
    """Return the orientations of `classes` maps, over an asymmetric unit or the whole sphere."""
    return sphere_grid(order_of(options.sampling, "sampling"), options.symmetry, perturbation, whole, classes)


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
