"""Validation of the final classes: half averages compared with aligned noise, accuracies, fits of the members."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cryosnake.jobs.options import Class2DOptions
from cryosnake.numerics.refine.classes.averages import class_shells
from cryosnake.numerics.refine.classes.membership import (
    extents,
    filtered_halves,
    fits,
    given_extent,
    membership,
    particle_radius,
)
from cryosnake.numerics.refine.classes.ranking import KEEP, rank
from cryosnake.numerics.refine.classes.validation import (
    best_in_plane,
    correlation,
    cross_spectra,
    half_averages,
    random_phases,
    resolved_shells,
    true_correlation,
)
from cryosnake.numerics.refine.grids.bands import Band, full_band
from cryosnake.numerics.refine.grids.grids import PlaneGrid, ShiftGrid, shift_grid
from cryosnake.numerics.refine.grids.images import fourier_pixels, shift_images
from cryosnake.numerics.refine.grids.references import (
    ClassReferences,
    class_references,
    insert_planes,
)
from cryosnake.numerics.refine.search.accuracy import estimate_plane_accuracy
from cryosnake.numerics.refine.sums.insertion import empty_sums
from cryosnake.programs.class2d.model import Classification, Validation
from cryosnake.programs.refinement.recipe import Recipe

_MOST = 200  # members of a class in its halves
_BLOCK = 256  # other members at a time
_FOR_ACCURACY = 30
_NO_ACCURACY = 999.0  # RELION's value for "not estimated"


@dataclass(frozen=True, kw_only=True)
class _Search:
    """The model that is validated, and the search that aligns the twins of its members."""

    recipe: Recipe[Class2DOptions, Any, Any]
    model: Classification
    band: Band
    grid: PlaneGrid
    shifts: ShiftGrid


@dataclass(frozen=True)
class _Images:
    """Members of a class: CTF times image, and squared CTF, over the noise power (n, pixels), and their angles."""

    data: np.ndarray
    ctf2: np.ndarray
    psi: np.ndarray


@dataclass(frozen=True)
class _Halves:
    """Images beside the half averages that they are part of; the first and every other image is in half 0."""

    members: _Images
    averages: np.ndarray


def validate(recipe: Recipe[Class2DOptions, Any, Any], model: Classification) -> Validation:
    """Judge every class by up to 200 of its members, and every member; see `classes/ranking`, `classes/membership`."""
    particles, options, rng = recipe.particles, recipe.options, recipe.rng(11)
    grid = PlaneGrid(1, max(1, int(np.ceil(720.0 / (2.0 * options.psi_step)))), 0.0)
    search = _Search(recipe=recipe, model=model, band=full_band(particles.box).cut(model.size), grid=grid,
                     shifts=shift_grid(options.offset_range, 2.0 * options.offset_step))
    shells = model.size // 2 + 1
    spectra = {name: np.zeros((options.classes, shells))
               for name in ("cross", "norm", "null_cross", "null_norm", "ctf2")}
    accuracy = np.full((options.classes, 2), _NO_ACCURACY)
    evidence, null = np.zeros((2, len(particles))), {}
    detail = int(2.0 * particles.length / options.particle_diameter) + 1  # waves shorter than half the diameter
    for k in range(options.classes):
        members = rng.permutation(np.flatnonzero(model.assignments.class_index == k))
        some, others = np.sort(members[:_MOST]), np.sort(members[_MOST:])
        if len(some):
            references = class_references(model.averages[k : k + 1], model.size, grid)
            real, noise, accuracy[k] = _one_class(search, some, references, rng)
            for name, curve in _curves(real, noise, search.band).items():
                spectra[name][k] = curve
            averages = filtered_halves(real.averages, _agreed(spectra, k), detail)
            evidence[:, some] = _fits(real.members, averages, search)
            null[k] = _fits(noise.members, averages, search)[0]
            _fit_others(search, others, averages, evidence)
    outline = max(1, round(particles.length / options.particle_diameter))
    counts = np.bincount(model.assignments.class_index, minlength=options.classes)
    spectra |= {"members": np.minimum(counts, _MOST), "extent": extents(model.averages)}
    ranking = rank(spectra, counts, outline, class_shells(model.ssnr))
    kept = ranking.score >= KEEP
    radius = particle_radius(model.averages, counts * kept)
    belongs = membership(evidence[0], evidence[1], np.concatenate([null[k] for k in null if kept[k]] or [np.zeros(0)]),
                         np.hypot(*model.assignments.offset.T), kept[model.assignments.class_index], radius,
                         options.particle_diameter / particles.pixel_size)
    belongs = given_extent(belongs, ranking.extent[model.assignments.class_index])
    return Validation(ranking, accuracy, belongs, radius)


def _one_class(search: _Search, rows: np.ndarray, references: ClassReferences, rng: np.random.Generator,
               ) -> tuple[_Halves, _Halves, tuple[float, float]]:
    """Return halves of a class's members and of their twins with random phases, aligned; and accuracies."""
    band, (members, images, weights) = search.band, _aligned(search, rows)
    noise = fourier_pixels(random_phases(images, rng) * search.recipe.mask, band) * weights
    slices = references.coarse(np.arange(search.grid.size), band)
    angle, shift = best_in_plane(noise, members.ctf2, slices, band, search.shifts.coarse)
    noise *= band.phases(search.shifts.coarse)[shift]
    twins, few = _Images(noise, members.ctf2, angle * search.grid.step), slice(0, _FOR_ACCURACY)
    return (_halves(members, band), _halves(twins, band),
            estimate_plane_accuracy(references, 0, members.psi[few], np.sqrt(members.ctf2[few]), band, rng))


def _halves(images: _Images, band: Band) -> _Halves:
    radius = int(band.shell[-1])
    sums = empty_sums(radius, (1, 2), dimensions=2)
    insert_planes(sums, np.arange(len(images.psi)) % 2, images.psi, band, images.data, images.ctf2)
    return _Halves(images, half_averages(sums[0], radius))


def _curves(real: _Halves, noise: _Halves, band: Band) -> dict[str, np.ndarray]:
    """Return a class's spectra, by name, as `rank` takes them."""
    shells, curves = int(band.shell[-1]) + 1, {}
    for name, halves in (("", real), ("null_", noise)):
        curves[f"{name}cross"], curves[f"{name}norm"] = cross_spectra(halves.averages[0], halves.averages[1], shells)
    curves["ctf2"] = np.add.reduceat(real.members.ctf2.mean(0), band.shell_starts()) / np.bincount(band.shell)
    return curves


def _agreed(spectra: dict[str, np.ndarray], number: int) -> int:
    """Return the last shell in which the halves of a class agree more than aligned noise does."""
    row = slice(number, number + 1)
    return int(resolved_shells(true_correlation(correlation(spectra["cross"][row], spectra["norm"][row]), correlation(
        spectra["null_cross"][row], spectra["null_norm"][row])))[0])


def _fits(images: _Images, averages: np.ndarray, search: _Search) -> np.ndarray:
    """Return fits and what is expected, (2, n), of images to the half average that they are not part of."""
    other = 1 - np.arange(len(images.psi)) % 2
    slices = ClassReferences(averages, search.grid).at(other, images.psi, search.band)
    return np.stack(fits(images.data, images.ctf2, slices))


def _fit_others(search: _Search, rows: np.ndarray, averages: np.ndarray, evidence: np.ndarray) -> None:
    """Fill in the evidence (2, particles) of members that are part of neither half."""
    for begin in range(0, len(rows), _BLOCK):
        mine = rows[begin : begin + _BLOCK]
        evidence[:, mine] = _fits(_aligned(search, mine)[0], averages, search)


def _aligned(search: _Search, rows: np.ndarray) -> tuple[_Images, np.ndarray, np.ndarray]:
    """Return members, masked and moved by their offsets, beside their images and weights.

    The images (n, box, box) are not masked, moved by whole pixels, at the usual intensity; the weights (n, pixels) are
    CTF over noise power.
    """
    found, statistics = search.model.assignments, search.model.statistics
    offset, pose = found.offset[rows], found.pose[rows]
    whole = np.rint(offset)
    images = shift_images(search.recipe.work.images(rows), whole)
    images *= (statistics.norm_average / found.norm[rows]).astype(np.float32)[:, None, None]
    weights, ctf2 = _weights(search, rows)
    data = fourier_pixels(images * search.recipe.mask, search.band) * weights * search.band.phases_each(offset - whole)
    return _Images(data, ctf2, np.degrees(np.arctan2(pose[:, 0, 1], pose[:, 0, 0]))), images, weights


def _weights(search: _Search, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return CTF and squared CTF, both over the noise power, (n, pixels), as the expectation step has them."""
    particles, options, statistics = search.recipe.particles, search.recipe.options, search.model.statistics
    ctf = np.ones((len(rows), search.band.kx.size), np.float32)
    if options.ctf:
        ctf = particles.ctf(rows, search.band, options.ctf_intact_first_peak)
    ctf = ctf * statistics.scale[particles.group[rows], None].astype(np.float32)
    noise = statistics.noise[particles.optics[rows]][:, search.band.shell].astype(np.float32)
    return ctf / noise, ctf**2 / noise
