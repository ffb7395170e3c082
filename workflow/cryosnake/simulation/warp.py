"""Moving a specimen by a field of shifts, with band-limited interpolation."""

from __future__ import annotations

import math

import numba as nb
import numpy as np

from cryosnake.simulation.motion import TrueMotion, total_shift

MARGIN = 40  # pixels simulated beyond each edge, so that motion brings in specimen, not the opposite edge
_TAPS = 12
_TABLE = 512
_CELL = 16  # pixels between the points at which the shift is calculated; linear in between


def _sinc_table() -> np.ndarray:
    """Return Kaiser-windowed sinc weights (_TABLE + 1, _TAPS) for the fractions 0 to 1 of a pixel."""
    fraction = np.arange(_TABLE + 1)[:, None] / _TABLE
    distance = np.arange(_TAPS)[None] - (_TAPS // 2 - 1) - fraction
    window = np.i0(5.0 * np.sqrt(np.clip(1.0 - (distance / (_TAPS / 2)) ** 2, 0.0, 1.0)))
    weights = np.sinc(distance) * window
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)


_SINC = _sinc_table()


@nb.njit(inline="always")
def _at_row(grid, column, row):  # type: ignore[no-untyped-def]
    """Return a grid's value in a given column at a fractional row."""
    j = min(max(int(row), 0), grid.shape[0] - 2)
    return grid[j, column] + (grid[j + 1, column] - grid[j, column]) * (row - j)


@nb.njit(parallel=True, fastmath=True, cache=True)
def _moved(image, shift_x, shift_y, cell, margin, shape, table):  # type: ignore[no-untyped-def]
    """Return the frame (h, w) whose pixel q shows `image` at q + shift(q); shifts are given on a grid of `cell` px."""
    h, w = shape
    rows, columns = image.shape
    knots = shift_x.shape[1]
    taps, steps = table.shape[1], table.shape[0] - 1
    across = np.zeros((rows, w), np.float32)
    for y in nb.prange(rows):  # first along x, at the specimen's own rows
        line = np.empty(knots)
        for i in range(knots):
            # The shift is that of the frame's row in which this row of the specimen ends up.
            row = (y - margin) / cell
            line[i] = _at_row(shift_x, i, row - _at_row(shift_y, i, row) / cell)
        for x in range(w):
            i = x // cell
            source = x + margin + line[i] + (line[i + 1] - line[i]) * (x - i * cell) / cell
            whole = int(math.floor(source))  # noqa: RUF046 - numba's floor is a float
            k, first = int((source - whole) * steps + 0.5), whole - taps // 2 + 1
            total = np.float32(0.0)
            if first >= 0 and first + taps <= columns:
                for t in range(taps):
                    total += table[k, t] * image[y, first + t]
            else:  # more motion than margin: the edge is repeated
                for t in range(taps):
                    total += table[k, t] * image[y, min(max(first + t, 0), columns - 1)]
            across[y, x] = total
    frame = np.empty((h, w), np.float32)
    for y in nb.prange(h):
        line = np.empty(knots)
        for i in range(knots):
            line[i] = _at_row(shift_y, i, y / cell)
        for x in range(w):
            i = x // cell
            source = y + margin + line[i] + (line[i + 1] - line[i]) * (x - i * cell) / cell
            whole = int(math.floor(source))  # noqa: RUF046
            k, first = int((source - whole) * steps + 0.5), whole - taps // 2 + 1
            total = np.float32(0.0)
            if first >= 0 and first + taps <= rows:
                for t in range(taps):
                    total += table[k, t] * across[first + t, x]
            else:
                for t in range(taps):
                    total += table[k, t] * across[min(max(first + t, 0), rows - 1), x]
            frame[y, x] = total
    return frame


def move(image: np.ndarray, motion: TrueMotion, frame: int, margin: int = MARGIN) -> np.ndarray:
    """Return the specimen (h + 2 margin, w + 2 margin) as seen in `frame`, (h, w): r moves to r - shift."""
    h, w = motion.shape
    y, x = np.meshgrid(np.arange(h // _CELL + 2) * _CELL, np.arange(w // _CELL + 2) * _CELL, indexing="ij")
    places = np.stack([x, y], -1).astype(np.float64)
    shift = np.zeros_like(places)
    for _ in range(3):  # the shift is known at r but needed at r - shift(r): fixed point
        shift = total_shift(motion, places + shift, frame)
    return np.asarray(_moved(np.ascontiguousarray(image, np.float32), np.ascontiguousarray(shift[..., 0]),
                             np.ascontiguousarray(shift[..., 1]), _CELL, margin, (h, w), _SINC))
