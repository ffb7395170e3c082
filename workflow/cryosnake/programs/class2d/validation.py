"""What is found out at the end: half averages of each class beside aligned noise, accuracies, fits of its members."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cryosnake.numerics.refine.classes.averages import class_shells
from cryosnake.numerics.refine.classes.membership import filtered_halves, fits, membership, particle_radius
from cryosnake.numerics.refine.classes.ranking import KEEP, Ranking, rank
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
    empty_class_sums,
    insert_planes,
)
from cryosnake.numerics.refine.search.accuracy import estimate_plane_accuracy
from cryosnake.programs.class2d.model import Classification, Settings2D
from cryosnake.programs.refinement.disc import image_mask
from cryosnake.programs.refinement.particles import Particles

_MOST = 200  # members of a class that halves are made of
_BLOCK = 256  # of the others, at a time
_FOR_ACCURACY = 30
_NO_ACCURACY = 999.0  # RELION's value for "not estimated"


@dataclass(frozen=True)
class Validation:
    """What `validate` found out.

    Attributes
    ----------
    ranking : Ranking
    accuracy : (classes, 2) float64
        Degrees and pixels.
    membership : (n,) float64
        Probability that each picture is a particle, see `class_membership`.
    radius : float
        How far the particle reaches from its centre, pixels.
    """

    ranking: Ranking
    accuracy: np.ndarray
    membership: np.ndarray
    radius: float


@dataclass(frozen=True)
class _Search:
    band: Band
    grid: PlaneGrid
    shifts: ShiftGrid
    mask: np.ndarray


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


def validate(particles: Particles, model: Classification, settings: Settings2D) -> Validation:
    """Judge every class by up to 200 of its members, and every member; see `class_ranking`, `class_membership`."""
    rng = np.random.default_rng([settings.seed, 11])
    grid = PlaneGrid(1, max(1, int(np.ceil(720.0 / settings.psi_step))), 0.0)
    search = _Search(full_band(particles.box).cut(model.size), grid,
                     shift_grid(settings.offset_range, settings.offset_step), image_mask(particles, settings.diameter))
    shells = model.size // 2 + 1
    spectra = {name: np.zeros((settings.classes, shells))
               for name in ("cross", "norm", "null_cross", "null_norm", "ctf2")}
    looked, accuracy = np.zeros(settings.classes, np.int64), np.full((settings.classes, 2), _NO_ACCURACY)
    evidence, null = np.zeros((2, len(particles))), {}
    for k in range(settings.classes):
        members = rng.permutation(np.flatnonzero(model.state.class_index == k))
        some, others = np.sort(members[:_MOST]), np.sort(members[_MOST:])
        looked[k] = len(some)
        if len(some):
            references = class_references(model.averages[k : k + 1], model.size, grid)
            real, noise, accuracy[k] = _one_class(particles, some, model, settings, references, search, rng)
            for name, curve in _curves(real, noise, search.band).items():
                spectra[name][k] = curve
            averages = filtered_halves(real.averages, _agreed(spectra, k))
            evidence[:, some] = _fits(real.members, averages, search)
            null[k] = _fits(noise.members, averages, search)[0]
            _fit_others(particles, others, model, settings, averages, search, evidence)
    outline = max(1, round(particles.box * particles.pixel_size / settings.diameter))
    counts = np.bincount(model.state.class_index, minlength=settings.classes)
    ranking = rank(spectra | {"members": looked}, counts, outline, class_shells(model.ssnr))
    kept = ranking.score >= KEEP
    radius = particle_radius(model.averages, counts * kept)
    belongs = membership(evidence[0], evidence[1], np.concatenate([null[k] for k in null if kept[k]] or [np.zeros(0)]),
                         np.hypot(*model.state.offset.T), kept[model.state.class_index], radius,
                         settings.diameter / particles.pixel_size)
    return Validation(ranking, accuracy, belongs, radius)


def _one_class(particles: Particles, rows: np.ndarray, model: Classification, settings: Settings2D,
               references: ClassReferences, search: _Search, rng: np.random.Generator,
               ) -> tuple[_Halves, _Halves, tuple[float, float]]:
    """Return halves of a class's members and of their twins with random phases, aligned; and accuracies."""
    band, state = search.band, model.state
    images, whole = _centred(particles, rows, model)
    weights, ctf2 = _weights(particles, rows, band, model, settings)
    real = _aligned(images, weights, search, state.offset[rows] - whole)
    noise = fourier_pixels(random_phases(images, rng) * search.mask, band) * weights
    slices = references.coarse(np.arange(search.grid.size), band)
    angle, shift = best_in_plane(noise, ctf2, slices, band, search.shifts.coarse)
    noise *= band.phases(search.shifts.coarse)[shift]
    psi = _angles(rows, model)
    few = slice(0, _FOR_ACCURACY)
    return (_halves(_Images(real, ctf2, psi), band), _halves(_Images(noise, ctf2, angle * search.grid.step), band),
            estimate_plane_accuracy(references, 0, psi[few], np.sqrt(ctf2[few]), band, rng))


def _halves(images: _Images, band: Band) -> _Halves:
    radius = int(band.shell[-1])
    sums = np.zeros((1, *empty_class_sums(2, radius).shape), np.float32)
    insert_planes(sums, np.arange(len(images.psi)) % 2, images.psi, band, images.data, images.ctf2)
    return _Halves(images, half_averages(sums[0], radius))


def _curves(real: _Halves, noise: _Halves, band: Band) -> dict[str, np.ndarray]:
    """Return a class's spectra, by name, as `rank` wants them."""
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
    return np.stack(fits(images.data, images.ctf2, ClassReferences(averages, search.grid).at(other, images.psi,
                                                                                            search.band)))


def _fit_others(particles: Particles, rows: np.ndarray, model: Classification, settings: Settings2D,
                averages: np.ndarray, search: _Search, evidence: np.ndarray) -> None:
    """Fill in the evidence (2, particles) of members that are part of neither half."""
    for begin in range(0, len(rows), _BLOCK):
        mine = rows[begin : begin + _BLOCK]
        images, whole = _centred(particles, mine, model)
        weights, ctf2 = _weights(particles, mine, search.band, model, settings)
        data = _aligned(images, weights, search, model.state.offset[mine] - whole)
        evidence[:, mine] = _fits(_Images(data, ctf2, _angles(mine, model)), averages, search)


def _aligned(images: np.ndarray, weights: np.ndarray, search: _Search, offsets: np.ndarray) -> np.ndarray:
    """Return masked images (n, pixels), weighted and moved by what is left of their offsets (n, 2)."""
    return fourier_pixels(images * search.mask, search.band) * weights * search.band.phases_each(offsets)


def _centred(particles: Particles, rows: np.ndarray, model: Classification) -> tuple[np.ndarray, np.ndarray]:
    """Return images moved by whole pixels, at the usual intensity, and by how much (n, 2)."""
    whole = np.rint(model.state.offset[rows])
    images = shift_images(particles.images(rows), whole)
    images *= (model.statistics.norm_average / model.state.norm[rows]).astype(np.float32)[:, None, None]
    return images, whole


def _angles(rows: np.ndarray, model: Classification) -> np.ndarray:
    return np.asarray(np.degrees(np.arctan2(model.state.pose[rows, 0, 1], model.state.pose[rows, 0, 0])))


def _weights(particles: Particles, rows: np.ndarray, band: Band, model: Classification, settings: Settings2D,
             ) -> tuple[np.ndarray, np.ndarray]:
    """Return CTF and squared CTF, both over the noise power, (n, pixels), as the expectation step has them."""
    ctf = np.ones((len(rows), band.kx.size), np.float32)
    if settings.use_ctf:
        ctf = particles.ctf(rows, band, settings.intact_first_peak)
    ctf = ctf * model.statistics.scale[particles.group[rows], None].astype(np.float32)
    noise = model.statistics.noise[particles.optics[rows]][:, band.shell].astype(np.float32)
    return ctf / noise, ctf**2 / noise
