"""Central slices of a map by trilinear interpolation in an oversampled Fourier transform."""

from __future__ import annotations

import numba as nb
import numpy as np

from cryosnake.numerics.backend import Array, fft_of, is_gpu, namespace
from cryosnake.numerics.banded_fft import low_frequencies
from cryosnake.numerics.simd import read_trilinear


def half_plane(size: int, minimum: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Return kx, ky (n,) float32 of the Fourier pixels with |k| ≤ size // 2, each Friedel pair once, with the origin.

    `minimum` leaves out pixels with |k| ≤ minimum (use it to drop the origin: half_plane(size, 0.5)).
    """
    radius = size // 2
    ky, kx = np.mgrid[-radius : radius + 1, 0 : radius + 1]
    squared = kx * kx + ky * ky
    keep = (squared <= radius * radius) & ~((kx == 0) & (ky < 0))
    if minimum > 0:
        keep &= squared > minimum * minimum
    return kx[keep].astype(np.float32), ky[keep].astype(np.float32)


def padded_transform(volume: Array, padding: int = 2) -> Array:
    """Return the centred half transform, complex64 (p·box, p·box, p·box // 2 + 1), of a map (box, box, box).

    Axes are z, y, x; the map's origin is its voxel box // 2, the transform's origin (p·box // 2, p·box // 2, 0). The
    map is divided by the transform of the trilinear kernel, so that slices of the result are those of the map
    (gridding correction; Jackson et al. 1991, IEEE Trans. Med. Imaging 10).
    """
    xp, fft, box = namespace(volume), fft_of(volume), volume.shape[0]
    size = box * padding
    padded = xp.zeros((size,) * 3, xp.float32)
    start = size // 2 - box // 2
    padded[start : start + box, start : start + box, start : start + box] = _gridding_corrected(volume, padding)
    transform = fft.rfftn(fft.ifftshift(padded))
    return xp.ascontiguousarray(fft.fftshift(transform, axes=(0, 1))).astype(xp.complex64)


def _gridding_corrected(volume: Array, padding: int) -> Array:
    return volume / namespace(volume).asarray(gridding_correction(len(volume), padding, volume.ndim))


def gridding_correction(box: int, padding: int = 2, dimensions: int = 3) -> np.ndarray:
    """Return the transform of the trilinear kernel (box, …) float32: maps in real space are divided by it."""
    kernel = (np.sinc((np.arange(box) - box // 2) / (box * padding)) ** 2).astype(np.float32)
    result = kernel
    for _ in range(dimensions - 1):
        result = kernel.reshape(-1, *(1,) * result.ndim) * result
    return result


# Consecutive orientations are often neighbours (children of one, near one pose): this many of them read each tile of
# pixels in turn, from voxels that are then in the cache.
_TOGETHER, _TILE = 8, 512


@nb.njit(fastmath=True, cache=True)
def cell_positions(matrix, padding, kx, ky, side, half, cell, fx, fy, fz, sign):  # type: ignore[no-untyped-def]
    """Find, for the pixels of one slice, the voxel below each in a centred half volume (side, side, half).

    Results (pixels,): `cell`, the voxel's number, the fractions along the axes, and −1 as `sign` where the conjugate
    half was used. A separate loop, without branch or look-up, so that it is vectorised.
    """
    one, centre = np.float32(1.0), np.float32(side // 2)
    ax, ay, az = matrix[0, 0] * padding, matrix[0, 1] * padding, matrix[0, 2] * padding
    bx, by, bz = matrix[1, 0] * padding, matrix[1, 1] * padding, matrix[1, 2] * padding
    for p in range(kx.size):
        x, y, z = ax * kx[p] + bx * ky[p], ay * kx[p] + by * ky[p], az * kx[p] + bz * ky[p]
        s = one if x >= np.float32(0.0) else -one
        x, y, z = x * s, y * s + centre, z * s + centre
        x0, y0, z0 = np.int32(x), np.int32(y), np.int32(z)
        cell[p] = (z0 * side + y0) * half + x0
        fx[p], fy[p], fz[p], sign[p] = x - np.float32(x0), y - np.float32(y0), z - np.float32(z0), s


@nb.njit(parallel=True, fastmath=True, nogil=True, cache=True)
def _slices(flat, side, half, matrices, kx, ky, padding, real, imaginary):  # type: ignore[no-untyped-def]
    one = np.float32(1.0)
    for group in nb.prange((len(matrices) + _TOGETHER - 1) // _TOGETHER):
        cell = np.empty(_TILE, np.int32)
        fx, fy, fz, sign = np.empty((4, _TILE), np.float32)
        for begin in range(0, kx.size, _TILE):
            end = min(begin + _TILE, kx.size)
            for j in range(group * _TOGETHER, min((group + 1) * _TOGETHER, len(matrices))):
                cell_positions(matrices[j], padding, kx[begin:end], ky[begin:end], side, half, cell, fx, fy, fz, sign)
                re, im = real[j, begin:end], imaginary[j, begin:end]
                for p in range(end - begin):
                    gy, gz = one - fy[p], one - fz[p]
                    x, y = read_trilinear(flat, 2 * np.int64(cell[p]), 2 * half, 2 * half * side, gz * gy, gz * fy[p],
                                          fz[p] * gy, fz[p] * fy[p], fx[p])
                    re[p], im[p] = x, y * sign[p]


def central_slices(
    transform: Array,  # complex64, from padded_transform
    matrices: Array,  # (n, 3, 3)
    kx: Array,  # (pixels,) float32
    ky: Array,  # (pixels,) float32
    padding: int = 2,
) -> tuple[Array, Array]:
    """Return real and imaginary parts (n, pixels) float32 of the map's central slices.

    |k| must stay at least one pixel below the map's Nyquist frequency. Method: Fourier slice theorem (DeRosier & Klug
    1968, Nature 217), trilinear interpolation. The phase origin of the slices is the image's centre, box // 2.
    They are computed where the transform is, in host memory or on a GPU.
    """
    xp = namespace(transform)
    real = xp.empty((len(matrices), kx.size), xp.float32)
    imaginary = xp.empty_like(real)
    matrices = xp.ascontiguousarray(xp.asarray(matrices, xp.float32))
    if is_gpu(transform):
        from cryosnake.numerics.refine.kernels.cuda.slices import slices

        slices(transform, matrices, xp.asarray(kx), xp.asarray(ky), padding, real, imaginary)
        return real, imaginary
    side, _, half = transform.shape
    flat = np.ascontiguousarray(transform).view(np.float32).reshape(-1)
    _slices(flat, np.int32(side), np.int32(half), matrices, kx, ky, np.float32(padding), real, imaginary)
    return real, imaginary


def band_limited_transform(volume: Array, radius: int, padding: int = 2, out: Array | None = None) -> Array:
    """Return the part of `padded_transform` that slices with |k| ≤ radius need, complex64, centred.

    Shape (2m + 1, 2m + 1, m + 1) with m = padding · radius + 2: one voxel more than the slices touch, so that `radius`
    may be the Nyquist frequency, box // 2; at low resolution it fits into the cache. `out` may be zeros to be filled.
    """
    corrected = _gridding_corrected(volume, padding).astype(np.float32)
    return low_frequencies(corrected, padding * volume.shape[0], padding * radius + 2, out)


def crop_centred(transform: Array, reach: int) -> Array:
    """Return the frequencies −reach … reach (0 … reach on the last axis) of a centred half transform, 0 beyond it.

    All axes but the last are centred on n // 2; the array may have any number of them.
    """
    middle = transform.shape[0] // 2
    inside = min(reach, (transform.shape[0] - 1) // 2, transform.shape[-1] - 1)
    shape = (2 * reach + 1,) * (transform.ndim - 1) + (reach + 1,)
    result = namespace(transform).zeros(shape, transform.dtype)
    target = (slice(reach - inside, reach + inside + 1),) * (transform.ndim - 1) + (slice(0, inside + 1),)
    source = (slice(middle - inside, middle + inside + 1),) * (transform.ndim - 1) + (slice(0, inside + 1),)
    result[target] = transform[source]
    return result
