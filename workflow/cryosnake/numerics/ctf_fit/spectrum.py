"""Average amplitude spectrum of a micrograph from overlapping tiles."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import scipy.fft

from cryosnake.numerics.backend import Array, fft_of, namespace, to_numpy

FINEST_SAMPLING = 1.4  # Å: rings beyond 2.8 Å are rarely seen, and a coarser sampling keeps the rings wide
SMALLEST_BOX = 128
TILES_AT_ONCE = 8  # limits the memory of a set of tiles


def fitting_sampling(pixel_size: float, resolution_high: float) -> float:
    """Return the sampling in Å at which to fit, so that the highest resolution is well within Nyquist."""
    return max(pixel_size, min(FINEST_SAMPLING, 0.4 * resolution_high))


def amplitude_spectrum(
    micrograph: Array,  # (ny, nx)
    pixel_size: float,  # Å
    box: int,  # pixels of the result
    sampling: float,  # Å wanted in the result, at least pixel_size
) -> tuple[np.ndarray, float]:
    """Return the (box, box) amplitude spectrum, zero frequency at the centre, and its sampling in Å.

    Method: root of the mean power of tiles that overlap by half, each under a Hann window (Welch 1967, IEEE Trans.
    Audio Electroacoust. 15, 70). A tile is larger than the box by sampling / pixel_size and its transform is cropped
    to the box, which keeps the Thon rings of a large defocus apart. Tiles are scaled to the same variance, so that
    one full of contamination does not dominate the average; tiles without variance are left out. A micrograph smaller
    than a tile gives a smaller box.

    Raises
    ------
    ValueError
        if the micrograph is not two-dimensional, too small, blank or not finite
    """
    if micrograph.ndim != 2:
        raise ValueError(f"a micrograph must have two dimensions, this one has shape {micrograph.shape}")
    xp = namespace(micrograph)
    if not bool(xp.isfinite(micrograph).all()):
        raise ValueError("the micrograph contains NaN or infinite values: repeat its motion correction")
    tile, box = _tile_size(min(micrograph.shape), pixel_size, box, sampling)
    fft = fft_of(micrograph)
    window = xp.asarray(_hann(tile))
    half = box // 2
    power, used = xp.zeros((box, half + 1), dtype=np.float64), 0.0
    for tiles in _batches(micrograph, tile):
        tiles = tiles - tiles.mean(axis=(1, 2), keepdims=True)
        variance = xp.mean(tiles**2, axis=(1, 2), dtype=np.float64)
        scale = xp.where(variance > 0.0, 1.0 / xp.sqrt(xp.where(variance > 0.0, variance, 1.0)), 0.0)
        tiles = tiles * (window * scale[:, None, None].astype(np.float32))
        columns = fft.rfft(tiles, axis=2)[:, :, :half + 1]
        transform = fft.fft(columns, axis=1)
        transform = xp.concatenate([transform[:, :half], transform[:, tile - (box - half):]], axis=1)
        power += xp.sum(transform.real**2 + transform.imag**2, axis=0)
        used += float((scale > 0.0).sum())
    if used == 0.0:
        raise ValueError("the micrograph is blank: all its pixels are equal")
    return _centred(to_numpy(xp.sqrt(power / used)), box), pixel_size * tile / box


def _tile_size(side: int, pixel_size: float, box: int, sampling: float) -> tuple[int, int]:
    """Return the side of a tile in micrograph pixels and the box to which its transform is cropped."""
    tile = _even_fast(box * max(sampling / pixel_size, 1.0))
    if tile > side:
        tile = side - side % 2
        box = 2 * round(0.5 * tile * min(1.0, pixel_size / sampling))
    if box < SMALLEST_BOX:
        need = math.ceil(SMALLEST_BOX * max(sampling / pixel_size, 1.0))
        raise ValueError(f"the micrograph is too small for CTF estimation: its shorter side has {side} pixels, "
                         f"at least {need} are needed at {pixel_size:g} Å per pixel")
    return tile, min(box, tile)


def _even_fast(length: float) -> int:
    """Return a length near `length`, even and a product of small primes."""
    return 2 * int(scipy.fft.next_fast_len(round(0.5 * length)))


def _hann(tile: int) -> np.ndarray:
    line = 0.5 - 0.5 * np.cos(2.0 * np.pi * (np.arange(tile) + 0.5) / tile)
    return (line[:, None] * line / (0.375 * tile)).astype(np.float32)


def _batches(micrograph: Array, tile: int) -> Iterator[Array]:
    """Yield stacks of tiles (n, tile, tile) that cover the micrograph evenly and overlap by at least half."""
    xp = namespace(micrograph)
    rows, columns = (_starts(side, tile) for side in micrograph.shape)
    places = [(y, x) for y in rows for x in columns]
    for first in range(0, len(places), TILES_AT_ONCE):
        chosen = places[first:first + TILES_AT_ONCE]
        yield xp.stack([micrograph[y:y + tile, x:x + tile] for y, x in chosen]).astype(np.float32)


def _starts(side: int, tile: int) -> np.ndarray:
    number = max(1, math.ceil(2.0 * (side - tile) / tile) + 1)
    return np.linspace(0, side - tile, number).round().astype(int)


def _centred(half_plane: np.ndarray, box: int) -> np.ndarray:
    """Turn (box, box // 2 + 1) with the origin at [0, 0] into (box, box) with the origin at the centre."""
    columns = np.arange(box) - box // 2
    rows = columns[:, None]
    mirrored = np.where(columns < 0, -1, 1)
    return half_plane[(rows * mirrored) % box, abs(columns)].astype(np.float32)
