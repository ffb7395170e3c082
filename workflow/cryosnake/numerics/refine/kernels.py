"""Compiled kernels of the expectation step, organised by orientation.

A *sample* is a coarse orientation and a coarse shift of one particle. Samples are stored in parallel arrays sorted by
(orientation, particle, shift); `starts` says where each orientation's samples begin. Each orientation has `children`
(the oversampled orientations), each shift `sub` (the oversampled shifts).
"""

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


@nb.njit(parallel=True, fastmath=True, cache=True)
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


@nb.njit(parallel=True, fastmath=True, cache=True)
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


@nb.njit(fastmath=True, cache=True)
def _dot(a, b, c, d):  # type: ignore[no-untyped-def]
    total = np.float32(0.0)
    for p in range(a.size):
        total += a[p] * b[p] + c[p] * d[p]
    return total


@nb.njit(parallel=True, fastmath=True, cache=True)
def score(slice_re, slice_im, starts, particle, shift,  # type: ignore[no-untyped-def]
          image_re, image_im, ctf2, phase_re, phase_im, sub, out):
    """Log-likelihood, up to a constant, of every child and sub-shift of each sample, (samples, children, sub).

    slice (orientations · children, pixels); image: CTF times whitened image, (n, pixels); ctf2 (n, pixels);
    phase (fine shifts, pixels); sub (shifts, sub) their indices. 2 Re⟨S c y, P⟩ − ⟨c², |P|²⟩.
    """
    children, pixels = out.shape[1], slice_re.shape[1]
    for o in nb.prange(starts.size - 1):
        product_re, product_im = np.empty(pixels, np.float32), np.empty(pixels, np.float32)
        for c in range(children):
            re, im = slice_re[o * children + c], slice_im[o * children + c]
            s = starts[o]
            while s < starts[o + 1]:
                i = particle[s]
                y_re, y_im, c2 = image_re[i], image_im[i], ctf2[i]
                norm = np.float32(0.0)
                for p in range(pixels):
                    product_re[p] = y_re[p] * re[p] + y_im[p] * im[p]
                    product_im[p] = y_re[p] * im[p] - y_im[p] * re[p]
                    norm += c2[p] * (re[p] * re[p] + im[p] * im[p])
                while s < starts[o + 1] and particle[s] == i:
                    for u in range(sub.shape[1]):
                        f = sub[shift[s], u]
                        out[s, c, u] = 2 * _dot(phase_re[f], product_re, phase_im[f], product_im) - norm
                    s += 1


@nb.njit(parallel=True, cache=True)
def normalise(values, order, starts, fraction, best, top_weight, significant, log_sum):  # type: ignore[no-untyped-def]
    """Turn log-weights (samples, children, sub) into probabilities, 0 outside the significant `fraction`, in place.

    `order` lists the samples by particle, `starts` (n + 1) says where each particle's begin. best (n,) is the flat
    index of the largest value, top_weight its probability, log_sum the log of the sum of the weights.
    """
    per_sample = values.shape[1] * values.shape[2]
    flat = values.reshape(values.shape[0], per_sample)
    for i in nb.prange(starts.size - 1):
        top, where = -1e30, -1
        for k in range(starts[i], starts[i + 1]):
            for u in range(per_sample):
                if flat[order[k], u] > top:
                    top, where = flat[order[k], u], order[k] * per_sample + u
        histogram = np.zeros(_BINS)
        total = 0.0
        for k in range(starts[i], starts[i + 1]):
            for u in range(per_sample):
                depth = top - flat[order[k], u]
                if depth < _DEPTH:
                    weight = math.exp(-depth)
                    total += weight
                    histogram[min(int(depth * (_BINS / _DEPTH)), _BINS - 1)] += weight
        cut = top - _cut(histogram, fraction)
        kept, count = 0.0, 0
        for k in range(starts[i], starts[i + 1]):
            for u in range(per_sample):
                value = flat[order[k], u]
                if value >= cut:
                    weight = math.exp(value - top)
                    flat[order[k], u] = weight
                    kept += weight
                    count += 1
                else:
                    flat[order[k], u] = 0.0
        for k in range(starts[i], starts[i + 1]):
            for u in range(per_sample):
                flat[order[k], u] /= kept
        best[i], significant[i] = where, count
        top_weight[i] = 1.0 / total if total > 0 else 0.0
        log_sum[i] = top + math.log(total) if total > 0 else -math.inf


@nb.njit(parallel=True, fastmath=True, cache=True)
def accumulate(slice_re, slice_im, starts, particle, shift, weights,  # type: ignore[no-untyped-def]
               image_re, image_im, raw_re, raw_im, ctf2, phase_re, phase_im, sub, shell_starts,
               data_re, data_im, data_weight, cross, power):
    """Sum, per child orientation, w c S y of the raw (unmasked) images and w c², and the noise terms per particle.

    data_… (orientations · children, pixels) are overwritten. cross and power (threads, n, shells) gain Re⟨w S c y, P⟩
    of the masked images and w c²|P|², from which the residual power follows without forming residuals.
    """
    children, pixels = weights.shape[1], slice_re.shape[1]
    for o in nb.prange(starts.size - 1):
        thread = nb.get_thread_id()
        phi_re, phi_im = np.empty(pixels, np.float32), np.empty(pixels, np.float32)
        for c in range(children):
            row = o * children + c
            re, im = slice_re[row], slice_im[row]
            sum_re, sum_im, sum_w = data_re[row], data_im[row], data_weight[row]
            sum_re[:] = 0
            sum_im[:] = 0
            sum_w[:] = 0
            s = starts[o]
            while s < starts[o + 1]:
                i = particle[s]
                mass = np.float32(0.0)
                while s < starts[o + 1] and particle[s] == i:
                    for u in range(sub.shape[1]):
                        w = weights[s, c, u]
                        if w > 0:
                            if mass == 0:  # most children of most samples have no weight: nothing to clear for them
                                phi_re[:] = 0
                                phi_im[:] = 0
                            f = sub[shift[s], u]
                            mass += w
                            for p in range(pixels):
                                phi_re[p] += w * phase_re[f, p]
                                phi_im[p] += w * phase_im[f, p]
                    s += 1
                if mass == 0:
                    continue
                y_re, y_im, z_re, z_im, c2 = image_re[i], image_im[i], raw_re[i], raw_im[i], ctf2[i]
                for p in range(pixels):
                    sum_re[p] += phi_re[p] * z_re[p] - phi_im[p] * z_im[p]
                    sum_im[p] += phi_re[p] * z_im[p] + phi_im[p] * z_re[p]
                    sum_w[p] += mass * c2[p]
                for h in range(shell_starts.size - 1):
                    x, a = np.float32(0.0), np.float32(0.0)
                    for p in range(shell_starts[h], shell_starts[h + 1]):
                        x += re[p] * (phi_re[p] * y_re[p] - phi_im[p] * y_im[p]) + im[p] * (
                            phi_re[p] * y_im[p] + phi_im[p] * y_re[p])
                        a += c2[p] * (re[p] * re[p] + im[p] * im[p])
                    cross[thread, i, h] += x
                    power[thread, i, h] += mass * a
