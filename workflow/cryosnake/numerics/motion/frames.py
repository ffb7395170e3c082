"""Correction of raw frames: gain reference, detection and replacement of bad pixels."""

from __future__ import annotations

import numpy as np

from cryosnake.numerics.backend import Array, namespace

_SIGMA = 6.0  # as in RELION
_MOST_BAD = 0.2  # of all pixels; more is a wrong gain reference or defect file, not a camera
_SURELY_HIT = 25.0  # mean counts in the sum above which a pixel without counts is dead: e⁻²⁵ of 10⁷ pixels


def bad_pixels(total: np.ndarray, known: np.ndarray | None = None) -> np.ndarray:
    """Find the pixels that do not count electrons correctly.

    Hot: more than six standard deviations above the mean of the sum, both without the hot pixels themselves (so that
    one very hot pixel hides no other). Dead: no counts where many electrons are expected. Not finite: always.

    Parameters
    ----------
    total
        Sum of the gain-corrected frames, (ny, nx).
    known
        Pixels known to be bad, (ny, nx) bool: defect file, zeros of the gain reference.

    Returns
    -------
    ndarray
        bool, (ny, nx).

    Raises
    ------
    ValueError
        When more than a fifth of all pixels are bad, or the movie is constant.
    """
    bad = ~np.isfinite(total)
    if known is not None:
        bad |= known
    values = np.where(bad, 0, total).astype(np.float64)
    count, sum1, sum2 = bad.size - bad.sum(), values.sum(), np.square(values).sum()
    mean = 0.0
    while count:
        mean = sum1 / count
        deviation = np.sqrt(max(sum2 / count - mean * mean, 0.0))
        if deviation == 0:
            raise ValueError("all pixels of the movie have the same value: it contains no image")
        new = (values > mean + _SIGMA * deviation) & ~bad
        if not new.any():
            break
        found = values[new]
        count, sum1, sum2 = count - found.size, sum1 - found.sum(), sum2 - np.square(found).sum()
        bad |= new
    if mean > _SURELY_HIT:
        bad |= total == 0
    if bad.mean() > _MOST_BAD:
        raise ValueError(f"{bad.mean():.0%} of the pixels are bad: gain reference or defect file does not belong to "
                         "this movie (rotated, flipped, another camera?)")
    return bad


def replacement_sources(bad: np.ndarray, targets: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw a good pixel near each bad one, at random: its value has the right mean and the right noise.

    The neighbourhood is 5 by 5 pixels and doubles until it contains a good one, so that any defect, even a column or
    a corner of the camera, is filled.

    Parameters
    ----------
    bad
        bool, (ny, nx), not all True.
    targets
        `np.flatnonzero(bad)`, made once for all frames.
    rng
        Random number generator; a new one for every frame, or replaced pixels would correlate.

    Returns
    -------
    ndarray
        Flat indices, one for each of `targets`.
    """
    rows, columns = bad.shape
    y, x = np.divmod(targets, columns)
    sources = np.empty(len(y), dtype=np.intp)
    todo = np.arange(len(y))
    radius, attempt = 2, 0
    while todo.size:
        at_y = y[todo] + rng.integers(-radius, radius, todo.size, endpoint=True)
        at_x = x[todo] + rng.integers(-radius, radius, todo.size, endpoint=True)
        inside = (at_y >= 0) & (at_y < rows) & (at_x >= 0) & (at_x < columns)
        good = inside & ~bad[np.where(inside, at_y, 0), np.where(inside, at_x, 0)]
        sources[todo[good]] = at_y[good] * columns + at_x[good]
        todo = todo[~good]
        attempt += 1
        if attempt % 8 == 0:
            radius = min(2 * radius, max(rows, columns))
    return sources


def corrected_frame(frame: Array, gain: Array | None, targets: Array, sources: Array, out: Array) -> None:
    """Write a frame, times the gain reference, to `out`; its bad pixels (flat `targets`) are taken from `sources`.

    Parameters
    ----------
    frame
        Counts, (ny, nx), of any type.
    gain
        float32 (ny, nx), or None.
    targets, sources
        Flat indices, see `replacement_sources`.
    out
        float32 (ny, nx), contiguous; reused for every frame, because new memory costs more than the product.
    """
    if gain is None:
        out[...] = frame
    else:
        namespace(frame).multiply(frame, gain, out=out)
    flat = out.reshape(-1)
    flat[targets] = flat[sources]
