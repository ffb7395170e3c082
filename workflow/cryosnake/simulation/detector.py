"""A counting camera: Poisson counts, uneven response, hot and dead pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numba as nb
import numpy as np


@dataclass(frozen=True)
class Detector:
    """The camera: RELION's gain reference (raw counts are multiplied by it) and its bad pixels.

    `excess` holds the extra counts per frame of hot pixels, and -1 for dead ones, 0 elsewhere.
    """

    gain: np.ndarray  # (h, w) float32, mean about 1
    excess: np.ndarray  # (h, w) float32


def random_detector(rng: np.random.Generator, shape: tuple[int, int], *, hot: int = 12, dead: int = 6) -> Detector:
    """Return a camera with column and row structure (read-out blocks), per-pixel spread, hot and dead pixels."""
    h, w = shape
    response = 1.0 + 0.03 * rng.standard_normal((h, w))
    response += 0.015 * rng.standard_normal((1, w)) + 0.01 * rng.standard_normal((h, 1))
    blocks = 1.0 + 0.03 * rng.standard_normal((2, max(1, w // 256) + 1))
    response *= blocks[(2 * np.arange(h) // h)[:, None], (np.arange(w) // 256)[None]]
    y, x = np.mgrid[-1 : 1 : h * 1j, -1 : 1 : w * 1j]
    response *= 1.0 - 0.04 * (x * x + y * y)
    gain = np.clip(response.mean() / np.maximum(response, 0.2), 0.5, 2.0)
    excess = np.zeros(h * w, np.float32)
    chosen = rng.choice(h * w, hot + dead, replace=False)
    excess[chosen[:hot]] = rng.uniform(15.0, 120.0, hot)
    excess[chosen[hot:]] = -1.0
    return Detector((gain / gain.mean()).astype(np.float32), excess.reshape(h, w))


@nb.njit(inline="always")
def _uniform(state):  # type: ignore[no-untyped-def]
    """Return a number in (0, 1) from a counter: SplitMix64 (Steele, Lea & Flood 2014)."""
    z = state * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return (float(z >> np.uint64(11)) + 0.5) * (1.0 / 9007199254740992.0)


@nb.njit(parallel=True, cache=True)
def _poisson(expected, seed, counts):  # type: ignore[no-untyped-def]
    """Fill `counts` with Poisson numbers; each pixel has its own counter, so the result is independent of threads."""
    limit = np.iinfo(counts.dtype).max
    inverse = 1.0 / np.maximum(np.arange(1001), 1)  # multiplication is faster than division
    for y in nb.prange(expected.shape[0]):
        for x in range(expected.shape[1]):
            mean = max(float(expected[y, x]), 0.0)
            state = np.uint64(seed) + np.uint64(2 * (y * expected.shape[1] + x))
            number = 0
            if mean > 300.0:  # normal approximation, Box & Muller 1958
                u, v = _uniform(state), _uniform(state + np.uint64(1))
                deviate = math.sqrt(-2.0 * math.log(u)) * math.cos(2.0 * math.pi * v)
                number = max(0, math.floor(mean + math.sqrt(mean) * deviate + 0.5))
            else:  # inversion: walk up the cumulative distribution
                u, term = _uniform(state), math.exp(-mean)
                total = term
                while u > total and number < 1000:
                    number += 1
                    term *= mean * inverse[number]
                    total += term
            counts[y, x] = min(number, limit)


def poisson(rng: np.random.Generator, expected: np.ndarray, dtype: type = np.uint8) -> np.ndarray:
    """Return Poisson-distributed counts (h, w) for expected counts (h, w), clipped to the range of the type."""
    counts: np.ndarray = np.empty(expected.shape, dtype)
    _poisson(expected, int(rng.integers(2**62)), counts)
    return counts


def recorded_frame(rng: np.random.Generator, intensity: np.ndarray, beam: np.ndarray, detector: Detector,
                   electrons_per_pixel: float, dtype: type = np.uint8) -> np.ndarray:
    """Return the raw counts (h, w) of one frame: Poisson numbers, uneven response, hot and dead pixels."""
    expected = intensity * beam * np.float32(electrons_per_pixel) / detector.gain
    expected = np.where(detector.excess < 0, np.float32(0.0), expected + detector.excess)
    return poisson(rng, expected, dtype)
