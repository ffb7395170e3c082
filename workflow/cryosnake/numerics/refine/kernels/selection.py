"""Significance kernels of the expectation step: which samples are significant, and their probabilities."""

from __future__ import annotations

import math

import numba as nb
import numpy as np

# Log-weights further below the maximum than this are never significant: e^-25 times 10^7 samples is below 0.1 %.
_DEPTH = 25.0
_BINS = 1024


@nb.njit(cache=True)
def _cut(histogram, fraction):  # type: ignore[no-untyped-def]
    """Distance from the maximum within which `fraction` of the mass lies."""
    total = 0.0
    for b in range(histogram.size):
        total += histogram[b]
    mass = 0.0
    for b in range(histogram.size):
        mass += histogram[b]
        if mass >= fraction * total:
            return (b + 1) * _DEPTH / _BINS
    return _DEPTH


@nb.njit(parallel=True, fastmath=True, nogil=True, cache=True)
def find_cuts(cross, norm, shift_prior, fraction, cuts, counts):  # type: ignore[no-untyped-def]
    """Find, per particle, the log-weight above which lie the samples that hold `fraction` of the probability.

    cross (n, shifts, orientations), norm (n, orientations) (minus the log prior), shift_prior (n, shifts).
    Results: cuts (n,) and the number of samples above them, counts (n,).
    """
    for i in nb.prange(cross.shape[0]):
        best = np.float32(-1e30)
        for t in range(cross.shape[1]):
            top = np.float32(-1e30)
            for j in range(cross.shape[2]):
                top = max(top, cross[i, t, j] - norm[i, j])
            best = max(best, top + shift_prior[i, t])
        histogram = np.zeros(_BINS)
        for t in range(cross.shape[1]):
            floor = best - np.float32(_DEPTH) - shift_prior[i, t]
            for j in range(cross.shape[2]):
                value = cross[i, t, j] - norm[i, j]
                if value > floor:
                    depth = best - shift_prior[i, t] - value
                    bin_ = min(int(depth * (_BINS / _DEPTH)), _BINS - 1)
                    histogram[bin_] += math.exp(-depth)
        cuts[i] = best - _cut(histogram, fraction)
        count = 0
        for t in range(cross.shape[1]):
            floor = cuts[i] - shift_prior[i, t]
            for j in range(cross.shape[2]):
                count += cross[i, t, j] - norm[i, j] >= floor
        counts[i] = count


@nb.njit(parallel=True, fastmath=True, nogil=True, cache=True)
def gather_samples(cross, norm, shift_prior, cuts, offsets, orientation, shift):  # type: ignore[no-untyped-def]
    """Write the samples above the cuts, those of particle i from offsets[i] on."""
    for i in nb.prange(cross.shape[0]):
        k, end = offsets[i], offsets[i + 1]
        for t in range(cross.shape[1]):
            floor = cuts[i] - shift_prior[i, t]
            for j in range(cross.shape[2]):
                if cross[i, t, j] - norm[i, j] >= floor and k < end:
                    orientation[k] = j
                    shift[k] = t
                    k += 1


@nb.njit(parallel=True, nogil=True, cache=True)
def normalise(values, order, starts, fraction, draws, numbers, sampled, best, top_weight, significant, log_sum):  # type: ignore[no-untyped-def]
    """Turn log-weights (samples, children, sub) into probabilities, 0 outside the significant `fraction`, in place.

    `sampled` becomes a second set of weights that sum to 1, of at most `draws` samples per particle: all samples where
    there are no more, else as many drawn by systematic resampling, which leaves every expectation unbiased (Douc,
    Cappé & Moulines 2005). Residual power, which is noisy, is taken over these. `order` lists the samples by
    particle, `starts` (n + 1) says where each particle's start. best (n,) is the flat index of the largest value,
    top_weight its probability, log_sum the log of the sum of the weights.
    """
    per_sample = values.shape[1] * values.shape[2]
    flat, twin = values.reshape(values.shape[0], per_sample), sampled.reshape(values.shape[0], per_sample)
    for i in nb.prange(starts.size - 1):
        top, where = np.float32(-3e38), -1
        for k in range(starts[i], starts[i + 1]):
            row = flat[order[k]]
            for u in range(per_sample):
                if row[u] > top:
                    top, where = row[u], order[k] * per_sample + u
        histogram = np.zeros(_BINS)
        total = 0.0
        for k in range(starts[i], starts[i + 1]):
            row = flat[order[k]]
            for u in range(per_sample):
                depth = top - row[u]
                row[u] = 0
                if depth < np.float32(_DEPTH):
                    row[u] = math.exp(-depth)
                    total += row[u]
                    histogram[min(int(depth * np.float32(_BINS / _DEPTH)), _BINS - 1)] += row[u]
        least = np.float32(math.exp(-_cut(histogram, fraction)))
        kept, count = 0.0, 0
        for k in range(starts[i], starts[i + 1]):
            row = flat[order[k]]
            for u in range(per_sample):
                if row[u] >= least:
                    kept += row[u]
                    count += 1
                else:
                    row[u] = 0
        # Each particle's own start of the comb, in whatever block; never 0, or rounding decides about the last draw.
        passed = (((numbers[i] + 0.5) * 0.618034) % 1.0) / draws
        share = np.float32(1.0 / kept) if kept > 0 else np.float32(0.0)
        for k in range(starts[i], starts[i + 1]):
            row, picked = flat[order[k]], twin[order[k]]
            for u in range(per_sample):
                weight = row[u] * share
                row[u] = weight
                if count <= draws:
                    picked[u] = weight
                elif weight == 0:
                    picked[u] = 0
                else:
                    before = math.floor(passed * draws)
                    passed += weight
                    picked[u] = (math.floor(passed * draws) - before) / draws
        best[i], significant[i] = where, count
        top_weight[i] = 1.0 / total if total > 0 else 0.0
        log_sum[i] = top + math.log(total) if total > 0 else -math.inf
