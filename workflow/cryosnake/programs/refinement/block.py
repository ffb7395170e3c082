"""A block of particles for the expectation step: read, centred, normalised, masked, transformed and whitened."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cryosnake.numerics.backend import Array, namespace, to_numpy
from cryosnake.numerics.refine.grids.bands import full_band
from cryosnake.numerics.refine.grids.grids import ShiftGrid
from cryosnake.numerics.refine.grids.images import fill_outside, fourier_pixels, shell_power, shift_images
from cryosnake.numerics.refine.search.expectation import Operands
from cryosnake.programs.refinement.device_images import images_on_device
from cryosnake.programs.refinement.particles import Particles
from cryosnake.programs.refinement.state import Assignments, Statistics


@dataclass(frozen=True)
class SearchPlan:
    """How an iteration searches.

    Attributes
    ----------
    size, coarse_size : int
        Fourier pixels of the fine and the coarse pass.
    shifts : ShiftGrid
    sigma : float
        Standard deviation of local angular searches, degrees; 0 searches everywhere.
    use_ctf, intact_first_peak, zero_mask : bool
    mask : (box, box) float32
        Soft disc about the particle.
    signal : (shells,) bool
        Shells with enough signal to estimate intensities from.
    seed : int
        For the noise outside the mask, when it is not set to 0.
    diameter : float
        Å, the particle's: the levels of a search in 3D see what their steps allow for it.
    tf32 : bool
        Let a GPU round the operands of the global coarse search to TF32.
    """

    size: int
    coarse_size: int
    shifts: ShiftGrid
    sigma: float
    use_ctf: bool
    intact_first_peak: bool
    zero_mask: bool
    mask: np.ndarray
    signal: np.ndarray
    seed: int = 0
    diameter: float = 0.0
    tf32: bool = True


@dataclass(frozen=True)
class Block:
    """Particles that are worked on together: their numbers, what is compared, and by shell (n, shells) the power.

    `power` is that of the masked images, `noise` the noise's.
    """

    rows: np.ndarray
    operands: Operands
    power: np.ndarray
    noise: np.ndarray


def prepare_block(particles: Particles, rows: np.ndarray, state: Assignments, statistics: Statistics, plan: SearchPlan,
                  images: Array | None = None) -> Block:
    """Read (unless given), centre, normalise, mask, transform and whiten the images of `rows`."""
    band = full_band(particles.box)
    count = band.count(plan.size)
    offsets = np.rint(state.offset[rows])
    images = shift_images(images_on_device(particles, rows) if images is None else images, offsets)
    xp = namespace(images)
    images *= xp.asarray((statistics.norm_average / state.norm[rows]).astype(np.float32))[:, None, None]
    mask = xp.asarray(plan.mask)
    masked = fourier_pixels(fill_outside(images, mask, _background(images, rows, plan)), band)
    raw = fourier_pixels(images, band.cut(plan.size))
    noise = statistics.noise[particles.optics[rows]]
    whiten = xp.asarray((1.0 / np.sqrt(noise)).astype(np.float32))[:, xp.asarray(band.shell[:count])]
    ctf = xp.ones((len(rows), count), xp.float32)
    if plan.use_ctf:
        ctf = particles.ctf(rows, band.cut(plan.size), plan.intact_first_peak, like=images)
    ctf *= whiten * xp.asarray(statistics.scale[particles.group[rows], None].astype(np.float32))
    whiten *= ctf
    operands = Operands(masked[:, :count] * whiten, raw * whiten, ctf**2, offsets, statistics.offset_sigma, rows)
    return Block(rows, operands, to_numpy(shell_power(masked, band)), noise)


def _background(images: Array, rows: np.ndarray, plan: SearchPlan) -> Array | None:
    """Noise with each image's own level outside the mask; None for zeros."""
    if plan.zero_mask:
        return None
    xp, outside = namespace(images), np.flatnonzero(plan.mask == 0)
    spread = images.reshape(len(images), -1)[:, xp.asarray(outside)].std(1) if outside.size else images.std((1, 2))
    noise = np.empty(images.shape, np.float32)
    for image, row in zip(noise, rows.tolist(), strict=True):  # by particle: the same whatever it is computed with
        np.random.default_rng([plan.seed, row]).standard_normal(out=image, dtype=np.float32)
    return xp.asarray(noise) * spread[:, None, None]
