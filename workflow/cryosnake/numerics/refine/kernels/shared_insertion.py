"""Back-projection by several threads into one volume: memory does not grow with their number.

The pixels of all slices are sorted into slabs of the volume. Slabs of even number are filled at the same time, then
those of odd number: neighbours share a plane, for a pixel spreads over two. Which thread does what does not change the
order of additions, so the result does not depend on the number of threads.
"""

from __future__ import annotations

import math

import numba as nb
import numpy as np

_DEPTH = 4  # planes of a slab; two at least
_CHUNKS = 64  # runs of slices that are sorted on their own


def insert_shared(volume: np.ndarray, matrices: np.ndarray, kx: np.ndarray, ky: np.ndarray, real: np.ndarray,
                  imaginary: np.ndarray, weight: np.ndarray, padding: int = 2) -> None:
    """Add slices to one volume of sums (2m + 1, 2m + 1, m + 1, 3), in place; arguments as of `insert_slices`."""
    matrices = np.ascontiguousarray(matrices, np.float32)
    slabs = -(-volume.shape[0] // _DEPTH)
    chunks = min(_CHUNKS, len(matrices))
    slab = np.empty((len(matrices), kx.size), np.int16)
    counts = np.zeros((chunks, slabs), np.int64)
    _find_slabs(matrices, kx, ky, padding, volume.shape[0] // 2, slab, counts)
    ends = np.cumsum(counts.T.ravel())
    starts = np.ascontiguousarray((ends - counts.T.ravel()).reshape(slabs, chunks).T)
    order = np.empty(slab.size, np.int32 if slab.size < 1 << 31 else np.int64)
    _sort(slab, starts.copy(), order)
    bounds = np.append(starts[0], slab.size)
    for odd in (0, 1):
        _fill(volume, odd, bounds, order, nb.get_num_threads(), matrices, kx, ky, padding, real, imaginary, weight)


@nb.njit(parallel=True, fastmath=True, nogil=True, cache=True)
def _find_slabs(matrices, kx, ky, padding, centre, slab, counts):  # type: ignore[no-untyped-def]
    chunks, n = counts.shape[0], matrices.shape[0]
    for chunk in nb.prange(chunks):
        for j in range(chunk * n // chunks, (chunk + 1) * n // chunks):
            a = matrices[j]
            for p in range(kx.size):
                z = (a[0, 2] * kx[p] + a[1, 2] * ky[p]) * padding
                if (a[0, 0] * kx[p] + a[1, 0] * ky[p]) * padding < 0:
                    z = -z
                number = (math.floor(z) + centre) // _DEPTH
                slab[j, p] = number
                counts[chunk, number] += 1


@nb.njit(parallel=True, nogil=True, cache=True)
def _sort(slab, places, order):  # type: ignore[no-untyped-def]
    chunks, n, pixels = places.shape[0], slab.shape[0], slab.shape[1]
    for chunk in nb.prange(chunks):
        place = places[chunk]
        for j in range(chunk * n // chunks, (chunk + 1) * n // chunks):
            for p in range(pixels):
                order[place[slab[j, p]]] = j * pixels + p
                place[slab[j, p]] += 1


@nb.njit(parallel=True, fastmath=True, nogil=True, cache=True)
def _fill(volume, odd, bounds, order, threads, matrices, kx, ky, padding, real, imaginary,  # type: ignore[no-untyped-def]
          weight):
    centre, pixels, slabs = volume.shape[0] // 2, kx.size, bounds.size - 1
    for thread in nb.prange(threads):
        for slab in range(2 * thread + odd, slabs, 2 * threads):  # the full ones, in the middle, go to all threads
            for i in range(bounds[slab], bounds[slab + 1]):
                j, p = order[i] // pixels, order[i] % pixels
                a = matrices[j]
                x = (a[0, 0] * kx[p] + a[1, 0] * ky[p]) * padding
                y = (a[0, 1] * kx[p] + a[1, 1] * ky[p]) * padding
                z = (a[0, 2] * kx[p] + a[1, 2] * ky[p]) * padding
                re, im, w = real[j, p], imaginary[j, p], weight[j, p]
                if x < 0:
                    x, y, z, im = -x, -y, -z, -im
                x0, y0, z0 = int(x), math.floor(y), math.floor(z)
                fx, fy, fz = np.float32(x - x0), np.float32(y - y0), np.float32(z - z0)
                for d in range(2):
                    gz = fz if d else 1 - fz
                    for e in range(2):
                        g = gz * (fy if e else 1 - fy)
                        cell = volume[z0 + centre + d, y0 + centre + e]
                        g1 = g * fx
                        g0 = g - g1
                        cell[x0, 0] += g0 * re
                        cell[x0, 1] += g0 * im
                        cell[x0, 2] += g0 * w
                        cell[x0 + 1, 0] += g1 * re
                        cell[x0 + 1, 1] += g1 * im
                        cell[x0 + 1, 2] += g1 * w
