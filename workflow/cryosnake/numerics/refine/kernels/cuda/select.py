"""The dense selection: which coarse samples hold nearly all of a particle's probability. One block per particle."""

from __future__ import annotations

from cryosnake.numerics.backend import Array
from cryosnake.numerics.refine.kernels.cuda import significance
from cryosnake.numerics.refine.kernels.cuda.compile import blocks, kernel

_CHUNK = 512  # scores of one warp at a time; chunks whose largest score is too small are not read again

_SOURCE = significance.SOURCE + r"""
#define CHUNK 512
#define EACH (CHUNK / 32)
#define NONE (-1e30f)

extern "C" __global__ void __launch_bounds__(THREADS) find_cuts(
        const float* cross, const float* norm, const float* shift_prior, double fraction, float* cuts,
        long long* counts, float* tops, long long shifts, long long orientations) {
    __shared__ float histogram[BINS];
    __shared__ float scratch[WARPS];
    __shared__ double sums[WARPS];
    __shared__ float result;
    const long long i = blockIdx.x;
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const long long per_shift = (orientations + CHUNK - 1) / CHUNK, chunks = shifts * per_shift;
    cross += i * shifts * orientations; norm += i * orientations; shift_prior += i * shifts; tops += i * chunks;

    float best = NONE;
    for (long long k = warp; k < chunks; k += WARPS) {
        const long long t = k / per_shift, begin = (k % per_shift) * CHUNK + lane;
        float top = NONE;
        #pragma unroll
        for (int e = 0; e < EACH; e++) {
            const long long j = begin + e * 32;
            if (j < orientations) top = fmaxf(top, cross[t * orientations + j] - norm[j]);
        }
        for (int h = 16; h > 0; h >>= 1) top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, h));
        top += shift_prior[t];
        if (lane == 0) tops[k] = top;
        best = fmaxf(best, top);
    }
    for (int b = threadIdx.x; b < BINS; b += THREADS) histogram[b] = 0.0f;
    best = block_max(best, scratch);

    for (long long k = warp; k < chunks; k += WARPS) {
        if (tops[k] <= best - DEPTH) continue;
        const long long t = k / per_shift, begin = (k % per_shift) * CHUNK + lane;
        #pragma unroll
        for (int e = 0; e < EACH; e++) {
            const long long j = begin + e * 32;
            if (j >= orientations) continue;
            const float depth = best - shift_prior[t] - (cross[t * orientations + j] - norm[j]);
            if (depth < DEPTH) {
                const int bin = max(0, min((int)(depth * PER_BIN), BINS - 1));
                atomicAdd(&histogram[bin], expf(-depth));
            }
        }
    }
    const float cut = best - cut_of(histogram, fraction, &result);

    double count = 0.0;
    for (long long k = warp; k < chunks; k += WARPS) {
        const long long t = k / per_shift, begin = (k % per_shift) * CHUNK + lane;
        const float least = cut - shift_prior[t];
        if (tops[k] < cut - (1e-3f + 1e-6f * fabsf(cut))) continue;  // a margin for the rounding of the sum
        #pragma unroll
        for (int e = 0; e < EACH; e++) {
            const long long j = begin + e * 32;
            if (j < orientations) count += cross[t * orientations + j] - norm[j] >= least;
        }
    }
    count = block_sum(count, sums);
    if (threadIdx.x == 0) { cuts[i] = cut; counts[i] = (long long)(count + 0.5); }
}

extern "C" __global__ void __launch_bounds__(THREADS) gather_samples(
        const float* cross, const float* norm, const float* shift_prior, const float* cuts, const long long* offsets,
        long long* orientation, long long* shift, long long shifts, long long orientations) {
    __shared__ unsigned next;
    const long long i = blockIdx.x, begin = offsets[i], room = offsets[i + 1] - begin;
    cross += i * shifts * orientations; norm += i * orientations; shift_prior += i * shifts;
    if (threadIdx.x == 0) next = 0;
    __syncthreads();
    for (long long t = 0; t < shifts; t++) {
        const float least = cuts[i] - shift_prior[t];
        #pragma unroll 8
        for (long long j = threadIdx.x; j < orientations; j += THREADS) {
            if (cross[t * orientations + j] - norm[j] >= least) {
                const long long k = atomicAdd(&next, 1u);
                if (k < room) { orientation[begin + k] = j; shift[begin + k] = t; }
            }
        }
    }
}
"""


def find_cuts(cross: Array, norm: Array, shift_prior: Array, fraction: float, cuts: Array, counts: Array) -> None:
    """See `selection.find_cuts`."""
    import cupy

    n, shifts, orientations = cross.shape
    if n:
        tops = cupy.empty((n, shifts * blocks(orientations, _CHUNK)), cupy.float32)
        kernel(_SOURCE, "find_cuts")((n,), (significance.THREADS,), (
            cross, norm, shift_prior, float(fraction), cuts, counts, tops, shifts, orientations))


def gather_samples(cross: Array, norm: Array, shift_prior: Array, cuts: Array, offsets: Array, orientation: Array,
                   shift: Array) -> None:
    """See `selection.gather_samples`; the samples of a particle are in any order."""
    n, shifts, orientations = cross.shape
    if n:
        kernel(_SOURCE, "gather_samples")((n,), (significance.THREADS,), (
            cross, norm, shift_prior, cuts, offsets, orientation, shift, shifts, orientations))
