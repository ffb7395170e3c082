"""The state of a gold-standard refinement, and the resolution of its two half maps."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from cryosnake.jobs.options import Refine3DOptions
from cryosnake.numerics.fsc import last_shell_above, last_shell_past_dips, resolution_at
from cryosnake.numerics.refine.grids.grids import SphereGrid, sphere_grid
from cryosnake.numerics.refine.search.schedule import Convergence, Sampling
from cryosnake.programs.refinement.recipe import Model
from cryosnake.programs.refinement.state import Statistics

_FIRST_GROWTH = 10  # shells that the images reach beyond the map's resolution, at least


@dataclass(frozen=True, kw_only=True)
class Refinement(Model):
    """The two half-set models, the assignments and the schedule."""

    half: np.ndarray  # (n,) 1 or 2
    statistics: list[Statistics]
    volumes: list[np.ndarray]
    sampling: Sampling
    convergence: Convergence
    size: int
    fsc: np.ndarray
    ssnr: np.ndarray
    weight: list[np.ndarray]
    accuracy: tuple[float, float] = (999.0, 999.0)  # degrees, pixels
    change: tuple[float, float, float] = (999.0, 999.0, 0.0)  # degrees, pixels, fraction of classes
    perturbation: float = 0.0
    last: bool = False  # with all data, to the Nyquist frequency
    unfiltered: list[np.ndarray] = field(default_factory=list)  # half maps
    joined: np.ndarray | None = None  # the map of all particles


def grid_of(options: Refine3DOptions, sampling: Sampling, perturbation: float = 0.0) -> SphereGrid:
    """Return the orientations: an asymmetric unit, or the whole sphere for local searches."""
    return sphere_grid(sampling.order, options.symmetry, perturbation, whole=sampling.sigma > 0)


def flat_direction(options: Refine3DOptions, sampling: Sampling) -> np.ndarray:
    """Return a uniform prior of directions; local searches have none."""
    count = len(grid_of(options, sampling).pixels) if sampling.sigma == 0 else 1
    return np.full(count, 1.0 / count)


def resolution_shell(ssnr: np.ndarray) -> int:
    """Return the last shell in which the map has more signal than noise (FSC above 0.5)."""
    return max(last_shell_above(ssnr, 1.0), 1)


def resolution_of(model: Refinement, length: float) -> float:
    """Return the resolution in Å at which the FSC falls below 0.143; `length` is the box in Å."""
    return resolution_at(model.fsc, length, 0.143)


def next_size(fsc: np.ndarray, ssnr: np.ndarray, size: int, box: int) -> int:
    """Return the number of Fourier pixels for the next iteration: some shells beyond the resolution.

    A quarter of all shells more where the FSC at the present limit is still above 0.2, else ten, or what lies between
    FSC 0.5 and 0.143 and five more. Signal behind a zero of the CTF counts here, though not in the resolution.
    """
    limit = size // 2
    growth = _FIRST_GROWTH
    if fsc[limit - 1] > 0.2:
        growth = max(growth, round(0.25 * box / 2))
    else:
        low, half = (last_shell_past_dips(fsc[: limit + 1], threshold) for threshold in (0.143, 0.5))
        growth = max(growth, low - half + 5)
    return min(2 * (max(last_shell_past_dips(ssnr, 1.0), 1) + growth), box)
