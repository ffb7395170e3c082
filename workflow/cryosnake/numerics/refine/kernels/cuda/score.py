"""Fine scores: one warp per sample, which takes all children and sub-shifts at once, so that it reads little."""

from __future__ import annotations

from cryosnake.numerics.backend import Array
from cryosnake.numerics.refine.kernels.cuda.compile import WARP, blocks, kernel
from cryosnake.numerics.refine.kernels.cuda.pairs import score_pairs

_WARPS = 8

_SOURCE = r"""
#define VALUES (CHILDREN * SUB)

extern "C" __global__ void __launch_bounds__(256) score(
        const float* slice_re, const float* slice_im, const long long* run, const long long* particle,
        const long long* shift, const float* image_re, const float* image_im, const float* ctf2,
        const float* phase_re, const float* phase_im, const long long* sub, float* out,
        long long samples, long long pixel_count) {
    const int lane = threadIdx.x % 32, pixels = (int)pixel_count;
    const long long s = blockIdx.x * (long long)(blockDim.x / 32) + threadIdx.x / 32;
    if (s >= samples) return;
    const float* re = slice_re + run[s] * CHILDREN * pixels;
    const float* im = slice_im + run[s] * CHILDREN * pixels;
    const float* y_re = image_re + particle[s] * pixels;
    const float* y_im = image_im + particle[s] * pixels;
    const float* c2 = ctf2 + particle[s] * pixels;
    const float* p_re[SUB];
    const float* p_im[SUB];
    #pragma unroll
    for (int u = 0; u < SUB; u++) {
        const long long fine = sub[shift[s] * SUB + u] * pixels;
        p_re[u] = phase_re + fine;
        p_im[u] = phase_im + fine;
    }
    float value[VALUES], norm[CHILDREN];
    #pragma unroll
    for (int v = 0; v < VALUES; v++) value[v] = 0.0f;
    #pragma unroll
    for (int c = 0; c < CHILDREN; c++) norm[c] = 0.0f;

    for (int p = lane; p < pixels; p += 32) {
        const float yr = y_re[p], yi = y_im[p], power = c2[p];
        float mr[SUB], mi[SUB];  // the moved image
        #pragma unroll
        for (int u = 0; u < SUB; u++) {
            const float a = p_re[u][p], b = p_im[u][p];
            mr[u] = a * yr - b * yi;
            mi[u] = a * yi + b * yr;
        }
        #pragma unroll
        for (int c = 0; c < CHILDREN; c++) {
            const float a = re[(long long)c * pixels + p], b = im[(long long)c * pixels + p];
            norm[c] += power * (a * a + b * b);
            #pragma unroll
            for (int u = 0; u < SUB; u++) value[c * SUB + u] += mr[u] * a + mi[u] * b;
        }
    }
    #pragma unroll
    for (int v = 0; v < VALUES; v++) value[v] = 2.0f * value[v] - norm[v / SUB];
#if VALUES == 32
    // Each step halves the number of values that a lane has to do with: lane v ends with the sum of value v.
    #pragma unroll
    for (int h = 16; h > 0; h >>= 1) {
        #pragma unroll
        for (int v = 0; v < h; v++) {
            const float low = value[v], high = value[v + h];
            const float sent = __shfl_xor_sync(0xffffffffu, lane & h ? low : high, h);
            value[v] = (lane & h ? high : low) + sent;
        }
    }
    out[s * VALUES + lane] = value[0];
#else
    #pragma unroll
    for (int v = 0; v < VALUES; v++) {
        for (int h = 16; h > 0; h >>= 1) value[v] += __shfl_xor_sync(0xffffffffu, value[v], h);
        if (lane == 0) out[s * VALUES + v] = value[v];
    }
#endif
}
"""


def run_of_samples(starts: Array, samples: int) -> Array:
    """Return the number (samples,) int64 of the run that each sample belongs to; runs start at `starts`."""
    import cupy

    return cupy.searchsorted(starts[1:], cupy.arange(samples), side="right").astype(cupy.int64)


def score(slice_re: Array, slice_im: Array, starts: Array, particle: Array, shift: Array, image_re: Array,
          image_im: Array, ctf2: Array, phase_re: Array, phase_im: Array, sub: Array, out: Array) -> None:
    """See `scores.score`."""
    samples, children, subs = out.shape
    if samples == 0:
        return
    run = run_of_samples(starts, samples)
    if children == 1 and len(sub) == 1 and subs > 1:
        score_pairs(slice_re, slice_im, run, particle, image_re, image_im, ctf2, phase_re[sub[0]], phase_im[sub[0]],
                    out[:, 0])
        return
    kernel(_SOURCE, "score", CHILDREN=children, SUB=subs)((blocks(samples, _WARPS),), (_WARPS * WARP,), (
        slice_re, slice_im, run, particle, shift, image_re, image_im, ctf2, phase_re, phase_im, sub, out, samples,
        slice_re.shape[1]))
