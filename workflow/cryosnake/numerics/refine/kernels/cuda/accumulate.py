"""Weighted sums without atomics: images by orientation for the back-projection, noise terms by particle."""

from __future__ import annotations

from cryosnake.numerics.backend import Array
from cryosnake.numerics.refine.kernels.cuda.compile import blocks, kernel
from cryosnake.numerics.refine.kernels.cuda.score import run_of_samples

_THREADS = 256

_SOURCE = r"""
#define THREADS 256
#define TILE 64

// One block per child orientation and 256 pixels; samples that a child has no weight in are left out.
extern "C" __global__ void __launch_bounds__(THREADS) sum_images(
        const long long* starts, const long long* particle, const long long* shift, const float* weights,
        const float* raw_re, const float* raw_im, const float* ctf2, const float* phase_re, const float* phase_im,
        const long long* sub, float* data_re, float* data_im, float* data_weight, long long pixels) {
    __shared__ float weight[TILE][SUB];
    __shared__ float mass[TILE];
    __shared__ long long image[TILE], moved[TILE];
    const long long row = blockIdx.x, run = row / CHILDREN, child = row % CHILDREN;
    const long long p = blockIdx.y * (long long)THREADS + threadIdx.x;
    float re = 0.0f, im = 0.0f, total = 0.0f;
    for (long long base = starts[run]; base < starts[run + 1]; base += TILE) {
        const int count = (int)min((long long)TILE, starts[run + 1] - base);
        __syncthreads();
        for (int k = threadIdx.x; k < count; k += THREADS) {
            float all = 0.0f;
            for (int u = 0; u < SUB; u++) {
                weight[k][u] = weights[((base + k) * CHILDREN + child) * SUB + u];
                all += weight[k][u];
            }
            mass[k] = all;
            image[k] = particle[base + k] * pixels;
            moved[k] = shift[base + k] * SUB;
        }
        __syncthreads();
        if (p >= pixels) continue;
        for (int k = 0; k < count; k++) {
            if (mass[k] == 0.0f) continue;
            float phi_re = 0.0f, phi_im = 0.0f;
            #pragma unroll
            for (int u = 0; u < SUB; u++) {
                const float w = weight[k][u];
                if (w == 0.0f) continue;
                const long long fine = sub[moved[k] + u] * pixels + p;
                phi_re += w * phase_re[fine];
                phi_im += w * phase_im[fine];
            }
            const float a = raw_re[image[k] + p], b = raw_im[image[k] + p];
            re += phi_re * a - phi_im * b;
            im += phi_re * b + phi_im * a;
            total += mass[k] * ctf2[image[k] + p];
        }
    }
    if (p < pixels) {
        data_re[row * pixels + p] = re;
        data_im[row * pixels + p] = im;
        data_weight[row * pixels + p] = total;
    }
}

// One block per particle and 256 pixels: sums w S* P and w |P|^2 first, then takes the image and the CTF in.
extern "C" __global__ void __launch_bounds__(THREADS) noise_terms(
        const float* slice_re, const float* slice_im, const long long* order, const long long* begins,
        const long long* run, const long long* shift, const float* weights, const float* image_re,
        const float* image_im, const float* ctf2, const float* phase_re, const float* phase_im, const long long* sub,
        const long long* shell, float* cross, float* power, long long pixels, long long shells) {
    __shared__ float weight[TILE / 8][CHILDREN][SUB];
    __shared__ long long slice[TILE / 8], moved[TILE / 8];
    __shared__ float shell_cross[THREADS], shell_power[THREADS];
    const long long i = blockIdx.x, p = blockIdx.y * (long long)THREADS + threadIdx.x;
    const long long begin = begins[i], end = begins[i + 1];
    if (begin == end) return;
    float acc_re = 0.0f, acc_im = 0.0f, acc_power = 0.0f;
    for (long long base = begin; base < end; base += TILE / 8) {
        const int count = (int)min((long long)(TILE / 8), end - base);
        __syncthreads();
        for (int k = threadIdx.x; k < count; k += THREADS) {
            slice[k] = run[order[base + k]] * CHILDREN * pixels;
            moved[k] = shift[order[base + k]] * SUB;
        }
        for (int e = threadIdx.x; e < count * CHILDREN * SUB; e += THREADS)
            (&weight[0][0][0])[e] = weights[order[base + e / (CHILDREN * SUB)] * CHILDREN * SUB + e % (CHILDREN * SUB)];
        __syncthreads();
        if (p >= pixels) continue;
        for (int k = 0; k < count; k++) {
            for (int c = 0; c < CHILDREN; c++) {
                float mass = 0.0f, phi_re = 0.0f, phi_im = 0.0f;
                #pragma unroll
                for (int u = 0; u < SUB; u++) {
                    const float w = weight[k][c][u];
                    if (w == 0.0f) continue;
                    const long long fine = sub[moved[k] + u] * pixels + p;
                    mass += w;
                    phi_re += w * phase_re[fine];
                    phi_im += w * phase_im[fine];
                }
                if (mass == 0.0f) continue;
                const float a = slice_re[slice[k] + c * pixels + p], b = slice_im[slice[k] + c * pixels + p];
                acc_re += a * phi_re + b * phi_im;
                acc_im += b * phi_re - a * phi_im;
                acc_power += mass * (a * a + b * b);
            }
        }
    }
    const long long first = shell[blockIdx.y * (long long)THREADS];
    shell_cross[threadIdx.x] = 0.0f;
    shell_power[threadIdx.x] = 0.0f;
    __syncthreads();
    if (p < pixels) {
        const long long own = i * pixels + p;
        atomicAdd(&shell_cross[shell[p] - first], image_re[own] * acc_re + image_im[own] * acc_im);
        atomicAdd(&shell_power[shell[p] - first], ctf2[own] * acc_power);
    }
    __syncthreads();
    const long long h = first + threadIdx.x;
    if (h < shells) {
        if (shell_cross[threadIdx.x] != 0.0f) atomicAdd(&cross[i * shells + h], shell_cross[threadIdx.x]);
        if (shell_power[threadIdx.x] != 0.0f) atomicAdd(&power[i * shells + h], shell_power[threadIdx.x]);
    }
}
"""


def accumulate(slice_re: Array, slice_im: Array, starts: Array, particle: Array, shift: Array, weights: Array,
               sampled: Array, image_re: Array, image_im: Array, raw_re: Array, raw_im: Array, ctf2: Array,
               phase_re: Array, phase_im: Array, sub: Array, shell_starts: Array, data_re: Array, data_im: Array,
               data_weight: Array, cross: Array, power: Array) -> None:
    """See `scores.accumulate`; of cross and power (threads, n, shells) the first thread's part is used.

    All rows of data_… are overwritten, with zeros where nothing has weight.
    """
    import cupy

    samples, children = weights.shape[:2]
    constants = {"CHILDREN": children, "SUB": sub.shape[1]}
    (rows, pixels), particles = data_re.shape, image_re.shape[0]
    tiles = blocks(pixels, _THREADS)
    if rows:
        kernel(_SOURCE, "sum_images", **constants)((rows, tiles), (_THREADS,), (
            starts, particle, shift, weights, raw_re, raw_im, ctf2, phase_re, phase_im, sub, data_re, data_im,
            data_weight, pixels))
    if samples == 0:
        return
    order = cupy.argsort(particle)
    begins = cupy.searchsorted(particle[order], cupy.arange(particles + 1)).astype(cupy.int64)
    shell = (cupy.searchsorted(shell_starts, cupy.arange(pixels), side="right") - 1).astype(cupy.int64)
    kernel(_SOURCE, "noise_terms", **constants)((particles, tiles), (_THREADS,), (
        slice_re, slice_im, order, begins, run_of_samples(starts, samples), shift, sampled, image_re, image_im, ctf2,
        phase_re, phase_im, sub, shell, cross, power, pixels, cross.shape[2]))
