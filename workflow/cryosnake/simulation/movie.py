"""Intensity at the camera, frame by frame: motion, radiation damage, diffusing water."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.fft

from cryosnake.numerics.ctf import Defocus
from cryosnake.simulation.ice import carbon_amplitude, ice_amplitude, noise_transform, water_memory
from cryosnake.simulation.micrograph import Optics, frequency_grid, optical_transfer
from cryosnake.simulation.motion import TrueMotion
from cryosnake.simulation.warp import move

_CARBON_LOSS = 0.12  # fraction of electrons that the film removes from the image


@dataclass(frozen=True)
class Specimen:
    """One field of view with m = `warp.MARGIN` pixels around it, all (h + 2 m, w + 2 m) float32."""

    particles: np.ndarray  # 2 φ ⊗ CTF of the undamaged particles
    transmission: np.ndarray  # of contamination and film
    carbon: np.ndarray | None  # 0 to 1
    ice_thickness: float = 350.0  # Å


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


def expected_frames(rng: np.random.Generator, specimen: Specimen, motion: TrueMotion, optics: Optics, defocus: Defocus,
                    *, dose_per_frame: float, blur: float = 0.0) -> Iterator[np.ndarray]:
    """Yield, frame by frame, the relative intensity (h, w) float32 that reaches the camera; 1 is the bare beam.

    Particles fade as radiation damages them, water molecules diffuse, carbon stays; all of them move. The ice is imaged
    at the micrograph's mean defocus. `blur` (pixels, standard deviation) is the error with which the camera localises
    electrons: it damps the signal and leaves the noise white.
    """
    frames, shape = len(motion.global_shifts), specimen.particles.shape
    squared = frequency_grid(shape, optics.pixel_size)[0]
    frequency = np.sqrt(squared)
    transfer = 2.0 * optical_transfer(shape, optics, defocus)
    ice = ice_amplitude(squared, optics, specimen.ice_thickness) * transfer / np.float32(optics.pixel_size)
    memory = water_memory(squared, dose_per_frame)
    fresh = np.sqrt(1.0 - memory * memory)
    camera = np.exp(-2.0 * (math.pi * blur * optics.pixel_size) ** 2 * squared).astype(np.float32)
    particles = scipy.fft.rfft2(specimen.particles)
    water = noise_transform(rng, shape)
    static = specimen.transmission
    if specimen.carbon is not None:
        film = noise_transform(rng, shape) * transfer * carbon_amplitude(squared, optics)
        grain = scipy.fft.irfft2(film * camera, s=shape) / np.float32(optics.pixel_size)
        static = static * (1.0 - specimen.carbon * (np.float32(_CARBON_LOSS) + grain))
    for frame in range(frames):
        if frame:
            water = memory * water + fresh * noise_transform(rng, shape)
        left = damage(frequency, (frame + 0.5) * dose_per_frame, optics.microscope.voltage)
        contrast = scipy.fft.irfft2((particles * left + ice * water) * camera, s=shape)
        yield move(static * (1.0 - contrast), motion, frame)
