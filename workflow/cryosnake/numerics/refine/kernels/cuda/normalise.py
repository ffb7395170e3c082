"""Fine scores to probabilities, one block of threads per particle."""

from __future__ import annotations

from cryosnake.numerics.backend import Array
from cryosnake.numerics.refine.kernels.cuda import significance
from cryosnake.numerics.refine.kernels.cuda.compile import kernel

_SOURCE = significance.SOURCE + r"""
extern "C" __global__ void __launch_bounds__(THREADS) normalise(
        float* values, const long long* order, const long long* starts, double fraction, long long* best,
        double* top_weight, long long* significant, double* log_sum) {
    __shared__ float histogram[BINS];
    __shared__ float scratch[WARPS];
    __shared__ double sums[WARPS];
    __shared__ float result;
    __shared__ unsigned long long first;
    const long long i = blockIdx.x, begin = starts[i];
    const unsigned long long count = (starts[i + 1] - begin) * PER_SAMPLE;

    float top = -1e30f;
    for (unsigned long long e = threadIdx.x; e < count; e += THREADS)
        top = fmaxf(top, values[order[begin + e / PER_SAMPLE] * PER_SAMPLE + e % PER_SAMPLE]);
    for (int b = threadIdx.x; b < BINS; b += THREADS) histogram[b] = 0.0f;
    if (threadIdx.x == 0) first = ~0ull;
    top = block_max(top, scratch);

    double total = 0.0;
    for (unsigned long long e = threadIdx.x; e < count; e += THREADS) {
        const float depth = top - values[order[begin + e / PER_SAMPLE] * PER_SAMPLE + e % PER_SAMPLE];
        if (depth == 0.0f) atomicMin(&first, e);
        if (depth < DEPTH) {
            const float weight = expf(-depth);
            total += weight;
            atomicAdd(&histogram[min((int)(depth * PER_BIN), BINS - 1)], weight);
        }
    }
    total = block_sum(total, sums);
    const float cut = top - cut_of(histogram, fraction, &result);

    double kept = 0.0, number = 0.0;
    for (unsigned long long e = threadIdx.x; e < count; e += THREADS) {
        float* value = &values[order[begin + e / PER_SAMPLE] * PER_SAMPLE + e % PER_SAMPLE];
        const bool keep = *value >= cut;
        *value = keep ? expf(*value - top) : 0.0f;
        kept += *value;
        number += keep;
    }
    kept = block_sum(kept, sums);
    number = block_sum(number, sums);
    const float scale = (float)(1.0 / kept);
    for (unsigned long long e = threadIdx.x; e < count; e += THREADS)
        values[order[begin + e / PER_SAMPLE] * PER_SAMPLE + e % PER_SAMPLE] *= scale;
    if (threadIdx.x == 0) {
        best[i] = first < count ? order[begin + first / PER_SAMPLE] * PER_SAMPLE + first % PER_SAMPLE : -1LL;
        significant[i] = (long long)(number + 0.5);
        top_weight[i] = total > 0.0 ? 1.0 / total : 0.0;
        log_sum[i] = top + log(total);  // minus infinity without samples
    }
}
"""


def normalise(values: Array, order: Array, starts: Array, fraction: float, draws: int, numbers: object, sampled: Array,
              best: Array, top_weight: Array, significant: Array, log_sum: Array) -> None:
    """See `selection.normalise`; but nothing is drawn: `sampled`, which may be `values`, gets all the weights.

    Residual power is then exact. On a GPU it costs no more than the rest, which depends on all weights.
    """
    n = starts.size - 1
    if n:
        kernel(_SOURCE, "normalise", PER_SAMPLE=values.shape[1] * values.shape[2])(
            (n,), (significance.THREADS,),
            (values, order, starts, float(fraction), best, top_weight, significant, log_sum))
    if sampled is not values:
        sampled[...] = values
