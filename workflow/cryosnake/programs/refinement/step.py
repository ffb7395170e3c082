"""Inputs and outputs of an expectation step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from cryosnake.numerics.backend import Array, is_gpu, namespace
from cryosnake.numerics.refine.grids.bands import Band, full_band
from cryosnake.numerics.refine.grids.grids import ShiftGrid
from cryosnake.numerics.refine.grids.references import MapReference, Reference
from cryosnake.numerics.refine.kernels.budget import budget
from cryosnake.numerics.refine.kernels.dispatch import parts_of_sums
from cryosnake.numerics.refine.sums.insertion import empty_sums
from cryosnake.programs.refinement.execution import Execution
from cryosnake.programs.refinement.particles import ParticleSet
from cryosnake.programs.refinement.state import Assignments, Statistics

Report = Callable[[int], None]  # is called with the number of particles done; may raise to stop


@dataclass(frozen=True, kw_only=True)
class SearchPlan:
    """The search of an iteration.

    Attributes
    ----------
    size, coarse_size : int
        Fourier pixels of the fine and the coarse pass.
    shifts : ShiftGrid
    sigma : float
        Standard deviation of local angular searches, degrees; 0 searches everywhere.
    use_ctf, intact_first_peak, zero_mask : bool
    mask : (box, box) float32
        Soft disc about the particle.
    signal : (shells,) bool
        Shells with enough signal to estimate intensities from.
    seed : int
        For the noise outside the mask, when it is not set to 0.
    diameter : float
        Å, the particle's: the resolution of the levels of a search in 3D follows from it.
    tf32 : bool
        Let a GPU round the operands of the global coarse search to TF32.
    """

    size: int
    coarse_size: int
    shifts: ShiftGrid
    sigma: float = 0.0
    use_ctf: bool
    intact_first_peak: bool
    zero_mask: bool
    mask: np.ndarray
    signal: np.ndarray
    seed: int = 0
    diameter: float = 0.0
    tf32: bool = True


@dataclass(frozen=True, kw_only=True)
class ExpectationStep:
    """An expectation step over some particles of a set.

    Attributes
    ----------
    work : Execution
    rows : (n,) int64
        The particles.
    assignments : Assignments
        Of all particles of the set, before the step.
    statistics : Statistics
    reference : Reference
    plan : SearchPlan
    log_prior : (orientations,) float32
        Prior of global searches.
    report : callable
        Is called with the number of particles done after each block; may raise to stop.
    """

    work: Execution
    rows: np.ndarray
    assignments: Assignments
    statistics: Statistics
    reference: Reference
    plan: SearchPlan
    log_prior: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    report: Report = lambda done: None

    @property
    def particles(self) -> ParticleSet:
        """The set of the particles."""
        return self.work.particles

    @cached_property
    def band(self) -> Band:
        """The Fourier pixels of the fine pass."""
        return full_band(self.particles.box).cut(self.plan.size)

    def empty_sums(self) -> Array:
        """Return zeros (threads, …) for the back-projections, where the reference is."""
        transforms, radius = self.reference.transforms, self.plan.size // 2
        if isinstance(self.reference, MapReference):
            return map_sums(len(transforms), radius, transforms)
        return thread_sums(empty_sums(radius, (len(transforms),), dimensions=2).shape, transforms)


@dataclass(kw_only=True)
class Accumulated:
    """Sums over the particles of an expectation step, and the results for each of them.

    Attributes
    ----------
    sums : (threads, …) float32
        Back-projections; on the GPU when they were made there.
    noise : (optics groups, shells) float64
        Summed residual power.
    counts : (optics groups,) int64
        Their numbers of particles.
    offset_power : float
        Summed expectation of the squared whole shift, pixels².
    direction : (directions or classes,) float64
    cross, power : (n,) float64
        Per particle, over the shells with signal: see `maximisation.group_scales`.
    residual : (n,) float64
        Per particle, summed residual power of the half plane.
    assigned : Assignments
        Of these particles, after the step.
    """

    sums: Array
    noise: np.ndarray
    counts: np.ndarray
    offset_power: float = 0.0
    direction: np.ndarray
    cross: np.ndarray
    power: np.ndarray
    residual: np.ndarray
    assigned: Assignments

    def take_sums(self) -> Array:
        """Return the sums, which are no longer kept here: nothing is larger."""
        sums, self.sums = self.sums, np.zeros(0, np.float32)
        return sums

    def add_fit(self, step: ExpectationStep, where: np.ndarray | slice, images: tuple[np.ndarray, np.ndarray],
                cross: np.ndarray, power: np.ndarray) -> None:
        """Add the residual power of particles after their projections, and the strength of these.

        Parameters
        ----------
        where
            The places of the particles among those of the step.
        images : (n, all shells) each
            Power of the images, and of the noise.
        cross, power : (n, shells)
            Of images with projections, and of projections, over the noise; in the band.
        """
        shells, signal = cross.shape[1], step.plan.signal
        residual = images[0].copy()
        residual[:, :shells] += images[1][:, :shells] * (power - 2.0 * cross)
        residual = np.maximum(residual, 0.0)
        np.add.at(self.noise, step.particles.optics[step.rows[where]], residual)
        self.residual[where] = residual.sum(1)
        self.cross[where] = cross[:, signal[:shells]].sum(1)
        self.power[where] = power[:, signal[:shells]].sum(1)


def empty_accumulated(step: ExpectationStep, sums: Array, assigned: Assignments | None = None) -> Accumulated:
    """Return the empty accumulators; `assigned`, if given, is that of another share."""
    zeros, noise = np.zeros(len(step.rows)), step.statistics.noise
    counts = np.bincount(step.particles.optics[step.rows], minlength=len(noise))
    return Accumulated(sums=sums, noise=np.zeros_like(noise), counts=counts, cross=zeros, power=zeros.copy(),
                       residual=zeros.copy(), direction=np.zeros_like(step.statistics.direction),
                       assigned=step.assignments.of(step.rows) if assigned is None else assigned)


def thread_sums(shape: tuple[int, ...], like: Array) -> Array:
    """Return an array of zeros per thread; for a GPU, if `like` is there, a single one with four numbers per voxel."""
    components = 4 if is_gpu(like) else 3
    return namespace(like).zeros((parts_of_sums(like), *shape[:-1], components), np.float32)


def map_sums(classes: int, radius: int, like: Array) -> Array:
    """Return zeros for the sums of maps: a volume per thread, or one shared by the threads where that is too much.

    In memory the class comes first, so that the volumes of one class, which a kernel takes, are contiguous.
    """
    one = empty_sums(radius)
    if is_gpu(like):
        return thread_sums((classes, *one.shape), like)
    threads = own_volumes(classes * one.nbytes, parts_of_sums(like))
    return np.zeros((classes, threads, *one.shape), np.float32).swapaxes(0, 1)


def own_volumes(size: int, threads: int) -> int:
    """Return the number of volumes of `size` bytes: one for each thread, or one that all share."""
    return threads if size * threads <= budget().sums else 1
