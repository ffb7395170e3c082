"""Slices of references: central slices of a volume, lines through class averages. One thread per Fourier pixel."""

from __future__ import annotations

from cryosnake.numerics.backend import Array
from cryosnake.numerics.refine.kernels.cuda.compile import launch_per_pixel

_SOURCE = r"""
__device__ float2 between(float2 a, float2 b, float f) {
    return make_float2(a.x * (1.0f - f) + b.x * f, a.y * (1.0f - f) + b.y * f);
}

__device__ float2 in_plane(const float2* plane, long long row, int x, float fx, float fy) {
    const float2 near = between(plane[x], plane[x + 1], fx);
    const float2 far = between(plane[row + x], plane[row + x + 1], fx);
    return between(near, far, fy);
}

extern "C" __global__ void slices(
        const float2* transform, const float* matrices, const float* kx, const float* ky, double padding, float* real,
        float* imaginary, long long pixels, long long n, long long half) {
    const long long j = blockIdx.x, p = blockIdx.y * (long long)blockDim.x + threadIdx.x;
    if (p >= pixels) return;
    const float* a = matrices + 9 * j;
    const float scale = (float)padding;
    float x = (a[0] * kx[p] + a[3] * ky[p]) * scale;
    float y = (a[1] * kx[p] + a[4] * ky[p]) * scale;
    float z = (a[2] * kx[p] + a[5] * ky[p]) * scale;
    const float sign = x < 0.0f ? -1.0f : 1.0f;  // the half x < 0 is the conjugate of the stored one
    x *= sign; y *= sign; z *= sign;
    const float y0 = floorf(y), z0 = floorf(z);
    const int x0 = (int)x;
    const long long centre = n / 2;
    const float2* corner = transform + (((long long)z0 + centre) * n + (long long)y0 + centre) * half;
    const float2 near = in_plane(corner, half, x0, x - x0, y - y0);
    const float2 far = in_plane(corner + n * half, half, x0, x - x0, y - y0);
    const float2 value = between(near, far, z - z0);
    real[j * pixels + p] = value.x;
    imaginary[j * pixels + p] = value.y * sign;
}

extern "C" __global__ void lines(
        const float2* transforms, const long long* classes, const double* psi, const float* kx, const float* ky,
        double padding, float* real, float* imaginary, long long pixels, long long n, long long half) {
    const long long j = blockIdx.x, p = blockIdx.y * (long long)blockDim.x + threadIdx.x;
    if (p >= pixels) return;
    const double c = cos(psi[j]), s = sin(psi[j]);
    float x = (float)((c * kx[p] - s * ky[p]) * padding);
    float y = (float)((s * kx[p] + c * ky[p]) * padding);
    const float sign = x < 0.0f ? -1.0f : 1.0f;
    x *= sign; y *= sign;
    const float y0 = floorf(y);
    const int x0 = (int)x;
    const float2* corner = transforms + (classes[j] * n + (long long)y0 + n / 2) * half;
    const float2 value = in_plane(corner, half, x0, x - x0, y - y0);
    real[j * pixels + p] = value.x;
    imaginary[j * pixels + p] = value.y * sign;
}
"""


def slices(transform: Array, matrices: Array, kx: Array, ky: Array, padding: float, real: Array, imaginary: Array,
           ) -> None:
    """See `projection._slices`."""
    launch_per_pixel(_SOURCE, "slices", real, transform, matrices, kx, ky, float(padding), real, imaginary,
                     real.shape[1], transform.shape[0], transform.shape[2])


def lines(transforms: Array, classes: Array, psi: Array, kx: Array, ky: Array, padding: float, real: Array,
          imaginary: Array) -> None:
    """See `references._lines`."""
    launch_per_pixel(_SOURCE, "lines", real, transforms, classes, psi, kx, ky, float(padding), real, imaginary,
                     real.shape[1], transforms.shape[1], transforms.shape[2])
