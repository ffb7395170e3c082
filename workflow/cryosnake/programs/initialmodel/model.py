"""The state of an ab initio reconstruction: maps from random orientations, improved by mini-batches."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cryosnake.jobs.options import InitialModelOptions
from cryosnake.numerics.refine.grids.bands import full_band
from cryosnake.numerics.refine.grids.images import fourier_pixels
from cryosnake.numerics.refine.sums.maximisation import finish_sums, regularised_map
from cryosnake.numerics.refine.sums.online import Stage, halves_ssnr, random_sums, resized_sums
from cryosnake.numerics.symmetry import operators
from cryosnake.numerics.symmetry_axes import find_axes, symmetrised
from cryosnake.programs.refinement.particles import ParticleSet
from cryosnake.programs.refinement.recipe import Model, Recipe
from cryosnake.programs.refinement.state import Statistics, first_assignments, first_statistics
from cryosnake.programs.refinement.step import Accumulated

_FIRST_PARTICLES = 1000  # that make the random start
_FIRST_MEMORY = 0.1  # weight of the random start relative to the first batches
_LEAST_SSNR = 0.05  # keeps what is not known yet faintly in the map
_MEMORY = 0.9  # of noise and offset statistics


@dataclass(frozen=True, kw_only=True)
class InitialMaps(Model):
    """Maps, the decaying sums of two halves behind them, and the state of the particles.

    `sums` are (2, classes, 2m + 1, 2m + 1, m + 1, 3), `volumes` (classes, box, box, box), `ssnr` (classes, shells).
    """

    statistics: Statistics
    sums: np.ndarray
    volumes: np.ndarray
    ssnr: np.ndarray
    stage: Stage
    radius: int  # shells that the stage uses
    rows: np.ndarray  # particles of the mini-batch
    symmetry: str
    had_symmetry: float = 1.0  # correlation of the map with its turned copies before the symmetry was imposed
    agreements: Sequence[float] = ()  # correlations of the other starts' maps with this one's
    perturbation: float = 0.0
    concentrated: bool = False  # few orientations of each particle are probable: the rest need not be summed

    @property
    def largest(self) -> np.ndarray:
        """The map of most particles."""
        return self.volumes[int(np.argmax(self.statistics.direction))]

    @property
    def dense(self) -> bool:
        """Whether all samples are summed."""
        return self.stage.dense or not self.concentrated


def first_maps(recipe: Recipe[InitialModelOptions, Any, Any], stage: Stage, symmetry: str, rng: np.random.Generator,
               ) -> InitialMaps:
    """Return the sums of particles at random orientations, other ones for each class; the maps are still to be made."""
    work, particles, options, mask = recipe.work, recipe.particles, recipe.options, recipe.mask
    assignments = first_assignments(particles)
    assignments = replace(assignments, offset=np.zeros_like(assignments.offset))
    statistics = first_statistics(work, np.arange(len(particles)), assignments.offset, mask, options.classes)
    radius = shells_to(particles, stage.resolution)
    band = full_band(particles.box).cut(2 * radius)
    sums = []
    for _ in range(options.classes):
        rows = rng.permutation(len(particles))[:_FIRST_PARTICLES]
        weight = (1.0 / statistics.noise[particles.optics[rows]])[:, band.shell].astype(np.float32)
        ctf = np.ones_like(weight)
        if options.ctf:
            ctf = particles.ctf(rows, band, options.ctf_intact_first_peak)
        images = fourier_pixels(work.images(rows) * mask, band) * (ctf * weight)
        sums.append(random_sums(images, ctf**2 * weight, (band.kx, band.ky), radius, operators(symmetry), rng))
    return InitialMaps(
        iteration=0, assignments=assignments, statistics=statistics, volumes=np.zeros(0), stage=stage, radius=radius,
        sums=np.float32(0.5 * _FIRST_MEMORY) * np.stack([sums, sums]), symmetry=symmetry, rows=np.zeros(0, np.int64),
        ssnr=np.full((options.classes, particles.shells), 10.0))


def shells_to(particles: ParticleSet, resolution: float) -> int:
    """Return the number of shells up to a resolution in Å, at least 3, at most those of the box."""
    return min(max(int(np.ceil(particles.length / resolution)), 3), particles.box // 2)


def maps_of(sums: np.ndarray, radius: int, ssnr: np.ndarray, solvent: np.ndarray) -> np.ndarray:
    """Return the maps (classes, box, box, box) of sums (classes, …), within the solvent mask (box, box, box)."""
    return np.stack([regularised_map(own, radius, len(solvent), curve) * solvent
                     for own, curve in zip(sums, ssnr, strict=True)])


def with_volumes(model: InitialMaps, solvent: np.ndarray) -> InitialMaps:
    """Return the model with the maps of its sums."""
    return replace(model, volumes=maps_of(model.sums.sum(0), model.radius, model.ssnr, solvent))


def with_sums(model: InitialMaps, found: Iterable[tuple[int, Accumulated]]) -> InitialMaps:
    """Return the model with decayed sums, to which those accumulated over halves of a batch are added, and their SSNR.

    `found` has the number of the half, 0 or 1, beside its sums.
    """
    group, shells = operators(model.symmetry), model.ssnr.shape[1]
    sums = resized_sums(model.sums, model.radius) * np.float32(model.stage.decay)
    for half, accumulated in found:
        for number in range(accumulated.sums.shape[1]):
            sums[half, number] += finish_sums(accumulated.sums[:, number], group)
    return replace(model, sums=sums, ssnr=np.stack([
        halves_ssnr(pair[0], pair[1], model.radius, shells, _LEAST_SSNR) for pair in sums.swapaxes(0, 1)]))


def on_axes(model: InitialMaps, symmetry: str, radius: int, solvent: np.ndarray) -> InitialMaps:
    """Return the model with its maps turned onto their axes, found up to a shell, and averaged over the group.

    The sums, made without it, are forgotten.
    """
    axes = [find_axes(volume, symmetry, radius) for volume in model.volumes]
    volumes = np.stack([symmetrised(volume, own, symmetry) * solvent
                        for volume, own in zip(model.volumes, axes, strict=True)])
    return replace(model, volumes=volumes, symmetry=symmetry, sums=np.zeros_like(model.sums),
                   had_symmetry=axes[int(np.argmax(model.statistics.direction))].agreement)


def moved_statistics(particles: ParticleSet, old: Statistics, rows: np.ndarray, halves: list[Accumulated],
                     ) -> Statistics:
    """Return the statistics with noise, offset width and class weights moved towards those of the batch `rows`.

    The noise of all optics groups changes in the same proportion: a batch has too few particles of each.
    """
    residual = sum(accumulated.noise.sum(0) for accumulated in halves)
    offset_power = sum(accumulated.offset_power for accumulated in halves)
    mass = sum(accumulated.direction.reshape(len(old.direction), -1).sum(1) for accumulated in halves)
    expected = old.noise[particles.optics[rows]].sum(0) * np.bincount(full_band(particles.box).shell)
    ratio = np.clip(residual / expected, 0.1, 10.0)
    noise = old.noise * (_MEMORY + (1.0 - _MEMORY) * ratio)
    sigma = max(float(np.sqrt(0.5 * offset_power / len(rows))), 0.3)
    direction = _MEMORY * old.direction + (1.0 - _MEMORY) * mass / mass.sum()
    direction = np.maximum(direction, 0.1 / len(direction))  # a class with few particles can still gain some
    return replace(old, noise=noise, offset_sigma=_MEMORY * old.offset_sigma + (1.0 - _MEMORY) * sigma,
                   direction=direction / direction.sum())
