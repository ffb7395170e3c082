"""Compiled kernels of the expectation step, organised by orientation: scores and weighted sums.

A *sample* is a coarse orientation and a coarse shift of one particle. Samples are stored in parallel arrays sorted by
(orientation, particle, shift); `starts` says where each orientation's samples start. Each orientation has `children`
(the oversampled orientations), each shift `sub` (the oversampled shifts). Inner loops are products of small matrices,
children by shifts, over the pixels, so that each value read is used several times.
"""

from __future__ import annotations

import numba as nb
import numpy as np

_ZERO = np.float32(0.0)


@nb.njit(fastmath=True, cache=True)
def _move(re, im, phase_re, phase_im, moved_re, moved_im):  # type: ignore[no-untyped-def]
    for p in range(re.size):
        moved_re[p] = phase_re[p] * re[p] - phase_im[p] * im[p]
        moved_im[p] = phase_re[p] * im[p] + phase_im[p] * re[p]


@nb.njit(fastmath=True, cache=True)
def _dot(a_re, a_im, b_re, b_im):  # type: ignore[no-untyped-def]
    total = _ZERO
    for p in range(a_re.size):
        total += a_re[p] * b_re[p] + a_im[p] * b_im[p]
    return total


@nb.njit(fastmath=True, cache=True)
def _dots_2x4(a_re, a_im, b_re, b_im):  # type: ignore[no-untyped-def]
    """Re⟨a_i, b_k⟩ of two rows a and four rows b."""
    c00 = c01 = c02 = c03 = c10 = c11 = c12 = c13 = _ZERO
    x_re, y_re, x_im, y_im = a_re[0], a_re[1], a_im[0], a_im[1]
    r0, r1, r2, r3, i0, i1, i2, i3 = b_re[0], b_re[1], b_re[2], b_re[3], b_im[0], b_im[1], b_im[2], b_im[3]
    for p in range(x_re.size):
        c00 += x_re[p] * r0[p] + x_im[p] * i0[p]
        c01 += x_re[p] * r1[p] + x_im[p] * i1[p]
        c02 += x_re[p] * r2[p] + x_im[p] * i2[p]
        c03 += x_re[p] * r3[p] + x_im[p] * i3[p]
        c10 += y_re[p] * r0[p] + y_im[p] * i0[p]
        c11 += y_re[p] * r1[p] + y_im[p] * i1[p]
        c12 += y_re[p] * r2[p] + y_im[p] * i2[p]
        c13 += y_re[p] * r3[p] + y_im[p] * i3[p]
    return c00, c01, c02, c03, c10, c11, c12, c13


@nb.njit(fastmath=True, cache=True)
def _dots_1x4(x_re, x_im, b_re, b_im):  # type: ignore[no-untyped-def]
    """Re⟨x, b_k⟩ of four rows b."""
    c0 = c1 = c2 = c3 = _ZERO
    r0, r1, r2, r3, i0, i1, i2, i3 = b_re[0], b_re[1], b_re[2], b_re[3], b_im[0], b_im[1], b_im[2], b_im[3]
    for p in range(x_re.size):
        c0 += x_re[p] * r0[p] + x_im[p] * i0[p]
        c1 += x_re[p] * r1[p] + x_im[p] * i1[p]
        c2 += x_re[p] * r2[p] + x_im[p] * i2[p]
        c3 += x_re[p] * r3[p] + x_im[p] * i3[p]
    return c0, c1, c2, c3


@nb.njit(fastmath=True, cache=True)
def _norms(re, im, ctf2, norm):  # type: ignore[no-untyped-def]
    """⟨c², |P|²⟩ of each child."""
    for c in range(norm.size):
        total = _ZERO
        a, b = re[c], im[c]
        for p in range(ctf2.size):
            total += ctf2[p] * (a[p] * a[p] + b[p] * b[p])
        norm[c] = total


@nb.njit(fastmath=True, cache=True)
def _score_block(re, im, moved_re, moved_im, norm, out):  # type: ignore[no-untyped-def]
    """Out (children, sub) = 2 Re⟨moved, P⟩ − norm."""
    children, subs = out.shape
    c = 0
    if subs == 4:
        while c + 2 <= children:
            d = _dots_2x4(re[c : c + 2], im[c : c + 2], moved_re, moved_im)
            for u in range(4):
                out[c, u], out[c + 1, u] = 2 * d[u] - norm[c], 2 * d[4 + u] - norm[c + 1]
            c += 2
    elif subs == 1:
        while c + 4 <= children:
            d = _dots_1x4(moved_re[0], moved_im[0], re[c : c + 4], im[c : c + 4])
            for k in range(4):
                out[c + k, 0] = 2 * d[k] - norm[c + k]
            c += 4
    while c < children:
        for u in range(subs):
            out[c, u] = 2 * _dot(re[c], im[c], moved_re[u], moved_im[u]) - norm[c]
        c += 1


@nb.njit(fastmath=True, cache=True)
def _score_shifts(re, im, y_re, y_im, phase_re, phase_im, sub, norm, product_re, product_im, out):  # type: ignore[no-untyped-def]
    """Out (sub,) = 2 Re⟨S y, P⟩ − norm of one orientation at many shifts: ⟨S, conj(y) P⟩."""
    for p in range(re.size):
        product_re[p] = y_re[p] * re[p] + y_im[p] * im[p]
        product_im[p] = y_re[p] * im[p] - y_im[p] * re[p]
    u = 0
    while u + 4 <= sub.size:
        if sub[u + 3] - sub[u] == 3:
            block = slice(sub[u], sub[u] + 4)
            d = _dots_1x4(product_re, product_im, phase_re[block], phase_im[block])
            for k in range(4):
                out[u + k] = 2 * d[k] - norm
        else:
            for k in range(4):
                out[u + k] = 2 * _dot(product_re, product_im, phase_re[sub[u + k]], phase_im[sub[u + k]]) - norm
        u += 4
    while u < sub.size:
        out[u] = 2 * _dot(product_re, product_im, phase_re[sub[u]], phase_im[sub[u]]) - norm
        u += 1


@nb.njit(parallel=True, fastmath=True, nogil=True, cache=True)
def score(slice_re, slice_im, starts, particle, shift,  # type: ignore[no-untyped-def]
          image_re, image_im, ctf2, phase_re, phase_im, sub, out):
    """Log-likelihood, up to a constant, of every child and sub-shift of each sample, (samples, children, sub).

    slice (orientations · children, pixels); image: CTF times whitened image, (n, pixels); ctf2 (n, pixels);
    phase (fine shifts, pixels); sub (shifts, sub) their indices. 2 Re⟨S c y, P⟩ − ⟨c², |P|²⟩.
    """
    children, pixels, subs = out.shape[1], slice_re.shape[1], sub.shape[1]
    for o in nb.prange(starts.size - 1):
        moved_re, moved_im = np.empty((subs, pixels), np.float32), np.empty((subs, pixels), np.float32)
        norm = np.empty(children, np.float32)
        rows = slice(o * children, (o + 1) * children)
        re, im = slice_re[rows], slice_im[rows]
        last = -1
        for s in range(starts[o], starts[o + 1]):
            i = particle[s]
            if i != last:
                _norms(re, im, ctf2[i], norm)
                last = i
            if children == 1 and subs > 1:
                _score_shifts(re[0], im[0], image_re[i], image_im[i], phase_re, phase_im, sub[shift[s]], norm[0],
                              moved_re[0], moved_im[0], out[s, 0])
                continue
            for u in range(subs):
                f = sub[shift[s], u]
                _move(image_re[i], image_im[i], phase_re[f], phase_im[f], moved_re[u], moved_im[u])
            _score_block(re, im, moved_re, moved_im, norm, out[s])


@nb.njit(fastmath=True, cache=True)
def _add_1(w, moved_re, moved_im, sum_re, sum_im):  # type: ignore[no-untyped-def]
    for p in range(sum_re.size):
        sum_re[p] += w * moved_re[p]
        sum_im[p] += w * moved_im[p]


@nb.njit(fastmath=True, cache=True)
def _add_4(w, moved_re, moved_im, sum_re, sum_im):  # type: ignore[no-untyped-def]
    w0, w1, w2, w3 = w[0], w[1], w[2], w[3]
    r0, r1, r2, r3 = moved_re[0], moved_re[1], moved_re[2], moved_re[3]
    i0, i1, i2, i3 = moved_im[0], moved_im[1], moved_im[2], moved_im[3]
    for p in range(sum_re.size):
        sum_re[p] += w0 * r0[p] + w1 * r1[p] + w2 * r2[p] + w3 * r3[p]
        sum_im[p] += w0 * i0[p] + w1 * i1[p] + w2 * i2[p] + w3 * i3[p]


@nb.njit(fastmath=True, cache=True)
def _add_weighted(weights, moved_re, moved_im, sums_re, sums_im):  # type: ignore[no-untyped-def]
    """Σ_u w[c, u] moved[u] into the sums of each child; rows of `moved` without weight are not read."""
    children, subs = weights.shape
    for c in range(children):
        filled = 0
        for u in range(subs):
            filled += weights[c, u] > 0
        if filled == 4 and subs == 4:
            _add_4(weights[c], moved_re, moved_im, sums_re[c], sums_im[c])
        elif filled:
            for u in range(subs):
                if weights[c, u] > 0:
                    _add_1(weights[c, u], moved_re[u], moved_im[u], sums_re[c], sums_im[c])


@nb.njit(fastmath=True, cache=True)
def _add_residuals(w, re, im, y_re, y_im, phase_re, phase_im, c2, shell_starts, cross, power):  # type: ignore[no-untyped-def]
    """Add w Re⟨S c y, P⟩ and w c²|P|² by shell."""
    for h in range(shell_starts.size - 1):
        x, a = _ZERO, _ZERO
        for p in range(shell_starts[h], shell_starts[h + 1]):
            x += re[p] * (phase_re[p] * y_re[p] - phase_im[p] * y_im[p]) + im[p] * (
                phase_re[p] * y_im[p] + phase_im[p] * y_re[p])
            a += c2[p] * (re[p] * re[p] + im[p] * im[p])
        cross[h] += w * x
        power[h] += w * a


@nb.njit(parallel=True, fastmath=True, nogil=True, cache=True)
def accumulate(slice_re, slice_im, starts, particle, shift, weights, sampled,  # type: ignore[no-untyped-def]
               image_re, image_im, raw_re, raw_im, ctf2, phase_re, phase_im, sub, shell_starts,
               data_re, data_im, data_weight, cross, power):
    """Sum, per child orientation, w c S y of the raw (unmasked) images and w c², and the noise terms per particle.

    data_… (orientations · children, pixels): rows of children with weight are overwritten, others not touched. cross
    and power (threads, n, shells) gain Re⟨w S c y, P⟩ of the masked images and w c²|P|², w from `sampled` (see
    `selection.normalise`), from which the residual power follows without forming residuals.
    """
    children, pixels, subs = weights.shape[1], slice_re.shape[1], sub.shape[1]
    for o in nb.prange(starts.size - 1):
        thread = nb.get_thread_id()
        moved_re, moved_im = np.empty((subs, pixels), np.float32), np.empty((subs, pixels), np.float32)
        mass = np.zeros(children, np.float32)
        rows = slice(o * children, (o + 1) * children)
        re, im, sum_re, sum_im, sum_w = slice_re[rows], slice_im[rows], data_re[rows], data_im[rows], data_weight[rows]
        begun = np.zeros(children, np.bool_)
        for s in range(starts[o], starts[o + 1]):
            i = particle[s]
            for u in range(subs):
                f, wanted = sub[shift[s], u], False
                for c in range(children):
                    w = weights[s, c, u]
                    if w > 0:
                        wanted = True
                        mass[c] += w
                        if not begun[c]:
                            sum_re[c], sum_im[c], sum_w[c], begun[c] = _ZERO, _ZERO, _ZERO, True
                    if sampled[s, c, u] > 0:
                        _add_residuals(sampled[s, c, u], re[c], im[c], image_re[i], image_im[i], phase_re[f],
                                       phase_im[f], ctf2[i], shell_starts, cross[thread, i], power[thread, i])
                if wanted:
                    _move(raw_re[i], raw_im[i], phase_re[f], phase_im[f], moved_re[u], moved_im[u])
            _add_weighted(weights[s], moved_re, moved_im, sum_re, sum_im)
            if s + 1 == starts[o + 1] or particle[s + 1] != i:
                for c in range(children):
                    if mass[c] > 0:
                        for p in range(pixels):
                            sum_w[c, p] += mass[c] * ctf2[i, p]
                mass[:] = _ZERO
