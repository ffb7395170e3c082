"""Local maxima with a minimum distance between them."""

from __future__ import annotations

import numba as nb
import numpy as np


@nb.njit(cache=True)
def _maxima(score, allowed, rows, columns):  # type: ignore[no-untyped-def]
    count = 0
    for y in range(1, score.shape[0] - 1):
        for x in range(1, score.shape[1] - 1):
            value = score[y, x]
            if not allowed[y, x] or not np.isfinite(value):
                continue
            highest = True
            for i in range(-1, 2):
                for j in range(-1, 2):
                    other = score[y + i, x + j]
                    # of a plateau the first pixel in reading order counts
                    if other > value or (other == value and (i < 0 or (i == 0 and j < 0))):
                        highest = False
            if highest:
                rows[count], columns[count] = y, x
                count += 1
    return count


@nb.njit(cache=True)
def _spaced(rows, columns, distance, keep):  # type: ignore[no-untyped-def]
    """Keep peaks, from the highest on, that are not nearer than `distance` to one already kept."""
    kept = np.empty(len(rows), np.int64)
    count = 0
    for k in range(len(rows)):
        free = True
        for m in range(count):
            dy, dx = rows[k] - rows[kept[m]], columns[k] - columns[kept[m]]
            if dy * dy + dx * dx < distance * distance:
                free = False
                break
        if free:
            keep[k] = True
            kept[count] = k
            count += 1


def find_peaks(
    score: np.ndarray,  # (h, w)
    allowed: np.ndarray,  # (h, w) bool
    distance: float,  # pixels
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return local maxima, highest first, that are at least `distance` apart.

    Returns
    -------
    positions : (n, 2) float64
        x, y in pixels, refined by a parabola through three pixels along each axis.
    heights : (n,) float32
    pixels : (n, 2) int64
        row and column of the maximum.
    """
    score = np.ascontiguousarray(score, np.float32)
    room = score.size // 4 + 4  # of four neighbours at most one is a maximum
    rows, columns = np.empty(room, np.int64), np.empty(room, np.int64)
    count = _maxima(score, np.ascontiguousarray(allowed), rows, columns)
    rows, columns = rows[:count], columns[:count]
    order = np.argsort(-score[rows, columns], kind="stable")
    rows, columns = rows[order], columns[order]
    keep = np.zeros(count, np.bool_)
    _spaced(rows, columns, float(distance), keep)
    rows, columns = rows[keep], columns[keep]
    x, y = columns + _offset(score, rows, columns, 0, 1), rows + _offset(score, rows, columns, 1, 0)
    return np.stack([x, y], -1), score[rows, columns], np.stack([rows, columns], -1)


def _offset(score: np.ndarray, rows: np.ndarray, columns: np.ndarray, dy: int, dx: int) -> np.ndarray:
    before, here, after = score[rows - dy, columns - dx], score[rows, columns], score[rows + dy, columns + dx]
    curvature = (before - 2.0 * here + after).astype(np.float64)
    flat = ~(curvature < 0.0)
    return np.where(flat, 0.0, 0.5 * (before - after) / np.where(flat, 1.0, curvature)).clip(-0.5, 0.5)
