"""The soft sphere in which a local FSC is measured, and its sums from a few Fourier coefficients.

The weighted sum of a map over a window about x is a convolution, so its transform extends only as far as the window's:
a handful of coefficients per axis. They are computed by matrix products with cosines and sines, ten times cheaper
than a whole FFT, and give the sums at any points of the box.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from cryosnake.numerics.backend import Array, fft_of, namespace

NEGLIGIBLE = 2e-3  # of the window's sum: coefficients below this are left out


@dataclass(frozen=True)
class Window:
    """A sphere of weight 1 with a raised-cosine edge outside, both in Å: RELION's --locres_maskrad and _edgwidth."""

    radius: float
    edge: float

    @property
    def diameter(self) -> float:
        """Diameter at which the weight is ½, in Å."""
        return 2.0 * self.radius + self.edge

    def weight(self, distance: np.ndarray) -> np.ndarray:
        """Return the weight at these distances (Å) from the centre."""
        if self.edge <= 0:
            return (distance <= self.radius).astype(np.float64)
        return 0.5 + 0.5 * np.cos(np.pi * np.clip((distance - self.radius) / self.edge, 0.0, 1.0))

    def power_transform(self, frequency: np.ndarray) -> np.ndarray:
        """Return the transform of weight² at frequencies (n,) in Å⁻¹, 1 at 0: ∫ 4π r² w² sinc(2 k r) dr."""
        distance = np.linspace(0.0, self.radius + self.edge, 257)[1:]
        shell = distance**2 * self.weight(distance) ** 2
        return np.sinc(2.0 * np.outer(frequency, distance)) @ shell / shell.sum()


@dataclass(frozen=True)
class WindowSums:
    """Sums of volumes over the window about each point of a cubic grid of `points` per axis.

    `power` (2 order + 1,) * 3 is the window's transform at the products of cosines and sines up to `order` periods
    per box, which `basis` tabulates. Grid point i of an axis is at i / points of the box's length. `blending` is
    the half transform of the window itself (not squared) on that grid.
    """

    order: int
    power: Array
    points: int
    blending: Array

    @staticmethod
    def plan(window: Window, box_size: float, spacing: float, like: Array) -> WindowSums:
        """Return the sums for a box of `box_size` Å on a grid of at most `spacing` Å, on the device of `like`."""
        xp = namespace(like)
        fine = np.arange(0.0, 8.0 * box_size / window.diameter, 0.125)
        transform = window.power_transform(fine / box_size)
        order = max(1, math.ceil(fine[np.abs(transform) > NEGLIGIBLE].max()))
        axis = _periods(order) ** 2
        periods = np.sqrt(axis[:, None, None] + axis[None, :, None] + axis[None, None, :])
        # A coefficient of the basis function f is ⟨q, f⟩ / ⟨f, f⟩; ⟨f, f⟩ is ½ for each cosine or sine.
        norm = np.where(axis > 0, 2.0, 1.0)
        power = np.interp(periods, fine, transform) * (periods <= order)
        power *= norm[:, None, None] * norm[None, :, None] * norm[None, None, :]
        points = max(4, math.ceil(box_size / spacing))
        return WindowSums(order, xp.asarray(power.astype(np.float32)), points,
                          xp.asarray(_blending(window, box_size, points)))

    def basis(self, points: int) -> Array:
        """Return the basis functions (points, 2 order + 1) float32 at points i / points of the box."""
        xp = namespace(self.power)
        periods = _periods(self.order)
        phase = 2.0 * np.pi * np.arange(points)[:, None] / points * periods[None, :]
        table = np.where(np.arange(periods.size) <= self.order, np.cos(phase), np.sin(phase))
        return xp.asarray(table.astype(np.float32))

    def blend(self, grid: Array) -> Array:
        """Return at each grid point the mean over all windows that cover it, weighted by the window."""
        fft = fft_of(grid)
        return fft.irfftn(fft.rfftn(grid) * self.blending, s=grid.shape)

    def of_product(self, first: Array, second: Array, table: Array) -> Array:
        """Return the window sums (points,) * 3, divided by the window's own, of `first` · `second`.

        Both are (n, n, n) with voxel 0 at the box's corner; `table` is `basis(n)`. The product is never stored whole.
        """
        xp = namespace(first)
        count = first.shape[0]
        planes = max(1, (1 << 17) // count**2) if xp is np else count  # half a megabyte: it stays in the cache
        columns = [_plane_coefficients(first[z : z + planes] * second[z : z + planes], table)
                   for z in range(0, count, planes)]
        functions = table.shape[1]
        coefficients = xp.matmul(table.T, xp.concatenate(columns).reshape(count, -1)).reshape((functions,) * 3)
        coefficients = coefficients * self.power / count**3
        out = self.basis(self.points)
        for _ in range(3):  # each axis in turn moves to the end; after three turns the order is restored
            coefficients = xp.tensordot(coefficients, out, axes=((0,), (1,)))
        return coefficients


def _blending(window: Window, box_size: float, points: int) -> np.ndarray:
    away = np.minimum(np.arange(points), points - np.arange(points)) * (box_size / points)
    squared = away**2
    weight = window.weight(np.sqrt(squared[:, None, None] + squared[None, :, None] + squared[None, None, :]))
    return np.fft.rfftn(weight / weight.sum())


def _periods(order: int) -> np.ndarray:
    """Return the number of periods of each basis function: 0, cosines 1 … order, sines 1 … order."""
    return np.concatenate([np.arange(order + 1), np.arange(1, order + 1)]).astype(np.float64)


def _plane_coefficients(planes: Array, table: Array) -> Array:
    """Return ⟨plane, f_y f_x⟩ (planes, basis, basis) of planes (planes, n, n)."""
    xp = namespace(planes)
    return xp.matmul(table.T[None], xp.matmul(planes, table))
