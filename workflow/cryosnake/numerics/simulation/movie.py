"""Frames as a counting camera records them: motion, radiation damage, electrons, gain, bad pixels."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numba as nb
import numpy as np
import scipy.fft

from cryosnake.numerics.simulation.micrograph import (
    Defocus,
    Optics,
    frequency_grid,
    ice_amplitude,
    noise_transform,
    optical_transfer,
    water_memory,
)
from cryosnake.numerics.simulation.motion import Motion, total_shift

_TAPS = 10
_TABLE = 512
MARGIN = 40  # pixels simulated beyond each edge, so that motion brings in specimen and not the other side


@dataclass(frozen=True)
class Detector:
    """The camera: RELION's gain reference (raw counts are multiplied by it) and its bad pixels.

    `excess` holds the extra counts per frame of hot pixels, and -1 for dead ones, 0 elsewhere.
    """

    gain: np.ndarray  # (h, w) float32, mean about 1
    excess: np.ndarray  # (h, w) float32


@dataclass(frozen=True)
class Specimen:
    """One field of view with `MARGIN` pixels around it, all (h + 2 MARGIN, w + 2 MARGIN) float32."""

    particles: np.ndarray  # 2 φ ⊗ CTF of the undamaged particles
    transmission: np.ndarray  # of contamination and film
    carbon: np.ndarray | None  # 0 to 1


def critical_dose(frequency: np.ndarray, voltage: float) -> np.ndarray:
    """Return the exposure in e/Å² after which the amplitude at this frequency (Å⁻¹) has fallen to exp(-½).

    Grant & Grigorieff 2015, eLife 4:e06980, eq. 3: Ne(k) = 0.24499 k^-1.6649 + 2.8141 at 300 kV; 0.8 of it at 200 kV.
    """
    scale = 0.8 if voltage < 250.0 else 1.0
    safe = np.maximum(frequency, 1e-4)
    return scale * (0.24499 * safe**-1.6649 + 2.8141)


def damage(frequency: np.ndarray, dose: float, voltage: float) -> np.ndarray:
    """Return the amplitude left after `dose` e/Å²: exp(-N / (2 Ne)) (Grant & Grigorieff 2015, eq. 4)."""
    return np.exp(-0.5 * dose / critical_dose(frequency, voltage)).astype(np.float32)


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


def _sinc_table() -> np.ndarray:
    """Return Kaiser-windowed sinc weights (_TABLE + 1, _TAPS) for the fractions 0 to 1 of a pixel."""
    fraction = np.arange(_TABLE + 1)[:, None] / _TABLE
    distance = np.arange(_TAPS)[None] - (_TAPS // 2 - 1) - fraction
    window = np.i0(5.0 * np.sqrt(np.clip(1.0 - (distance / (_TAPS / 2)) ** 2, 0.0, 1.0)))
    weights = np.sinc(distance) * window
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)


_SINC = _sinc_table()


@nb.njit(parallel=True, cache=True)
def _moved(image, shift_x, shift_y, cell, margin, shape, table):  # type: ignore[no-untyped-def]
    """Return the frame (h, w) whose pixel q shows `image` at q + shift(q); shifts are given on a grid of `cell` px."""
    h, w = shape
    rows, taps, steps = image.shape[0], table.shape[1], table.shape[0] - 1
    across = np.zeros((rows, w), np.float32)
    for y in nb.prange(rows):  # along x first, at the specimen's own rows
        v = min(max(y - margin, 0), h - 1) / cell
        j = int(v)
        b = v - j
        for x in range(w):
            u = x / cell
            i = int(u)
            a = u - i
            s = ((shift_x[j, i] * (1 - a) + shift_x[j, i + 1] * a) * (1 - b)
                 + (shift_x[j + 1, i] * (1 - a) + shift_x[j + 1, i + 1] * a) * b)
            source = x + margin + s
            whole = math.floor(source)
            k = int((source - whole) * steps + 0.5)
            first = int(whole) - taps // 2 + 1
            total = np.float32(0.0)
            for t in range(taps):
                total += table[k, t] * image[y, min(max(first + t, 0), image.shape[1] - 1)]
            across[y, x] = total
    frame = np.empty((h, w), np.float32)
    for y in nb.prange(h):
        v = y / cell
        j = int(v)
        b = v - j
        for x in range(w):
            u = x / cell
            i = int(u)
            a = u - i
            s = ((shift_y[j, i] * (1 - a) + shift_y[j, i + 1] * a) * (1 - b)
                 + (shift_y[j + 1, i] * (1 - a) + shift_y[j + 1, i + 1] * a) * b)
            source = y + margin + s
            whole = math.floor(source)
            k = int((source - whole) * steps + 0.5)
            first = int(whole) - taps // 2 + 1
            total = np.float32(0.0)
            for t in range(taps):
                total += table[k, t] * across[min(max(first + t, 0), rows - 1), x]
            frame[y, x] = total
    return frame


def move(image: np.ndarray, motion: Motion, frame: int, margin: int = MARGIN) -> np.ndarray:
    """Return the specimen (h + 2 margin, w + 2 margin) as it lies in `frame`, (h, w): r goes to r - shift."""
    h, w = motion.shape
    cell = 32
    y, x = np.meshgrid(np.arange(h // cell + 2) * cell, np.arange(w // cell + 2) * cell, indexing="ij")
    places = np.stack([x, y], -1).astype(np.float64)
    shift = np.zeros_like(places)
    for _ in range(3):  # the shift is known at r, wanted at r - shift(r): fixed point
        shift = total_shift(motion, places + shift, frame)
    return np.asarray(_moved(np.ascontiguousarray(image, np.float32), np.ascontiguousarray(shift[..., 0]),
                             np.ascontiguousarray(shift[..., 1]), cell, margin, (h, w), _SINC))


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
    """Fill `counts` with Poisson numbers; each pixel has its own counter, so threads do not change the result."""
    limit = np.iinfo(counts.dtype).max
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
                    term *= mean / number
                    total += term
            counts[y, x] = min(number, limit)


def poisson(rng: np.random.Generator, expected: np.ndarray, dtype: type = np.uint8) -> np.ndarray:
    """Return Poisson-distributed counts (h, w) for expected counts (h, w); what exceeds the type is cut."""
    counts: np.ndarray = np.empty(expected.shape, dtype)
    _poisson(expected, int(rng.integers(2**62)), counts)
    return counts


def expected_frames(rng: np.random.Generator, specimen: Specimen, motion: Motion, optics: Optics, defocus: Defocus, *,
                    dose_per_frame: float, ice_thickness: float = 350.0) -> Iterator[np.ndarray]:
    """Yield, frame by frame, the relative intensity (h, w) float32 that reaches the camera; 1 is the bare beam.

    Particles fade as radiation damages them, water molecules diffuse, carbon stays; all of it moves. `ice_thickness`
    is in Å; ice takes its phase contrast at the micrograph's mean defocus.
    """
    frames, shape = len(motion.global_shifts), specimen.particles.shape
    squared = frequency_grid(shape, optics.pixel_size)[0]
    frequency = np.sqrt(squared)
    transfer = 2.0 * optical_transfer(shape, optics, defocus)
    ice = ice_amplitude(squared, optics, ice_thickness) / np.float32(optics.pixel_size) * transfer
    memory = water_memory(squared, dose_per_frame)
    fresh = np.sqrt(1.0 - memory * memory)
    particles = scipy.fft.rfft2(specimen.particles)
    water = noise_transform(rng, shape)
    static = specimen.transmission
    if specimen.carbon is not None:
        static = static * (1.0 - specimen.carbon * (0.12 + _carbon_image(rng, optics, transfer)))
    for frame in range(frames):
        if frame:
            water = memory * water + fresh * noise_transform(rng, shape)
        spectrum = particles * damage(frequency, (frame + 0.5) * dose_per_frame, optics.voltage) + ice * water
        yield move(static * (1.0 - scipy.fft.irfft2(spectrum, s=shape)), motion, frame)


def _carbon_image(rng: np.random.Generator, optics: Optics, transfer: np.ndarray, thickness: float = 150.0,
                  ) -> np.ndarray:
    """Return 2 φ ⊗ CTF of amorphous carbon: 1.8 g/cm³ of atoms that lie almost at random (S(k) about 0.6)."""
    shape = (transfer.shape[0], 2 * (transfer.shape[1] - 1))
    density = 0.6 * (optics.interaction * 2.51) ** 2 * 0.09 * thickness
    spectrum = noise_transform(rng, shape) * transfer * np.float32(math.sqrt(density) / optics.pixel_size)
    return np.asarray(scipy.fft.irfft2(spectrum, s=shape))


def recorded_frame(rng: np.random.Generator, intensity: np.ndarray, beam: np.ndarray, detector: Detector,
                   electrons_per_pixel: float, dtype: type = np.uint8) -> np.ndarray:
    """Return the raw counts (h, w) of one frame: Poisson numbers, uneven response, hot and dead pixels."""
    expected = intensity * beam * np.float32(electrons_per_pixel) / detector.gain
    expected = np.where(detector.excess < 0, np.float32(0.0), expected + detector.excess)
    return poisson(rng, expected, dtype)
