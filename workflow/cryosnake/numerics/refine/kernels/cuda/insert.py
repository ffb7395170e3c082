"""Back-projection by atomic additions, and the symmetry of the sums.

Sums on a device have four numbers per voxel, (…, 4): real and imaginary part, weight and one that stays 0, so that a
voxel is one aligned vector; Hopper adds it in one operation.
"""

from __future__ import annotations

from cryosnake.numerics.backend import Array
from cryosnake.numerics.refine.kernels.cuda.compile import THREADS, blocks, kernel, launch_per_pixel

_SOURCE = r"""
__device__ void add(float4* cell, float g, float re, float im, float w) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    atomicAdd(cell, make_float4(g * re, g * im, g * w, 0.0f));
#else
    atomicAdd(&cell->x, g * re);
    atomicAdd(&cell->y, g * im);
    atomicAdd(&cell->z, g * w);
#endif
}

__device__ void add_square(float4* cell, long long row, float g, float fx, float fy, float re, float im, float w) {
    add(cell, g * (1.0f - fy) * (1.0f - fx), re, im, w);
    add(cell + 1, g * (1.0f - fy) * fx, re, im, w);
    add(cell + row, g * fy * (1.0f - fx), re, im, w);
    add(cell + row + 1, g * fy * fx, re, im, w);
}

extern "C" __global__ void insert(
        float4* sums, const float* matrices, const float* kx, const float* ky, double padding, const float* real,
        const float* imaginary, const float* weight, long long pixels, long long n, long long half) {
    const long long j = blockIdx.x, p = blockIdx.y * (long long)blockDim.x + threadIdx.x;
    if (p >= pixels) return;
    const float re = real[j * pixels + p], w = weight[j * pixels + p];
    float im = imaginary[j * pixels + p];
    if (w == 0.0f && re == 0.0f && im == 0.0f) return;
    const float* a = matrices + 9 * j;
    const float scale = (float)padding;
    float x = (a[0] * kx[p] + a[3] * ky[p]) * scale;
    float y = (a[1] * kx[p] + a[4] * ky[p]) * scale;
    float z = (a[2] * kx[p] + a[5] * ky[p]) * scale;
    if (x < 0.0f) { x = -x; y = -y; z = -z; im = -im; }
    const float y0 = floorf(y), z0 = floorf(z);
    const int x0 = (int)x;
    const long long centre = n / 2;
    float4* cell = sums + (((long long)z0 + centre) * n + (long long)y0 + centre) * half + x0;
    add_square(cell, half, 1.0f - (z - z0), x - x0, y - y0, re, im, w);
    add_square(cell + n * half, half, z - z0, x - x0, y - y0, re, im, w);
}

extern "C" __global__ void insert_lines(
        float4* sums, const long long* classes, const double* psi, const float* kx, const float* ky, double padding,
        const float* real, const float* imaginary, const float* weight, long long pixels, long long n, long long half) {
    const long long j = blockIdx.x, p = blockIdx.y * (long long)blockDim.x + threadIdx.x;
    if (p >= pixels) return;
    const double c = cos(psi[j]), s = sin(psi[j]);
    float x = (float)((c * kx[p] - s * ky[p]) * padding);
    float y = (float)((s * kx[p] + c * ky[p]) * padding);
    float im = imaginary[j * pixels + p];
    if (x < 0.0f) { x = -x; y = -y; im = -im; }
    const float y0 = floorf(y);
    const int x0 = (int)x;
    float4* cell = sums + (classes[j] * n + (long long)y0 + n / 2) * half + x0;
    add_square(cell, half, 1.0f, x - x0, y - y0, real[j * pixels + p], im, weight[j * pixels + p]);
}

// One thread per voxel gathers from its symmetry mates.
extern "C" __global__ void symmetrise(
        const float* sums, const double* operators, long long count, long long limit, float* result, long long n,
        long long half) {
    const long long voxel = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (voxel >= n * n * half) return;
    const long long centre = n / 2, x = voxel % half, y = voxel / half % n - centre, z = voxel / half / n - centre;
    float re = 0.0f, im = 0.0f, total = 0.0f;
    if (x * x + y * y + z * z <= limit * limit) {
        for (int g = 0; g < count; g++) {
            const double* r = operators + 9 * g;
            double u = r[0] * x + r[1] * y + r[2] * z;
            double v = r[3] * x + r[4] * y + r[5] * z;
            double w = r[6] * x + r[7] * y + r[8] * z;
            const float sign = u < 0.0 ? -1.0f : 1.0f;
            u *= sign; v *= sign; w *= sign;
            const double v0 = floor(v), w0 = floor(w);
            const long long u0 = (long long)u;
            const float fu = (float)(u - u0), fv = (float)(v - v0), fw = (float)(w - w0);
            for (int corner = 0; corner < 8; corner++) {
                const int d = corner >> 2, e = corner >> 1 & 1, f = corner & 1;
                const float weight = (d ? fw : 1.0f - fw) * (e ? fv : 1.0f - fv) * (f ? fu : 1.0f - fu);
                if (weight > 0.0f) {
                    const long long plane = (long long)w0 + centre + d, row = (long long)v0 + centre + e;
                    const float* cell = sums + 3 * ((plane * n + row) * half + u0 + f);
                    re += weight * cell[0];
                    im += weight * cell[1] * sign;
                    total += weight * cell[2];
                }
            }
        }
    }
    result[3 * voxel] = re;
    result[3 * voxel + 1] = im;
    result[3 * voxel + 2] = total;
}
"""


def insert(sums: Array, matrices: Array, kx: Array, ky: Array, padding: float, real: Array, imaginary: Array,
           weight: Array) -> None:
    """See `insertion._insert`; sums are (1, n, n, half, 4)."""
    launch_per_pixel(_SOURCE, "insert", real, sums, matrices, kx, ky, float(padding), real, imaginary, weight,
                     real.shape[1], sums.shape[1], sums.shape[3])


def insert_lines(sums: Array, classes: Array, psi: Array, kx: Array, ky: Array, padding: float, real: Array,
                 imaginary: Array, weight: Array) -> None:
    """See `references._insert_lines`; sums are (1, classes, n, half, 4)."""
    launch_per_pixel(_SOURCE, "insert_lines", real, sums, classes, psi, kx, ky, float(padding), real, imaginary, weight,
                     real.shape[1], sums.shape[2], sums.shape[3])


def symmetrise(sums: Array, operators: Array, limit: int, result: Array) -> None:
    """See `insertion._symmetrise`; sums and result are (n, n, half, 3)."""
    n, half = sums.shape[0], sums.shape[2]
    kernel(_SOURCE, "symmetrise")((blocks(n * n * half, THREADS),), (THREADS,), (
        sums, operators, operators.shape[0], limit, result, n, half))
