"""Everything else in the field of view: vitreous ice, contamination, carbon film, and the beam profile."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import expit

from cryosnake.simulation.atoms import ICE_DENSITY, WATER_STRENGTH, WATER_VOLUME
from cryosnake.simulation.micrograph import Optics

_CARBON_STRENGTH = 2.51  # Å
_CARBON_DENSITY = 0.09  # atoms per Å³, 1.8 g/cm³


def ice_amplitude(squared: np.ndarray, optics: Optics, thickness: float) -> np.ndarray:
    """Return √(power spectral density), in rad Å, of the phase that vitreous ice of `thickness` Å adds, at k² (Å⁻²).

    N molecules per area scatter with f(0) each; their arrangement enters as the structure factor of amorphous ice,
    modelled by three terms: compressibility, S(0) = 0.06; the first diffraction peak at 3.7 Å (Dubochet et al. 1988,
    Q. Rev. Biophys. 21, 129-228); and a rise to 1 beyond it. The form factor falls off like that of oxygen.
    """
    per_area = ICE_DENSITY / WATER_VOLUME * thickness
    k = np.sqrt(squared)
    structure = 0.06 + 1.4 * np.exp(-0.5 * ((k - 1.0 / 3.7) / 0.025) ** 2) + 0.9 / (1.0 + np.exp(-(k - 0.36) / 0.03))
    density = (optics.interaction * WATER_STRENGTH) ** 2 * per_area * structure * np.exp(-0.5 * 12.0 * squared)
    return np.sqrt(density).astype(np.float32)


def water_memory(squared: np.ndarray, dose: float) -> np.ndarray:
    """Return the correlation (0 to 1) of the ice's phase between two exposures `dose` e/Å² apart.

    Molecules are displaced at random by 1.1 Å² (mean square) per e/Å² (McMullan, Vinothkumar & Henderson 2015,
    Ultramicroscopy 158, 26-32), a third of it along any one axis: exp(-2 π² k² ⟨u²⟩).
    """
    return np.exp(-2.0 * math.pi**2 * squared * (1.1 * dose / 3.0)).astype(np.float32)


def noise_transform(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Return the half transform (h, w // 2 + 1) complex64 of white noise of variance 1; w must be even."""
    parts = rng.standard_normal((shape[0], shape[1] // 2 + 1, 2), dtype=np.float32)
    parts *= np.float32(math.sqrt(0.5 * shape[0] * shape[1]))
    noise = parts.view(np.complex64)[..., 0]
    # irfft2 uses only the Hermitian part of the lines kx = 0 and Nyquist, which has half their power.
    noise[:, 0] *= np.float32(math.sqrt(2.0))
    noise[:, -1] *= np.float32(math.sqrt(2.0))
    return noise


def contamination(rng: np.random.Generator, shape: tuple[int, int], pixel_size: float, count: int) -> np.ndarray:
    """Return the transmission (h, w) float32 of `count` lumps of ice on the film: 1 where there is no lump.

    Irregular domes of 80 to 300 Å radius, up to 1200 Å thick. Electrons are lost with a mean free path of 2000 Å
    (scattered outside the aperture or filtered out).
    """
    thickness = np.zeros(shape, np.float32)
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    for _ in range(count):
        dx, dy = x - np.float32(rng.uniform(0, shape[1])), y - np.float32(rng.uniform(0, shape[0]))
        radius, height = rng.uniform(80.0, 300.0) / pixel_size, rng.uniform(300.0, 1200.0)
        azimuth = np.arctan2(dy, dx)
        edge = np.ones(shape, np.float32)
        for fold in range(2, 7):
            amplitude, phase = 0.3 * rng.standard_normal() / fold, rng.uniform(0.0, 2.0 * math.pi)
            edge += np.float32(amplitude) * np.cos(fold * azimuth + np.float32(phase))
        inside = np.clip(1.0 - np.hypot(dx, dy) / (radius * np.maximum(edge, 0.3)), 0.0, 1.0)
        thickness += np.float32(height) * np.sqrt(inside)
    return np.exp(-thickness / np.float32(2000.0))


def carbon_edge(rng: np.random.Generator, shape: tuple[int, int], covered: float) -> np.ndarray:
    """Return the cover (h, w) by carbon film, 0 to 1, behind a round edge; it covers about the fraction `covered`."""
    angle = rng.uniform(0.0, 2.0 * math.pi)
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    radius = 4.0 * max(shape)  # the hole's edge
    cx, cy = shape[1] / 2 + radius * math.cos(angle), shape[0] / 2 + radius * math.sin(angle)
    distance = np.hypot(x - cx, y - cy)
    return np.asarray(expit((distance - np.quantile(distance, 1.0 - covered)) / 3.0), np.float32)


def beam_profile(rng: np.random.Generator, shape: tuple[int, int], strength: float = 0.04) -> np.ndarray:
    """Return the illumination (h, w) float32 of mean 1: brighter to one side, slightly round."""
    y, x = np.meshgrid(np.linspace(-0.5, 0.5, shape[0]), np.linspace(-0.5, 0.5, shape[1]), indexing="ij")
    angle = rng.uniform(0.0, 2.0 * math.pi)
    profile = 1.0 + strength * (math.cos(angle) * x + math.sin(angle) * y) - 0.5 * strength * (x * x + y * y)
    return (profile / profile.mean()).astype(np.float32)


def carbon_amplitude(squared: np.ndarray, optics: Optics, thickness: float = 150.0) -> np.ndarray:
    """Return √(power spectral density), in rad Å, of the phase that amorphous carbon adds, at k² (Å⁻²).

    Like `ice_amplitude`, for atoms at almost random positions: a structure factor of 0.6 at all frequencies.
    """
    density = 0.6 * (optics.interaction * _CARBON_STRENGTH) ** 2 * _CARBON_DENSITY * thickness
    return np.sqrt(density * np.exp(-0.5 * 16.0 * squared)).astype(np.float32)
