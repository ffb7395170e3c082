"""State of a refinement between iterations: assignments of the particles, statistics of a half set."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from cryosnake.numerics.euler import angular_distance
from cryosnake.numerics.refine.grids.bands import full_band
from cryosnake.numerics.refine.grids.images import fourier_pixels, shell_power, shift_images
from cryosnake.numerics.symmetry import nearest_mate
from cryosnake.programs.refinement.execution import Execution
from cryosnake.programs.refinement.particles import ParticleSet

LEAST_NOISE = 1e-4  # of that of the noisiest shell
_FIRST_OFFSET_SIGMA = 10.0  # Å, before it is estimated


@dataclass(frozen=True, kw_only=True)
class Assignments:
    """Per particle, all (n, …).

    Attributes
    ----------
    pose : (n, 3, 3) float64
        Rotation matrices; in 2D rotations in the plane.
    offset : (n, 2) float64
        Shift that centres the particle, pixels.
    class_index : (n,) int64
        Class, counted from 0.
    norm : (n,) float64
        Intensity: the residual's standard deviation.
    top_weight, log_likelihood : (n,) float64
    significant : (n,) int64
    """

    pose: np.ndarray
    offset: np.ndarray
    class_index: np.ndarray
    norm: np.ndarray
    top_weight: np.ndarray
    log_likelihood: np.ndarray
    significant: np.ndarray

    def of(self, rows: np.ndarray) -> Assignments:
        """Return a copy with some of the particles."""
        return Assignments(**{name: values[rows] for name, values in vars(self).items()})

    def updated(self, found: Iterable[tuple[np.ndarray, Assignments]]) -> Assignments:
        """Return a copy with new results for some of the particles, given by their rows."""
        copies = {name: values.copy() for name, values in vars(self).items()}
        for rows, part in found:
            for name, values in vars(part).items():
                copies[name][rows] = values
        return Assignments(**copies)

    def changes_to(self, after: Assignments, symmetry: str = "C1") -> tuple[float, float, float]:
        """Return mean changes: orientation (degrees), shift (root mean square, pixels), fraction that changed class."""
        angle = angular_distance(nearest_mate(self.pose, after.pose, symmetry), after.pose).mean()
        shift = np.sqrt(0.5 * ((self.offset - after.offset) ** 2).sum(1).mean())
        return float(angle), float(shift), float((self.class_index != after.class_index).mean())


def first_assignments(particles: ParticleSet) -> Assignments:
    """Return the assignments of the STAR file; offsets of 0 and norms of 1 where it has none."""
    n = len(particles)
    return Assignments(pose=particles.poses(), offset=particles.offsets(), class_index=np.zeros(n, np.int64),
                       norm=np.ones(n), top_weight=np.zeros(n), log_likelihood=np.zeros(n),
                       significant=np.ones(n, np.int64))


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """Estimates over the particles of one half set.

    Attributes
    ----------
    noise : (optics groups, shells) float64
        E|n|² of the Fourier pixels of the masked images: twice RELION's σ².
    scale : (groups,) float64
        Intensity of each micrograph.
    norm_average : float
    offset_sigma : float
        Of each component, pixels.
    direction : (directions or classes,) float64
        Prior probability, sum 1.
    """

    noise: np.ndarray
    scale: np.ndarray
    norm_average: float
    offset_sigma: float
    direction: np.ndarray


def first_statistics(work: Execution, rows: np.ndarray, offsets: np.ndarray, mask: np.ndarray, directions: int,
                     most: int = 1000) -> Statistics:
    """Return statistics before the first iteration; noise = mean power − power of the mean of the masked images.

    The power of the mean image is the signal that particles share at low resolution, not noise.
    """
    particles, band = work.particles, full_band(work.particles.box)
    shells = int(band.shell[-1]) + 1
    pixels = np.bincount(band.shell)
    noise = np.zeros((len(particles.tables["optics"]), shells))
    for group in np.unique(particles.optics[rows]):
        mine = rows[particles.optics[rows] == group][:most]
        mean, power = np.zeros(band.kx.size, np.complex128), np.zeros(shells)
        at_once = work.block or 256
        for begin in range(0, len(mine), at_once):
            block = mine[begin : begin + at_once]
            moved = shift_images(work.images(block), np.rint(offsets[block]))
            transforms = fourier_pixels(moved * mask, band)
            mean += transforms.sum(0)
            power += shell_power(transforms, band).sum(0)
        common = shell_power((mean / len(mine))[None, :], band)[0] if len(mine) > 1 else 0.0
        noise[group] = np.maximum(power / len(mine) - common, 1e-3 * power / len(mine)) / pixels
    noise = np.maximum(noise, LEAST_NOISE * noise.max(1, keepdims=True))  # beyond what coarser images show
    noise[noise.sum(1) == 0] = noise.max(0)  # optics groups without particles in this half
    return Statistics(noise=noise, scale=np.ones(len(particles.group_names)), norm_average=1.0,
                      offset_sigma=_FIRST_OFFSET_SIGMA / particles.pixel_size,
                      direction=np.full(directions, 1.0 / directions))
