"""Images of particles in a micrograph: places, poses, contrast transfer.

Weak-phase-object approximation: the relative image intensity is 1 - 2 φ ⊗ CTF, with φ the phase that the specimen adds
to the electron wave (Reimer & Kohl, Transmission Electron Microscopy, 5th ed., ch. 6.2). With the sign of the CTF as
in `numerics.ctf`, protein is darker than ice.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import scipy.fft

from cryosnake.errors import CryosnakeError
from cryosnake.numerics.ctf import Defocus, Microscope, ctf_phase
from cryosnake.numerics.euler import euler_to_matrix
from cryosnake.simulation.aberrations import NONE, Aberrations
from cryosnake.simulation.atoms import Atoms, diameter
from cryosnake.simulation.density import project_atoms

USUAL_MICROSCOPE = Microscope(voltage=300.0, cs=2.7, amplitude_contrast=0.1)
_REST_ENERGY = 511.0  # keV


@dataclass(frozen=True)
class Optics:
    """The microscope and Å per pixel; `b_factor` (Å²) is the envelope of lens and camera."""

    pixel_size: float
    microscope: Microscope = USUAL_MICROSCOPE
    b_factor: float = 30.0
    aberrations: Aberrations = NONE

    @property
    def interaction(self) -> float:
        """Phase in radians per Å⁻¹ of projected f(0): γ λ, the relativistic first Born approximation."""
        return self.microscope.wavelength * (1.0 + self.microscope.voltage / _REST_ENERGY)


@dataclass(frozen=True)
class PlacedParticles:
    """Poses and positions of the particles of one micrograph, as in RELION's particle STAR file."""

    positions: np.ndarray  # (n, 2) x, y: 0-based pixels of the motion-corrected micrograph, with fractions
    angles: np.ndarray  # (n, 3) rot, tilt, psi in degrees
    heights: np.ndarray  # (n,) Å added to the micrograph's defocus


def frequency_grid(shape: tuple[int, int], pixel_size: float) -> tuple[np.ndarray, np.ndarray]:
    """Return k² (Å⁻²) and the azimuth (radians) of a half transform of an image `shape`, float32."""
    ky, kx = np.fft.fftfreq(shape[0], pixel_size)[:, None], np.fft.rfftfreq(shape[1], pixel_size)[None]
    return _polar(kx, ky)


def _polar(kx: np.ndarray, ky: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return (kx * kx + ky * ky).astype(np.float32), np.arctan2(ky, kx).astype(np.float32)


def random_poses(rng: np.random.Generator, count: int) -> np.ndarray:
    """Return (count, 3) rot, tilt, psi in degrees, uniform over all rotations."""
    rot, psi = rng.uniform(-180.0, 180.0, (2, count))
    tilt = np.degrees(np.arccos(rng.uniform(-1.0, 1.0, count)))
    return np.stack([rot, tilt, psi], 1)


def place_particles(rng: np.random.Generator, shape: tuple[int, int], count: int, distance: float,
                    margin: float) -> np.ndarray:
    """Return at most `count` positions (n, 2) x, y in pixels that keep `distance` from each other.

    A `margin` (pixels) stays free at the edges. Random positions are tried until the count is reached or none is free.

    Raises
    ------
    CryosnakeError
        when the micrograph is smaller than its two margins
    """
    if min(shape) <= 2 * margin:
        raise CryosnakeError(f"simulate: micrographs of {shape[1]} × {shape[0]} px have no room for particles "
                             f"{margin:.0f} px from the edges; give larger micrographs or a smaller particle.")
    placed = np.empty((0, 2))
    for _ in range(60):
        low, high = np.full(2, margin), np.array([shape[1], shape[0]]) - 1.0 - margin
        for dart in rng.uniform(low, high, (count, 2)):
            if len(placed) == count:
                return placed
            if not len(placed) or ((placed - dart) ** 2).sum(1).min() >= distance**2:
                placed = np.concatenate([placed, dart[None]])
    return placed


def optical_transfer(shape: tuple[int, int], optics: Optics, defocus: Defocus) -> np.ndarray:
    """Return CTF times envelope (…, h, w // 2 + 1) on the half transform of an image `shape`.

    float32, or complex64 where there are odd aberrations.
    """
    ky, kx = np.fft.fftfreq(shape[0], optics.pixel_size)[:, None], np.fft.rfftfreq(shape[1], optics.pixel_size)[None]
    kx, ky = optics.aberrations.at(kx, ky)  # of the particle
    squared, azimuth = _polar(kx, ky)
    u, v, angle, phase_shift = (np.asarray(value, np.float32) for value in
                                (defocus.u, defocus.v, defocus.angle, defocus.phase_shift))
    phase = ctf_phase(squared, azimuth, Defocus(u, v, angle, phase_shift), optics.microscope)
    if any(optics.aberrations.even):
        phase = phase - optics.aberrations.even_phase(kx, ky)
    transfer = np.asarray(np.sin(phase) * np.exp(-0.25 * optics.b_factor * squared), np.float32)
    if optics.aberrations.is_even:
        return transfer
    return np.asarray(transfer * np.exp(1j * optics.aberrations.odd_phase(kx, ky, optics.microscope)), np.complex64)


def delocalised_box(atoms: Atoms, optics: Optics, defocus: float) -> int:
    """Return the box in pixels for a particle and its delocalised signal: diameter + 2 λ Δf k, k = 1/4 Å."""
    frequency = min(0.5 / optics.pixel_size, 0.25)
    reach = optics.microscope.wavelength * defocus * frequency
    return _even((1.1 * diameter(atoms) + 2.0 * reach) / optics.pixel_size + 16)


def contrast_images(
    atoms: Atoms,
    matrices: np.ndarray,  # (n, 3, 3)
    shifts: np.ndarray,  # (n, 2) x, y in pixels
    box: int,
    optics: Optics,
    defocus: Defocus,
    b_factor: float = 40.0,  # Å², of the atoms
) -> np.ndarray:
    """Return 2 φ ⊗ CTF (n, box, box) float32 of single particles at pixel box // 2, relative to the mean intensity.

    The members of `defocus` may be arrays (n, 1, 1). `box` is even and should be at least `delocalised_box`.
    """
    inner = min(box, _even(1.1 * diameter(atoms) / optics.pixel_size + 16))
    seen = optics.aberrations.seen_axes(matrices)
    images = scipy.fft.irfft2(project_atoms(atoms, seen, inner, optics.pixel_size, b_factor, shifts=shifts),
                              s=(inner, inner))
    padded = np.zeros((len(images), box, box), np.float32)
    start = box // 2 - inner // 2
    padded[:, start : start + inner, start : start + inner] = scipy.fft.fftshift(images, axes=(1, 2))
    spectra = scipy.fft.rfft2(padded, overwrite_x=True)
    spectra *= np.float32(2.0 * optics.interaction) * optical_transfer((box, box), optics, defocus)
    return np.asarray(scipy.fft.irfft2(spectra, s=(box, box), overwrite_x=True))


def particle_contrast(atoms: Atoms, particles: PlacedParticles, shape: tuple[int, int], optics: Optics,
                      defocus: Defocus, b_factor: float = 40.0) -> np.ndarray:
    """Return 2 φ ⊗ CTF (h, w) float32 of all particles: positive is dark, relative to the mean intensity.

    Each particle is projected exactly, at its own sub-pixel position and height.
    """
    highest = float(np.max([defocus.u, defocus.v])) + float(particles.heights.max(initial=0.0))
    box = delocalised_box(atoms, optics, highest)
    canvas = np.zeros((shape[0] + 2 * box, shape[1] + 2 * box), np.float32)
    matrices = euler_to_matrix(*particles.angles.T)
    whole = np.rint(particles.positions).astype(int)
    for start in range(0, len(whole), 16):
        part = slice(start, start + 16)
        height = particles.heights[part, None, None]
        own = replace(defocus, u=defocus.u + height, v=defocus.v + height)
        images = contrast_images(atoms, matrices[part], (particles.positions - whole)[part], box, optics, own, b_factor)
        for image, (x, y) in zip(images, whole[part] + box // 2, strict=True):
            canvas[y : y + box, x : x + box] += image
    return canvas[box : box + shape[0], box : box + shape[1]]


def _even(length: float) -> int:
    """Return an even length, at least this long, for which an FFT is fast."""
    size = math.ceil(length)
    while size % 2 or scipy.fft.next_fast_len(size, real=True) != size:
        size += 1
    return size
