"""Cost of an expectation step: numbers of samples, operations and bytes, counted before it starts."""

from __future__ import annotations

import math
from dataclasses import dataclass

from cryosnake.numerics.refine.grids.bands import full_band
from cryosnake.numerics.refine.kernels.budget import bytes_of_particle

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


def _cells(load: Workload) -> int:
    """Return the voxels (or pixels) of one class's padded half transform."""
    side = 2 * (2 * (load.size // 2) + 2) + 1
    return side ** (load.dimensions - 1) * (side // 2 + 1)


def reference_bytes(load: Workload) -> int:
    """Return the bytes of the classes' transforms, complex64."""
    return 8 * load.classes * _cells(load)


def sums_bytes(load: Workload, threads: int) -> int:
    """Return the bytes of the back-projections: real part, imaginary part and weight for each thread that has its own.

    >>> one = Workload(particles=1, box=16, classes=1, size=16, coarse_size=16, orientations=1, shifts=1, children=1,
    ...                sub=1)
    >>> sums_bytes(one, 2) // sums_bytes(one, 1)
    2
    """
    return 12 * load.classes * threads * _cells(load)


def slices_bytes(load: Workload) -> int:
    """Return the bytes of the slices that the search keeps: real part, imaginary part and power."""
    return 12 * load.orientations * load.coarse_pixels


def block_bytes(load: Workload, block: int) -> int:
    """Return the bytes of this many particles in work, with the scores of 16 of them in the search."""
    return block * bytes_of_particle(load.box) + 16 * 4 * load.shifts * load.orientations


def sample_bytes(load: Workload, block: int, slices: int) -> int:
    """Return the bytes of the significant samples of a block: their scores twice, their slices and the sums of these.

    `slices` are the bytes that the slices of one chunk of orientations may take.
    """
    samples = min(block * load.samples, 1 << 20)
    orientations = min(samples, load.orientations or samples)
    rows = int(orientations * load.children)
    return int(8 * samples * load.children * load.sub + min(20 * rows * load.pixels, 2.5 * slices))


def maximisation_bytes(load: Workload) -> int:
    """Return the bytes of making one map from its sums, besides these: a padded volume, its transform, shells."""
    padded = (2 * load.box) ** load.dimensions
    return 40 * _cells(load) + 12 * padded
