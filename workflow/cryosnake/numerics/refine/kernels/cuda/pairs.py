"""Scores of pairs of particle and orientation at all shifts: ⟨S, conj(y) P⟩, which is one matrix product."""

from __future__ import annotations

from cryosnake.numerics.backend import Array
from cryosnake.numerics.refine.kernels.cuda.compile import WARP, blocks, kernel

_WARPS = 8
_VALUES_AT_ONCE = 1 << 28  # of the left operand of the matrix product, which has the pairs as rows

_SOURCE = r"""
// One warp per pair: conj(y) P, real parts before imaginary parts, and the sum of c^2 |P|^2.
extern "C" __global__ void __launch_bounds__(256) multiply(
        const float* slice_re, const float* slice_im, const long long* run, const long long* particle,
        const float* image_re, const float* image_im, const float* ctf2, float* product, float* norm,
        long long pairs, long long pixels) {
    const long long s = blockIdx.x * (long long)(blockDim.x / 32) + threadIdx.x / 32;
    if (s >= pairs) return;
    const long long orientation = run[s] * pixels, image = particle[s] * pixels;
    product += 2 * s * pixels;
    float power = 0.0f;
    for (long long p = threadIdx.x % 32; p < pixels; p += 32) {
        const float a = slice_re[orientation + p], b = slice_im[orientation + p];
        const float re = image_re[image + p], im = image_im[image + p];
        product[p] = re * a + im * b;
        product[pixels + p] = re * b - im * a;
        power += ctf2[image + p] * (a * a + b * b);
    }
    for (int h = 16; h > 0; h >>= 1) power += __shfl_xor_sync(0xffffffffu, power, h);
    if (threadIdx.x % 32 == 0) norm[s] = power;
}
"""


def score_pairs(slice_re: Array, slice_im: Array, run: Array, particle: Array, image_re: Array, image_im: Array,
                ctf2: Array, phase_re: Array, phase_im: Array, out: Array) -> None:
    """Write 2 Re⟨S c y, P⟩ − ⟨c², |P|²⟩ of each pair at all shifts to out (pairs, shifts).

    run, particle (pairs,) int64: which slice and which image a pair has; phase (shifts, pixels).
    """
    import cupy

    pixels = slice_re.shape[1]
    phases = cupy.concatenate([phase_re, phase_im], 1).T
    size = max(1, _VALUES_AT_ONCE // (2 * pixels))
    for begin in range(0, len(out), size):
        rows = slice(begin, min(begin + size, len(out)))
        count = rows.stop - begin
        product, norm = cupy.empty((count, 2 * pixels), cupy.float32), cupy.empty(count, cupy.float32)
        kernel(_SOURCE, "multiply")((blocks(count, _WARPS),), (_WARPS * WARP,), (
            slice_re, slice_im, run[rows], particle[rows], image_re, image_im, ctf2, product, norm, count, pixels))
        out[rows] = 2.0 * (product @ phases) - norm[:, None]
