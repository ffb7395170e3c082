"""What particles' images contradict before the first iteration: defoci that are all off by one factor, contrast."""

from __future__ import annotations

import numpy as np

from cryosnake.numerics.ctf_scale import MIDDLE, SCALES, agreement, radial_power
from cryosnake.parallel.stacks import Images
from cryosnake.programs.refinement.particles import ParticleSet

_SETS, _PARTICLES = 16, 32  # looked at, at most; particles of each
_FEWEST = 4  # sets
_SURE = 0.55  # mean correlation of the rings with those of the scaled defoci
_BETTER = 0.4  # than with the stated ones
_NEAR = 1.15  # factor below which nothing is said
_ALIKE = 0.03  # relative standard deviation of the defoci in a set, at most
_CENTRE, _CORNERS = 0.15, 0.45  # of the box, from its middle
_INVERTED = 10.0  # standard errors; of right contrast the mean is as far on the other side


def doubt_defocus(particles: ParticleSet, images: Images) -> str:
    """Return a warning when the Thon rings of the images are those of other defoci, "" otherwise."""
    found = [rings for rows in _chosen(particles) if (rings := _rings(particles, rows, images)) is not None]
    if len(found) < _FEWEST:
        return ""
    mean = np.mean(found, axis=0)
    best = int(mean.argmax())
    factor = float(SCALES[best])
    agree = np.mean([rings[best] > rings[MIDDLE] for rings in found])
    if mean[best] < _SURE or mean[best] - mean[MIDDLE] < _BETTER or agree < 0.8 or 1 / _NEAR < factor < _NEAR:
        return ""
    return (f"WARNING: {particles.path}: the Thon rings in the particles' power spectra are those of "
            f"{factor:.2f} times the stated defoci (correlation {mean[best]:.2f}; with the stated ones "
            f"{mean[MIDDLE]:.2f}). Are rlnDefocusU and V, rlnImagePixelSize, rlnVoltage right?")


def doubt_contrast(particles: ParticleSet, images: Images) -> str:
    """Return a warning when the middle of nearly all images is darker than their rim, "" otherwise."""
    if len(particles.table) < _PARTICLES:
        return ""
    radius = np.hypot(*(np.indices((particles.box, particles.box)) - particles.box // 2)) / particles.box
    middle, rim = radius < _CENTRE, radius > _CORNERS
    rows = np.unique(np.linspace(0, len(particles.table) - 1, _SETS * _PARTICLES).astype(int))
    higher = np.concatenate([_means(images(rows[start : start + _PARTICLES]), middle, rim)
                             for start in range(0, len(rows), _PARTICLES)])
    darker = float(np.mean(higher < 0.0))
    if darker < 0.8 or higher.mean() > -_INVERTED * higher.std() / np.sqrt(len(higher)):
        return ""
    return (f"WARNING: {particles.path}: {100 * darker:.0f} % of {len(higher)} particles are darker than what is "
            "around them: is their contrast inverted? Protein must be white. Extract with the other value of invert.")


def _means(images: np.ndarray, middle: np.ndarray, rim: np.ndarray) -> np.ndarray:
    """Return by how much the middle of images (n, box, box) is higher than their rim, (n,)."""
    return np.asarray(images[:, middle].mean(axis=1) - images[:, rim].mean(axis=1))


def _chosen(particles: ParticleSet) -> list[np.ndarray]:
    """Return rows of sets of particles with nearly one defocus, spread over all defoci."""
    order = np.lexsort((_mean_defocus(particles), particles.optics))
    starts = range(0, len(order), _PARTICLES)
    step = -(-len(starts) // _SETS)
    return [np.sort(order[start : start + _PARTICLES]) for start in starts[::step]]


def _mean_defocus(particles: ParticleSet) -> np.ndarray:
    return np.asarray(0.5 * (particles.column("rlnDefocusU") + particles.column("rlnDefocusV")))


def _rings(particles: ParticleSet, rows: np.ndarray, images: Images) -> np.ndarray | None:
    defocus = _mean_defocus(particles)[rows]
    mean = float(defocus.mean())
    if mean <= 0 or defocus.std() > _ALIKE * mean or len(np.unique(particles.optics[rows])) > 1:
        return None
    microscope = particles.groups[particles.optics[rows[0]]].microscope
    assert microscope is not None
    phase_shift = float(particles.column("rlnPhaseShift")[rows].mean())
    if agreement(np.ones(particles.box // 2), mean, phase_shift, particles.length, microscope) is None:
        return None  # nothing is read
    return agreement(radial_power(images(rows)), mean, phase_shift, particles.length, microscope)
