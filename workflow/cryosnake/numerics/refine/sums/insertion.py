"""Back-projection: slices and their weights into a Fourier volume, symmetry applied to the sums.

A volume of sums is (2m + 1, 2m + 1, m + 1, 3) float32: real and imaginary part of the data and the weight, axes
z, y, x, origin at (m, m, 0), m = padding · radius + 2. Only x ≥ 0 is stored; the rest follows from Friedel's law.
"""

from __future__ import annotations

import math

import numba as nb
import numpy as np

from cryosnake.numerics.backend import Array, is_gpu, namespace
from cryosnake.numerics.projection import cell_positions
from cryosnake.numerics.refine.kernels.shared_insertion import insert_shared
from cryosnake.numerics.simd import add_trilinear

_PADDING = 2  # of the transforms that slices are taken from and added to


def empty_sums(radius: int, leading: tuple[int, ...] = (), dimensions: int = 3) -> np.ndarray:
    """Return sums of zeros for slices with |k| ≤ radius: (…, 2m + 1, 2m + 1, m + 1, 3), or of class averages one less.

    `leading` is the shape (threads, classes) of an array of such volumes.
    """
    reach = _PADDING * radius + 2
    return np.zeros((*leading, *(2 * reach + 1,) * (dimensions - 1), reach + 1, 3), np.float32)


@nb.njit(parallel=True, fastmath=True, nogil=True, cache=True)
def _insert(flat, side, half, matrices, kx, ky, padding, rows, real, imaginary, weight):  # type: ignore[no-untyped-def]
    threads, n, pixels, one = flat.shape[0], matrices.shape[0], kx.size, np.float32(1.0)
    for thread in nb.prange(threads):
        volume = flat[thread]
        cell = np.empty(pixels, np.int32)
        fx, fy, fz, sign = np.empty((4, pixels), np.float32)
        for j in range(thread * n // threads, (thread + 1) * n // threads):
            cell_positions(matrices[j], padding, kx, ky, side, half, cell, fx, fy, fz, sign)
            re, im, w = real[rows[j]], imaginary[rows[j]], weight[rows[j]]
            for p in range(pixels):
                gy, gz = one - fy[p], one - fz[p]
                add_trilinear(volume, 3 * np.int64(cell[p]), 3 * half, 3 * half * side, gz * gy, gz * fy[p],
                              fz[p] * gy, fz[p] * fy[p], fx[p], re[p], im[p] * sign[p], w[p])


def insert_slices(sums: Array, matrices: Array, kx: Array, ky: Array, slices: tuple[Array, Array], weight: Array,
                  rows: Array | None = None) -> None:
    """Add slices to volumes of sums, in place: the transpose of `projection.central_slices`.

    Parameters
    ----------
    sums : (threads, 2m + 1, 2m + 1, m + 1, 3) float32
        One volume per thread, to be added up at the end; or one alone, which all threads share. On a GPU
        (1, 2m + 1, 2m + 1, m + 1, 4), see `cuda/insert.py`.
    matrices : (n, 3, 3)
        Orientations, as for `central_slices`.
    kx, ky : (pixels,) float32
    slices, weight : (n, pixels) float32
        Real and imaginary parts of the CTF-weighted image, and squared CTF, all over the noise power.
    rows : (n,) int64, optional
        Which of more than n such rows, in the order of the matrices; all of them by default.
    """
    xp, (real, imaginary) = namespace(sums), slices
    matrices = xp.ascontiguousarray(xp.asarray(matrices, xp.float32))
    shared = not is_gpu(sums) and len(sums) == 1 and nb.get_num_threads() > 1
    if rows is None:
        rows = xp.arange(len(matrices))
    elif is_gpu(sums) or shared:
        real, imaginary, weight = real[rows], imaginary[rows], weight[rows]
    if is_gpu(sums):
        from cryosnake.numerics.refine.kernels.cuda.insert import insert

        insert(sums, matrices, xp.asarray(kx), xp.asarray(ky), _PADDING, real, imaginary, weight)
        return
    if shared:
        insert_shared(sums[0], matrices, kx, ky, real, imaginary, weight, _PADDING)
        return
    threads, side, _, half, _ = sums.shape
    flat = sums.reshape(threads, -1)
    assert np.shares_memory(flat, sums)  # of several classes each thread's sums are contiguous, not the whole
    _insert(flat, np.int32(side), np.int32(half), matrices, kx, ky, np.float32(_PADDING), rows, real, imaginary, weight)


def complete_plane(sums: Array) -> None:
    """Give the plane (or line) x = 0 the Friedel mates that fell on its other half, in place."""
    plane = sums[..., 0, :]
    mates = plane[(slice(None, None, -1),) * (plane.ndim - 1)].copy()
    mates[..., 1] *= -1.0
    plane += mates


@nb.njit(fastmath=True, cache=True)
def _turned(r, x, y, z):  # type: ignore[no-untyped-def]
    """Return the rotated place of a voxel, in the half that is stored, and the sign of imaginary parts there."""
    u = r[0, 0] * x + r[0, 1] * y + r[0, 2] * z
    v = r[1, 0] * x + r[1, 1] * y + r[1, 2] * z
    w = r[2, 0] * x + r[2, 1] * y + r[2, 2] * z
    if u < 0:
        return -u, -v, -w, np.float32(-1.0)
    return u, v, w, np.float32(1.0)


@nb.njit(parallel=True, fastmath=True, nogil=True, cache=True)
def _symmetrise(sums, operators, limit, result):  # type: ignore[no-untyped-def]
    whole = np.rint(operators).astype(np.int64)
    exact = np.array([np.abs(operators[g] - whole[g]).max() < 1e-9 for g in range(len(operators))])
    n, half = sums.shape[0], sums.shape[2]
    centre = n // 2
    for i in nb.prange(n):
        z = i - centre
        for k in range(n):
            y = k - centre
            for x in range(half):
                if x * x + y * y + z * z > limit * limit:
                    continue
                for g in range(operators.shape[0]):
                    if exact[g]:  # onto another voxel: turns by 90 and 180 degrees about the axes
                        a, b, c, mate = _turned(whole[g], x, y, z)
                        there = sums[c + centre, b + centre, a]
                        result[i, k, x, 0] += there[0]
                        result[i, k, x, 1] += there[1] * mate
                        result[i, k, x, 2] += there[2]
                        continue
                    u, v, w, sign = _turned(operators[g], x, y, z)
                    u0, v0, w0 = int(u), math.floor(v), math.floor(w)
                    fu, fv, fw = np.float32(u - u0), np.float32(v - v0), np.float32(w - w0)
                    for d in range(2):
                        gw = fw if d else 1 - fw
                        for e in range(2):
                            for f in range(2):
                                weight = gw * (fv if e else 1 - fv) * (fu if f else 1 - fu)
                                if weight > 0:
                                    cell = sums[w0 + centre + d, v0 + centre + e, u0 + f]
                                    result[i, k, x, 0] += weight * cell[0]
                                    result[i, k, x, 1] += weight * cell[1] * sign
                                    result[i, k, x, 2] += weight * cell[2]


def symmetrise(sums: Array, operators: np.ndarray) -> Array:
    """Return the sums added up over a point group, Σ_R S(R k); exact where R maps the grid onto itself.

    `operators` (g, 3, 3) as from `symmetry.operators`; the plane x = 0 must be complete (`complete_plane`).
    """
    if len(operators) == 1:
        return sums
    xp = namespace(sums)
    result = xp.zeros_like(sums)
    kernel = _symmetrise
    if is_gpu(sums):
        from cryosnake.numerics.refine.kernels.cuda.insert import symmetrise as kernel
    kernel(sums, xp.ascontiguousarray(xp.asarray(operators, xp.float64)), sums.shape[2] - 2, result)
    return result
