"""Central slices of a map by trilinear interpolation in an oversampled Fourier transform."""

from __future__ import annotations

import math
from collections.abc import Callable

import numba as nb
import numpy as np

from cryosnake.numerics.backend import Array, fft_of, is_gpu, namespace


def half_plane(size: int, minimum: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Return kx, ky (n,) float32 of the Fourier pixels with |k| ≤ size // 2, each Friedel pair once, the origin too.

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
    axis = (xp.arange(box) - box // 2) / size
    kernel = xp.sinc(axis) ** 2
    corrected = volume / (kernel[:, None, None] * kernel[None, :, None] * kernel[None, None, :])
    padded = xp.zeros((size,) * 3, xp.float32)
    start = size // 2 - box // 2
    padded[start : start + box, start : start + box, start : start + box] = corrected
    transform = fft.rfftn(fft.ifftshift(padded))
    return xp.ascontiguousarray(fft.fftshift(transform, axes=(0, 1))).astype(xp.complex64)


@nb.njit(parallel=True, fastmath=True, cache=True)
def _slices(transform, matrices, kx, ky, padding, real, imaginary):  # type: ignore[no-untyped-def]
    centre = transform.shape[0] // 2
    for j in nb.prange(matrices.shape[0]):
        a = matrices[j]
        for p in range(kx.size):
            x = (a[0, 0] * kx[p] + a[1, 0] * ky[p]) * padding
            y = (a[0, 1] * kx[p] + a[1, 1] * ky[p]) * padding
            z = (a[0, 2] * kx[p] + a[1, 2] * ky[p]) * padding
            sign = np.float32(1.0)
            if x < 0:  # the half x < 0 is the conjugate of the stored one
                x, y, z, sign = -x, -y, -z, np.float32(-1.0)
            x0, y0, z0 = int(x), math.floor(y), math.floor(z)
            fx, fy, fz = np.float32(x - x0), np.float32(y - y0), np.float32(z - z0)
            i, k = z0 + centre, y0 + centre
            near = (transform[i, k, x0] * (1 - fx) + transform[i, k, x0 + 1] * fx) * (1 - fy) + (
                transform[i, k + 1, x0] * (1 - fx) + transform[i, k + 1, x0 + 1] * fx) * fy
            far = (transform[i + 1, k, x0] * (1 - fx) + transform[i + 1, k, x0 + 1] * fx) * (1 - fy) + (
                transform[i + 1, k + 1, x0] * (1 - fx) + transform[i + 1, k + 1, x0 + 1] * fx) * fy
            value = near * (1 - fz) + far * fz
            real[j, p] = value.real
            imaginary[j, p] = value.imag * sign


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
    They are made where the transform is, in host memory or on a GPU.
    """
    xp = namespace(transform)
    real = xp.empty((len(matrices), kx.size), xp.float32)
    imaginary = xp.empty_like(real)
    matrices = xp.ascontiguousarray(xp.asarray(matrices, xp.float32))
    _kernel_for(transform)(transform, matrices, xp.asarray(kx), xp.asarray(ky), padding, real, imaginary)
    return real, imaginary


def _kernel_for(transform: Array) -> Callable[..., None]:
    if is_gpu(transform):
        from cryosnake.numerics.refine.cuda.slices import slices

        return slices
    return _slices


def band_limited_transform(volume: Array, radius: int, padding: int = 2) -> Array:
    """Return the part of `padded_transform` that slices with |k| ≤ radius need, complex64, centred.

    Shape (2m + 1, 2m + 1, m + 1) with m = padding · radius + 2: it holds one voxel more than the slices touch, so that
    `radius` may be the Nyquist frequency, box // 2, and it stays in the cache at low resolution.
    """
    return crop_centred(padded_transform(volume, padding), padding * radius + 2)


def crop_centred(transform: Array, reach: int) -> Array:
    """Return the frequencies −reach … reach (0 … reach on the last axis) of a centred half transform, 0 beyond it.

    All axes but the last are centred on n // 2; the array may have any number of them.
    """
    middle = transform.shape[0] // 2
    inside = min(reach, middle - 1, transform.shape[-1] - 1)
    shape = (2 * reach + 1,) * (transform.ndim - 1) + (reach + 1,)
    result = namespace(transform).zeros(shape, transform.dtype)
    target = (slice(reach - inside, reach + inside + 1),) * (transform.ndim - 1) + (slice(0, inside + 1),)
    source = (slice(middle - inside, middle + inside + 1),) * (transform.ndim - 1) + (slice(0, inside + 1),)
    result[target] = transform[source]
    return result
