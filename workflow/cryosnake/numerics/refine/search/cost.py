"""Cost of an expectation step: numbers of samples, operations and bytes, counted before it starts."""

from __future__ import annotations

import math
from dataclasses import dataclass

from cryosnake.numerics.banded_fft import SLABS
from cryosnake.numerics.refine.grids.bands import full_band
from cryosnake.numerics.refine.kernels.budget import Budget, bytes_of_particle
from cryosnake.numerics.refine.kernels.dispatch import BYTES_OF_SCORE, BYTES_OF_SEARCHED, SEARCHED_AT_LEAST

_NEARBY = 20_000  # orientations and shifts of a local search
_FIRST_SAMPLES = 200.0  # significant coarse samples when nothing is known yet


@dataclass(frozen=True, kw_only=True)
class Workload:
    """An expectation step.

    Attributes
    ----------
    particles, box, classes : int
    size, coarse_size : int
        Fourier pixels of the scores that count, and of the search before.
    orientations, shifts : int
        Of the search over everything, those of all classes.
    children, sub : int
        Oversampled orientations and shifts of each of these.
    dimensions : int
        3 for maps, 2 for class averages.
    samples : float
        Orientations and shifts of the search that are significant, per particle.
    """

    particles: int
    box: int
    classes: int
    size: int
    coarse_size: int
    orientations: int
    shifts: int
    children: int
    sub: int
    dimensions: int = 3
    samples: float = _FIRST_SAMPLES

    @property
    def pixels(self) -> int:
        """Fourier pixels of an image."""
        return full_band(self.box).count(self.size)

    @property
    def coarse_pixels(self) -> int:
        """Fourier pixels of the search."""
        return full_band(self.box).count(self.coarse_size)


def search_operations(load: Workload) -> float:
    """Return the multiplications and additions of the search: products of all shifted images with all slices.

    Real and imaginary parts of the image with those of the slice, and the squared CTF with the slice's power.
    """
    return 2.0 * load.particles * load.orientations * load.coarse_pixels * (2 * load.shifts + 1)


def sample_operations(load: Workload) -> float:
    """Return the operations on the significant samples: their scores, and half as many again for the sums."""
    fine = load.particles * load.samples * load.children
    return 1.5 * fine * load.pixels * (4 * load.sub + 5)


def preparation_operations(load: Workload) -> float:
    """Return the operations of two Fourier transforms of each image."""
    return 2 * load.particles * 2.5 * load.box**2 * 2 * math.log2(load.box)


def cells(load: Workload) -> int:
    """Return the voxels (or pixels) of one class's padded half transform."""
    side = 2 * (2 * (load.size // 2) + 2) + 1
    return side ** (load.dimensions - 1) * (side // 2 + 1)


def reference_bytes(load: Workload) -> int:
    """Return the bytes of the classes' transforms, complex64."""
    return 8 * load.classes * cells(load)


def sums_bytes(load: Workload, threads: int) -> int:
    """Return the bytes of the back-projections: real part, imaginary part and weight for each thread that has its own.

    >>> one = Workload(particles=1, box=16, classes=1, size=16, coarse_size=16, orientations=1, shifts=1, children=1,
    ...                sub=1)
    >>> sums_bytes(one, 2) // sums_bytes(one, 1)
    2
    """
    return 12 * load.classes * threads * cells(load)


def slices_bytes(load: Workload) -> int:
    """Return the bytes of the slices that the search keeps: real part, imaginary part and power."""
    return 12 * load.orientations * load.coarse_pixels


def search_bytes(load: Workload, block: int, workers: int, given: Budget) -> int:
    """Return the most bytes that the search takes with a budget: `block` particles of each worker, samples, slices."""
    each = load.orientations * load.shifts
    images = workers * min(block, -(-load.particles // workers)) * bytes_of_particle(load.box)
    scores = min(given.block, load.particles * each * BYTES_OF_SCORE)
    searched = min(max(given.block, workers * SEARCHED_AT_LEAST * BYTES_OF_SEARCHED),
                   load.particles * max(each, _NEARBY) * BYTES_OF_SEARCHED)
    dense = min(given.dense, 12 * load.orientations * load.pixels * (1 + 2 * workers))
    return slices_bytes(load) + images + scores + searched + 3 * given.slices + dense


def maximisation_bytes(load: Workload, copied: bool) -> int:
    """Return the bytes of making one map, or all class averages, from sums, besides these and the maps.

    Coefficients and their transform along one axis, then along two: 15 bytes of a voxel; 12 where the sums are copied.
    """
    if load.dimensions < 3:
        return 100 * load.classes * load.box**2
    return (27 if copied else 15) * cells(load) + min(SLABS, 16 * cells(load))
