"""Scattering density of atoms on a grid, and its exact projections: point atoms in, band-limited arrays out.

Both use a non-uniform FFT: atoms are spread with a Gaussian onto a grid finer than requested and transformed; the
Gaussian is divided out; the transform is cropped to the Nyquist frequency of the requested pixel size and multiplied
by the atoms' shape (Greengard & Lee 2004, SIAM Rev. 46, 443-454). No interpolation, no aliasing; relative error below
1e-3 at Nyquist.

Unit of the density: f(0) in Å per Å³. Times 47.88 V Å² it is the electrostatic potential in volts.
"""

from __future__ import annotations

import math

import numba as nb
import numpy as np
import scipy.fft

from cryosnake.numerics.fsc import sum_over_axes
from cryosnake.simulation.atoms import ICE_DENSITY, WATER_STRENGTH, WATER_VOLUME, Atoms

_HALF_WIDTH = 5  # fine pixels by which the spreading stencil extends to each side
_OVERSAMPLING = 1.5
SHAPE_B_FACTOR = 16.0  # Å²; fall-off of f(k) of carbon to 0.4 at 2 Å, as one Gaussian


def density_from_atoms(atoms: Atoms, box: int, pixel_size: float, b_factor: float = 40.0,
                       solvent: float = 1.0) -> np.ndarray:
    """Return the map (box, box, box) float32, axes z, y, x, of atoms about its voxel box // 2.

    Parameters
    ----------
    atoms : Atoms
        Positions in Å.
    box, pixel_size : int, float
        Grid; atoms beyond it wrap around. The transform is 0 outside the Nyquist sphere, so that maps of two pixel
        sizes agree on all shells that they share.
    b_factor : float
        Å²; disorder common to all atoms, amplitude exp(-B k² / 4).
    solvent : float
        Density of the ice that the atoms displace, as a fraction of vitreous ice; 0 gives the atoms in vacuum.
        Each atom displaces a Gaussian of its own volume (Fraser, MacRae & Suzuki 1978, J. Appl. Cryst. 11, 693).
    """
    fine, width = _fine_grid(box)
    scale = fine / (box * pixel_size)
    transforms = []
    for weights in (atoms.strengths, atoms.volumes):
        grid = np.zeros((fine, fine, fine), np.float32)
        _spread_3d(grid, np.ascontiguousarray(atoms.positions * scale), weights, width)
        transforms.append(_cropped(scipy.fft.rfftn(grid, overwrite_x=True), box, 3))
    correction = _deconvolution(box, fine, width)
    kernel = correction[:, None, None] * correction[None, :, None] * correction[None, None, : box // 2 + 1]
    squared = _frequency_squared(box, pixel_size, 3)
    shapes = _shapes(squared, atoms, b_factor, solvent)
    total = (transforms[0] * shapes[0] + transforms[1] * shapes[1]) * kernel / pixel_size**3
    return np.ascontiguousarray(scipy.fft.fftshift(scipy.fft.irfftn(total, s=(box,) * 3)).astype(np.float32))


def project_atoms(
    atoms: Atoms,
    matrices: np.ndarray,  # (n, 3, 3), rows are the image's axes
    box: int,
    pixel_size: float,  # Å
    b_factor: float = 40.0,  # Å²
    solvent: float = 1.0,
    shifts: np.ndarray | None = None,  # (n, 2) x, y in pixels
) -> np.ndarray:
    """Return transforms (n, box, box // 2 + 1) complex64 of the projections, origin of the image in its corner.

    The projection is the integral of the density along the beam, in f(0) per Å² (Å⁻¹): image x and y are
    `matrices[:, 0] · r` and `matrices[:, 1] · r` by RELION's convention of Euler angles, so that its transform is the
    central slice of `density_from_atoms`. `shifts` move the particle; 0 puts it on pixel (0, 0).
    """
    fine, width = _fine_grid(box)
    scale = fine / (box * pixel_size)
    offsets = np.zeros((len(matrices), 2)) if shifts is None else np.asarray(shifts, np.float64) * (fine / box)
    axes = np.ascontiguousarray(np.asarray(matrices, np.float64)[:, :2] * scale)
    correction = _deconvolution(box, fine, width)
    kernel = correction[:, None] * correction[None, : box // 2 + 1]
    shapes = [shape * kernel / pixel_size**2 for shape in
              _shapes(_frequency_squared(box, pixel_size, 2), atoms, b_factor, solvent)]
    transforms = np.empty((len(matrices), box, box // 2 + 1), np.complex64)
    chunk = max(1, 2**24 // fine**2)
    for start in range(0, len(matrices), chunk):
        part = slice(start, start + chunk)
        grids = np.zeros((2, len(axes[part]), fine, fine), np.float32)
        _spread_2d(grids, atoms.positions, atoms.strengths, atoms.volumes, axes[part], offsets[part], width)
        strengths, volumes = _cropped(scipy.fft.rfft2(grids, overwrite_x=True), box, 2)
        transforms[part] = strengths * shapes[0] + volumes * shapes[1]
    return transforms


def _fine_grid(box: int) -> tuple[int, float]:
    """Return the size of the oversampled grid and the Gaussian's variance parameter 4τ there, in fine pixels²."""
    fine = scipy.fft.next_fast_len(math.ceil(_OVERSAMPLING * box), real=True)
    ratio = fine / box
    # Greengard & Lee, eq. 9: τ = π M_sp / (N² R (R - ½)), here in units of the fine pixel.
    return fine, 4.0 * _HALF_WIDTH * ratio / (4.0 * math.pi * (ratio - 0.5))


def _deconvolution(box: int, fine: int, width: float) -> np.ndarray:
    """Return the reciprocal of the transform of exp(-x² / width) at the frequencies (box,) in fftfreq order."""
    frequency = np.fft.fftfreq(box, 1.0 / box) / fine
    return np.exp((math.pi * frequency) ** 2 * width) / math.sqrt(math.pi * width)


def _frequency_squared(box: int, pixel_size: float, dimensions: int) -> np.ndarray:
    """Return k² in Å⁻² of a half transform."""
    return sum_over_axes([np.fft.fftfreq(box, pixel_size) ** 2] * (dimensions - 1)
                         + [np.fft.rfftfreq(box, pixel_size) ** 2])


def _shapes(squared: np.ndarray, atoms: Atoms, b_factor: float, solvent: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the factors for the transforms of strengths and of volumes, 0 beyond Nyquist."""
    inside = squared <= squared[..., -1].min() * (1.0 + 1e-9)
    disorder = np.exp(-0.25 * b_factor * squared) * inside
    ice = solvent * ICE_DENSITY * WATER_STRENGTH / WATER_VOLUME  # Å per Å³
    volume = float(atoms.volumes.max(initial=1e-9))
    displaced = np.exp(-math.pi * volume ** (2.0 / 3.0) * squared)
    return disorder * np.exp(-0.25 * SHAPE_B_FACTOR * squared), -ice * displaced * disorder


def _cropped(transforms: np.ndarray, box: int, dimensions: int) -> np.ndarray:
    """Crop half transforms (…, fine, fine // 2 + 1) to the frequencies of a box."""
    for axis in range(-dimensions, -1):
        transforms = transforms.take(np.fft.fftfreq(box, 1.0 / box).astype(int), axis)
    return transforms[..., : box // 2 + 1]


@nb.njit(inline="always")
def _stencil(weights, pixels, centre, size, width):  # type: ignore[no-untyped-def]
    """Fill weights exp(-(p - centre)² / width) and wrapped pixels p of one axis, using only two exponentials."""
    nearest = round(centre)
    away = centre - nearest
    # exp(-(j - d)²/w) = exp(-d²/w) · exp(2d/w)^j · exp(-j²/w); the last factor is passed in `weights`
    factor = math.exp(2.0 * away / width)
    power = math.exp(-away * away / width) * factor ** (-_HALF_WIDTH)
    for i in range(2 * _HALF_WIDTH + 1):
        offset = i - _HALF_WIDTH
        weights[i] = power * weights[i + 2 * _HALF_WIDTH + 1]
        pixels[i] = (nearest + offset) % size
        power *= factor


@nb.njit(inline="always")
def _new_stencil(width):  # type: ignore[no-untyped-def]
    """Return an array for one axis: 2 m + 1 weights, followed by the fixed factors exp(-j² / width)."""
    weights = np.empty(2 * (2 * _HALF_WIDTH + 1))
    for i in range(2 * _HALF_WIDTH + 1):
        weights[i + 2 * _HALF_WIDTH + 1] = math.exp(-((i - _HALF_WIDTH) ** 2) / width)
    return weights


@nb.njit(cache=True)
def _spread_3d(grid, positions, weights, width):  # type: ignore[no-untyped-def]
    size, count = grid.shape[0], 2 * _HALF_WIDTH + 1
    gx, gy, gz = _new_stencil(width), _new_stencil(width), _new_stencil(width)
    ix, iy, iz = np.empty(count, np.int64), np.empty(count, np.int64), np.empty(count, np.int64)
    for a in range(positions.shape[0]):
        _stencil(gx, ix, positions[a, 0], size, width)
        _stencil(gy, iy, positions[a, 1], size, width)
        _stencil(gz, iz, positions[a, 2], size, width)
        for k in range(count):
            for j in range(count):
                weight = weights[a] * gz[k] * gy[j]
                for i in range(count):
                    grid[iz[k], iy[j], ix[i]] += np.float32(weight * gx[i])


@nb.njit(parallel=True, fastmath=True, cache=True)
def _spread_2d(grids, positions, strengths, volumes, axes, offsets, width):  # type: ignore[no-untyped-def]
    size, count = grids.shape[2], 2 * _HALF_WIDTH + 1
    room = size + count
    for n in nb.prange(axes.shape[0]):
        gx, gy = _new_stencil(width), _new_stencil(width)
        row, columns = np.empty(count, np.float32), np.empty(count, np.int64)
        rows = np.empty(count, np.int64)
        # Stencils are added without wrapping, on a grid with a rim, so that the inner loop vectorises; then wrapped.
        rim = np.zeros((2, room, room), np.float32)
        for a in range(positions.shape[0]):
            x, y = offsets[n, 0], offsets[n, 1]
            for c in range(3):
                x += axes[n, 0, c] * positions[a, c]
                y += axes[n, 1, c] * positions[a, c]
            _stencil(gx, columns, x, size, width)
            _stencil(gy, rows, y, size, width)
            x0, y0 = columns[0], rows[0]
            for i in range(count):
                row[i] = gx[i]
            for j in range(count):
                strength, volume = np.float32(strengths[a] * gy[j]), np.float32(volumes[a] * gy[j])
                for i in range(count):
                    rim[0, y0 + j, x0 + i] += strength * row[i]
                    rim[1, y0 + j, x0 + i] += volume * row[i]
        for g in range(2):
            for j in range(room):
                for i in range(room):
                    grids[g, n, j % size, i % size] += rim[g, j, i]
