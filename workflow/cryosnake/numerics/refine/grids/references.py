"""References as sources of slices and sinks of back-projections: maps (3D), or class averages (2D)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numba as nb
import numpy as np

from cryosnake.numerics.backend import Array, fft_of, is_gpu, namespace
from cryosnake.numerics.projection import band_limited_transform, central_slices, crop_centred
from cryosnake.numerics.refine.grids.bands import Band
from cryosnake.numerics.refine.grids.grids import PlaneGrid, SphereGrid
from cryosnake.numerics.refine.sums.insertion import insert_slices
from cryosnake.numerics.refine.sums.reconstruction import radii

Slices = tuple[Array, Array]


class Reference(Protocol):
    """What the expectation step needs of a reference."""

    @property
    def grid(self) -> SphereGrid | PlaneGrid:
        """The orientations to be searched."""

    @property
    def transforms(self) -> Array:
        """The transforms that are sliced; everything is computed where they are, in host memory or on a GPU."""

    def coarse(self, numbers: Array, band: Band) -> Slices:
        """Return real and imaginary parts (n, pixels) of the slices at coarse orientations."""

    def fine(self, numbers: Array, band: Band) -> Slices:
        """Return the slices at the oversampled orientations, (n · children, pixels)."""

    def insert(self, sums: Array, numbers: Array, rows: Array, slices: Slices, weight: Array,
               band: Band) -> None:
        """Back-project `rows` of slices (n · children, pixels) into sums (threads, …)."""


@dataclass(frozen=True)
class MapReference:
    """One or several maps: centred band-limited transforms in RELION's scale, see `map_reference`."""

    transforms: Array  # (classes, 2m + 1, 2m + 1, m + 1) complex64
    grid: SphereGrid

    def coarse(self, numbers: Array, band: Band) -> Slices:
        """See `Reference`."""
        numbers = namespace(self.transforms).asarray(numbers)
        return self._slices(self.grid.class_of(numbers), self.grid.matrices(numbers), band)

    def fine(self, numbers: Array, band: Band) -> Slices:
        """See `Reference`."""
        xp = namespace(self.transforms)
        numbers = xp.asarray(numbers)
        classes = xp.repeat(self.grid.class_of(numbers), self.grid.children)
        return self._slices(classes, self.grid.child_matrices(numbers).reshape(-1, 3, 3), band)

    def _slices(self, classes: Array, matrices: Array, band: Band) -> Slices:
        xp, (kx, ky) = namespace(self.transforms), band.frequencies(self.transforms)
        if len(self.transforms) == 1:
            return central_slices(self.transforms[0], matrices, kx, ky)
        real = xp.empty((len(matrices), band.kx.size), xp.float32)
        imaginary = xp.empty_like(real)
        for number in range(len(self.transforms)):
            rows = xp.flatnonzero(classes == number)
            if rows.size:
                real[rows], imaginary[rows] = central_slices(self.transforms[number], matrices[rows], kx, ky)
        return real, imaginary

    def insert(self, sums: Array, numbers: Array, rows: Array, slices: Slices, weight: Array,
               band: Band) -> None:
        """See `Reference`; sums are (threads, classes, 2m + 1, 2m + 1, m + 1, 3)."""
        xp, (kx, ky) = namespace(sums), band.frequencies(sums)
        matrices = self.grid.child_matrices(numbers).reshape(-1, 3, 3)[rows]
        classes = xp.repeat(self.grid.class_of(numbers), self.grid.children)[rows]
        for number in range(sums.shape[1]):
            mine = classes == number
            own = rows[mine]
            if own.size:
                insert_slices(sums[:, number], matrices[mine], kx, ky, slices, weight, own)


def map_reference(volumes: Array, size: int, grid: SphereGrid) -> MapReference:
    """Return the reference of maps (classes, box, box, box) for images of `size` ≤ box Fourier pixels."""
    reach, scale = 2 * (size // 2) + 2, np.float32(volumes.shape[-1] ** 2)
    shape = len(volumes), 2 * reach + 1, 2 * reach + 1, reach + 1
    transforms = namespace(volumes).zeros(shape, np.complex64)
    for result, volume in zip(transforms, volumes, strict=True):
        band_limited_transform(volume, size // 2, out=result)
        result /= scale
    return MapReference(transforms, grid)


def limited(transforms: Array, shell: int) -> Array:
    """Return transforms (classes, …) of maps or averages set to 0 beyond a shell.

    With such references the expectation step ignores what lies beyond: products are 0 there. Back-projections are not
    cut.
    """
    inside = radii(transforms.shape[1:]) <= shell + 0.5
    return transforms * namespace(transforms).asarray(inside.astype(np.float32))


@dataclass(frozen=True)
class ClassReferences:
    """Class averages: centred band-limited transforms (classes, 2m + 1, m + 1), see `class_references`."""

    transforms: Array
    grid: PlaneGrid

    def coarse(self, numbers: Array, band: Band) -> Slices:
        """See `Reference`."""
        numbers = namespace(self.transforms).asarray(numbers)
        return self._slices(self.grid.direction_of(numbers), self.grid.angles(numbers), band)

    def fine(self, numbers: Array, band: Band) -> Slices:
        """See `Reference`."""
        xp = namespace(self.transforms)
        numbers = xp.asarray(numbers)
        classes = xp.repeat(self.grid.direction_of(numbers), self.grid.children)
        return self._slices(classes, self.grid.child_angles(numbers).ravel(), band)

    def at(self, classes: np.ndarray, psi: np.ndarray, band: Band) -> Array:
        """Return the slices, complex64 (n, pixels), of classes (n,) rotated by psi (n,) degrees."""
        real, imaginary = self._slices(classes, psi, band)
        return real + np.complex64(1j) * imaginary

    def _slices(self, classes: Array, psi: Array, band: Band) -> Slices:
        xp, (kx, ky) = namespace(self.transforms), band.frequencies(self.transforms)
        real = xp.empty((len(psi), band.kx.size), xp.float32)
        imaginary = xp.empty_like(real)
        kernel = _lines
        if is_gpu(self.transforms):
            from cryosnake.numerics.refine.kernels.cuda.slices import lines as kernel
        kernel(self.transforms, classes, xp.radians(psi), kx, ky, 2, real, imaginary)
        return real, imaginary

    def insert(self, sums: Array, numbers: Array, rows: Array, slices: Slices, weight: Array,
               band: Band) -> None:
        """See `Reference`."""
        xp, (kx, ky) = namespace(sums), band.frequencies(sums)
        classes = xp.repeat(self.grid.direction_of(numbers), self.grid.children)[rows]
        psi = xp.radians(self.grid.child_angles(numbers).ravel()[rows])
        kernel = _insert_lines
        if is_gpu(sums):
            from cryosnake.numerics.refine.kernels.cuda.insert import insert_lines as kernel
        kernel(sums, classes, psi, kx, ky, 2, slices[0][rows], slices[1][rows], weight[rows])


def class_references(averages: Array, size: int, grid: PlaneGrid) -> ClassReferences:
    """Return the references of class averages (classes, box, box) for images of `size` ≤ box Fourier pixels."""
    xp, fft, box = namespace(averages), fft_of(averages), averages.shape[1]
    padded_size = 2 * box
    kernel = xp.sinc((xp.arange(box) - box // 2) / padded_size) ** 2
    padded = xp.zeros((len(averages), padded_size, padded_size), xp.float32)
    start = padded_size // 2 - box // 2
    padded[:, start : start + box, start : start + box] = averages / (kernel[:, None] * kernel * box * box)
    transforms = fft.rfft2(fft.ifftshift(padded, axes=(1, 2)))
    centred = fft.fftshift(transforms, axes=1).astype(xp.complex64)
    return ClassReferences(xp.stack([crop_centred(t, 2 * (size // 2) + 2) for t in centred]), grid)


@nb.njit(parallel=True, fastmath=True, nogil=True, cache=True)
def _lines(transforms, classes, psi, kx, ky, padding, real, imaginary):  # type: ignore[no-untyped-def]
    centre = transforms.shape[1] // 2
    for j in nb.prange(psi.size):
        plane = transforms[classes[j]]
        c, s = math.cos(psi[j]), math.sin(psi[j])
        for p in range(kx.size):
            x = (c * kx[p] - s * ky[p]) * padding
            y = (s * kx[p] + c * ky[p]) * padding
            sign = np.float32(1.0)
            if x < 0:
                x, y, sign = -x, -y, np.float32(-1.0)
            x0, y0 = int(x), math.floor(y)
            fx, fy = np.float32(x - x0), np.float32(y - y0)
            k = y0 + centre
            value = (plane[k, x0] * (1 - fx) + plane[k, x0 + 1] * fx) * (1 - fy) + (
                plane[k + 1, x0] * (1 - fx) + plane[k + 1, x0 + 1] * fx) * fy
            real[j, p] = value.real
            imaginary[j, p] = value.imag * sign


@nb.njit(parallel=True, fastmath=True, nogil=True, cache=True)
def _insert_lines(sums, classes, psi, kx, ky, padding, real, imaginary, weight):  # type: ignore[no-untyped-def]
    threads, centre, n = sums.shape[0], sums.shape[2] // 2, psi.size
    for thread in nb.prange(threads):
        for j in range(thread * n // threads, (thread + 1) * n // threads):
            plane = sums[thread, classes[j]]
            c, s = math.cos(psi[j]), math.sin(psi[j])
            for p in range(kx.size):
                x = (c * kx[p] - s * ky[p]) * padding
                y = (s * kx[p] + c * ky[p]) * padding
                re, im, w = real[j, p], imaginary[j, p], weight[j, p]
                if x < 0:
                    x, y, im = -x, -y, -im
                x0, y0 = int(x), math.floor(y)
                fx, fy = np.float32(x - x0), np.float32(y - y0)
                for e in range(2):
                    for f in range(2):
                        g = (fy if e else 1 - fy) * (fx if f else 1 - fx)
                        cell = plane[y0 + centre + e, x0 + f]
                        cell[0] += g * re
                        cell[1] += g * im
                        cell[2] += g * w


def insert_planes(sums: np.ndarray, classes: np.ndarray, psi: np.ndarray, band: Band, data: np.ndarray,
                  weight: np.ndarray) -> None:
    """Add images (n, pixels) complex64 at psi (n,) degrees, with weights, to sums (threads, classes, …), in place."""
    _insert_lines(sums, classes, np.radians(psi), band.kx, band.ky, 2, np.ascontiguousarray(data.real),
                  np.ascontiguousarray(data.imag), weight)
