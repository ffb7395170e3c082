"""A block of particles for the expectation step: read, centred, normalised, masked, transformed and whitened."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cryosnake.numerics.backend import Array, namespace, to_numpy
from cryosnake.numerics.refine.grids.bands import full_band
from cryosnake.numerics.refine.grids.images import fill_outside, fourier_pixels, shell_power, shift_images
from cryosnake.numerics.refine.grids.samples import Operands
from cryosnake.programs.refinement.device_images import images_on_device
from cryosnake.programs.refinement.step import ExpectationStep, SearchPlan


@dataclass(frozen=True)
class Block:
    """Particles that are computed together: their numbers, operands, and power by shell (n, shells).

    `power` is that of the masked images, `noise` that of the noise.
    """

    rows: np.ndarray
    operands: Operands
    power: np.ndarray
    noise: np.ndarray


def prepare_block(step: ExpectationStep, places: np.ndarray | slice = slice(None), images: Array | None = None,
                  ) -> Block:
    """Read (unless given), centre, normalise, mask, transform and whiten the images at `places` among the step's."""
    rows, plan, statistics, particles = step.rows[places], step.plan, step.statistics, step.particles
    whole, band = full_band(particles.box), step.band
    offsets = np.rint(step.assignments.offset[rows])
    images = shift_images(images_on_device(step.work, rows) if images is None else images, offsets)
    xp = namespace(images)
    images *= xp.asarray((statistics.norm_average / step.assignments.norm[rows]).astype(np.float32))[:, None, None]
    masked = fourier_pixels(fill_outside(images, xp.asarray(plan.mask), _background(images, rows, plan)), whole)
    raw = fourier_pixels(images, band)
    noise = statistics.noise[particles.optics[rows]]
    whiten = xp.asarray((1.0 / np.sqrt(noise)).astype(np.float32))[:, xp.asarray(band.shell)]
    ctf = xp.ones((len(rows), band.kx.size), xp.float32)
    if plan.use_ctf:
        ctf = particles.ctf(rows, band, plan.intact_first_peak, like=images)
    ctf *= whiten * xp.asarray(statistics.scale[particles.group[rows], None].astype(np.float32))
    whiten *= ctf
    operands = Operands(masked[:, : band.kx.size] * whiten, raw * whiten, ctf**2, offsets,
                        offset_sigma=statistics.offset_sigma, numbers=rows)
    return Block(rows, operands, to_numpy(shell_power(masked, whole)), noise)


def _background(images: Array, rows: np.ndarray, plan: SearchPlan) -> Array | None:
    """Noise with each image's own level outside the mask; None for zeros."""
    if plan.zero_mask:
        return None
    xp, outside = namespace(images), np.flatnonzero(plan.mask == 0)
    spread = images.reshape(len(images), -1)[:, xp.asarray(outside)].std(1) if outside.size else images.std((1, 2))
    noise = np.empty(images.shape, np.float32)
    for image, row in zip(noise, rows.tolist(), strict=True):  # by particle: independent of the block
        np.random.default_rng([plan.seed, row]).standard_normal(out=image, dtype=np.float32)
    return xp.asarray(noise) * spread[:, None, None]
