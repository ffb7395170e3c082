"""The state of a 2D classification between iterations."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from cryosnake.jobs.options import Class2DOptions
from cryosnake.numerics.refine.classes.averages import class_shells
from cryosnake.numerics.refine.classes.ranking import Ranking
from cryosnake.numerics.refine.grids.grids import PlaneGrid
from cryosnake.programs.refinement.recipe import Model
from cryosnake.programs.refinement.state import Statistics


@dataclass(frozen=True)
class Validation:
    """Results of `validate`.

    Attributes
    ----------
    ranking : Ranking
    accuracy : (classes, 2) float64
        Degrees and pixels.
    membership : (n,) float64
        Probability that each picture is a particle, see `classes/membership`.
    radius : float
        Extent of the particle from its centre, pixels.
    """

    ranking: Ranking
    accuracy: np.ndarray
    membership: np.ndarray
    radius: float


@dataclass(frozen=True, kw_only=True)
class Classification(Model):
    """Class averages, assignments and statistics after an iteration."""

    statistics: Statistics
    averages: np.ndarray  # (classes, box, box), masked
    ssnr: np.ndarray  # (classes, shells)
    size: int
    weight: np.ndarray  # (classes, shells)
    rows: np.ndarray  # particles of the update
    update: int = 0  # number of batches so far
    sums: np.ndarray | None = None  # of all batches
    change: tuple[float, float, float] = (999.0, 999.0, 1.0)  # degrees, pixels, fraction of classes
    perturbation: float = 0.0
    unmasked: np.ndarray = field(default_factory=lambda: np.zeros(0))
    validation: Validation | None = None  # of the last iteration


def class_resolutions(model: Classification, length: float) -> np.ndarray:
    """Return the resolution (classes,) in Å: of half averages where these were made, after the last iteration."""
    shells = class_shells(model.ssnr) if model.validation is None else model.validation.ranking.shells
    return length / shells


def plane_grid(options: Class2DOptions, perturbation: float) -> PlaneGrid:
    """Return the in-plane orientations of all classes."""
    return PlaneGrid(options.classes, max(1, int(np.ceil(360.0 / (2.0 * options.psi_step)))), perturbation)
