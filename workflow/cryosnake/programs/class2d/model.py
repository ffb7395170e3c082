"""The state of a 2D classification between iterations."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from cryosnake.numerics.refine.classes.averages import class_shells
from cryosnake.numerics.refine.grids.grids import PlaneGrid
from cryosnake.programs.refinement.particles import Particles
from cryosnake.programs.refinement.state import Assignments, Statistics

FIRST_RESOLUTION = 50.0  # Å, at which the averages of random particles start
_GROWTH = 10  # shells that the images reach beyond the best class


@dataclass(frozen=True)
class Settings2D:
    """What stays the same through a classification; see `jobs/class2d.py` for the options."""

    classes: int
    diameter: float
    tau2_fudge: float
    psi_step: float  # coarse, degrees
    offset_range: float  # pixels
    offset_step: float  # coarse, pixels
    use_ctf: bool
    intact_first_peak: bool
    zero_mask: bool
    highres_limit: float  # Å, of the expectation step; 0 for none
    centre: bool
    seed: int
    iterations: int
    gradient: bool  # mini-batches


@dataclass
class Classification:
    """Class averages, assignments and statistics after an iteration."""

    iteration: int
    state: Assignments
    statistics: Statistics
    averages: np.ndarray  # (classes, box, box), masked
    ssnr: np.ndarray  # (classes, shells)
    size: int
    weight: np.ndarray  # (classes, shells)
    rows: np.ndarray  # particles that the iteration looked at
    sums: np.ndarray | None = None  # of all batches so far
    change: tuple[float, float, float] = (999.0, 999.0, 1.0)  # degrees, pixels, fraction of classes
    perturbation: float = 0.0
    unmasked: np.ndarray = field(default_factory=lambda: np.zeros(0))


def plane_grid(settings: Settings2D, perturbation: float) -> PlaneGrid:
    """Return the in-plane orientations of all classes."""
    return PlaneGrid(settings.classes, max(1, int(np.ceil(360.0 / settings.psi_step))), perturbation)


def best_resolution(particles: Particles, model: Classification) -> float:
    """Return the resolution in Å of the best class."""
    return float(particles.box * particles.pixel_size / class_shells(model.ssnr).max())


def next_size(particles: Particles, ssnr: np.ndarray) -> int:
    """Return the number of Fourier pixels for the next iteration: the best class's and ten shells more."""
    return min(2 * (int(class_shells(ssnr).max()) + _GROWTH), particles.box)
