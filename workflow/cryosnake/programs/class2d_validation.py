"""What is found out about each class at the end: half averages beside aligned noise, and accuracies of alignment."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cryosnake.numerics.refine.accuracy import estimate_plane_accuracy
from cryosnake.numerics.refine.bands import Band, full_band
from cryosnake.numerics.refine.class_ranking import Ranking, rank
from cryosnake.numerics.refine.class_validation import (
    best_in_plane,
    cross_spectra,
    half_averages,
    random_phases,
)
from cryosnake.numerics.refine.classes import class_shells
from cryosnake.numerics.refine.grids import PlaneGrid, ShiftGrid, shift_grid
from cryosnake.numerics.refine.images import fourier_pixels, shift_images
from cryosnake.numerics.refine.references import ClassReferences, class_references, empty_class_sums, insert_planes
from cryosnake.programs.class2d_model import Classification, Settings2D
from cryosnake.programs.particles import Particles
from cryosnake.programs.refine_model import image_mask

_MOST = 200  # members of a class that are looked at
_FOR_ACCURACY = 30
_NO_ACCURACY = 999.0  # RELION's value for "not estimated"


@dataclass(frozen=True)
class Validation:
    """What `validate` found out: the ranking, and accuracies (classes, 2) in degrees and pixels."""

    ranking: Ranking
    accuracy: np.ndarray


@dataclass(frozen=True)
class _Search:
    band: Band
    grid: PlaneGrid
    shifts: ShiftGrid
    mask: np.ndarray


def validate(particles: Particles, model: Classification, settings: Settings2D) -> Validation:
    """Judge every class by up to 200 of its members; see `class_validation` and `class_ranking`."""
    rng = np.random.default_rng([settings.seed, 11])
    grid = PlaneGrid(1, max(1, int(np.ceil(720.0 / settings.psi_step))), 0.0)
    search = _Search(full_band(particles.box).cut(model.size), grid,
                     shift_grid(settings.offset_range, settings.offset_step), image_mask(particles, settings.diameter))
    shells = model.size // 2 + 1
    spectra = {name: np.zeros((settings.classes, shells))
               for name in ("cross", "norm", "null_cross", "null_norm", "ctf2")}
    looked, accuracy = np.zeros(settings.classes, np.int64), np.full((settings.classes, 2), _NO_ACCURACY)
    for k in range(settings.classes):
        members = np.sort(rng.permutation(np.flatnonzero(model.state.klass == k))[:_MOST])
        looked[k] = len(members)
        if len(members):
            references = class_references(model.averages[k : k + 1], model.size, grid)
            curves, accuracy[k] = _one_class(particles, members, model, settings, references, search, rng)
            for name, curve in curves.items():
                spectra[name][k] = curve
    outline = max(1, round(particles.box * particles.pixel_size / settings.diameter))
    counts = np.bincount(model.state.klass, minlength=settings.classes)
    return Validation(rank(spectra | {"members": looked}, counts, outline, class_shells(model.ssnr)), accuracy)


def _one_class(particles: Particles, rows: np.ndarray, model: Classification, settings: Settings2D,
               references: ClassReferences, search: _Search, rng: np.random.Generator,
               ) -> tuple[dict[str, np.ndarray], tuple[float, float]]:
    """Return a class's spectra, by name, and its accuracies."""
    band, state = search.band, model.state
    whole = np.rint(state.offset[rows])
    images = shift_images(particles.images(rows), whole)
    images *= (model.statistics.norm_average / state.norm[rows]).astype(np.float32)[:, None, None]
    weights, ctf2 = _weights(particles, rows, band, model, settings)
    real = fourier_pixels(images * search.mask, band) * weights * band.phases_each(state.offset[rows] - whole)
    noise = fourier_pixels(random_phases(images, rng) * search.mask, band) * weights
    slices = references.coarse(np.arange(search.grid.size), band)
    angle, shift = best_in_plane(noise, ctf2, slices, band, search.shifts.coarse)
    noise *= band.phases(search.shifts.coarse)[shift]
    psi = np.degrees(np.arctan2(state.pose[rows, 0, 1], state.pose[rows, 0, 0]))
    curves = {}
    for name, data, turn in (("", real, psi), ("null_", noise, angle * search.grid.step)):
        curves[f"{name}cross"], curves[f"{name}norm"] = _half_spectra(data, ctf2, turn, band)
    curves["ctf2"] = np.add.reduceat(ctf2.mean(0), band.shell_starts()) / np.bincount(band.shell)
    few = slice(0, _FOR_ACCURACY)
    return curves, estimate_plane_accuracy(references, 0, psi[few], np.sqrt(ctf2[few]), band, rng)


def _half_spectra(data: np.ndarray, ctf2: np.ndarray, psi: np.ndarray, band: Band) -> tuple[np.ndarray, np.ndarray]:
    radius = int(band.shell[-1])
    sums = np.zeros((1, *empty_class_sums(2, radius).shape), np.float32)
    insert_planes(sums, np.arange(len(psi)) % 2, psi, band, data, ctf2)
    first, second = half_averages(sums[0], radius)
    return cross_spectra(first, second, radius + 1)


def _weights(particles: Particles, rows: np.ndarray, band: Band, model: Classification, settings: Settings2D,
             ) -> tuple[np.ndarray, np.ndarray]:
    """Return CTF and squared CTF, both over the noise power, (n, pixels), as the expectation step has them."""
    ctf = np.ones((len(rows), band.kx.size), np.float32)
    if settings.use_ctf:
        ctf = particles.ctf(rows, band, settings.intact_first_peak)
    ctf = ctf * model.statistics.scale[particles.group[rows], None].astype(np.float32)
    noise = model.statistics.noise[particles.optics[rows]][:, band.shell].astype(np.float32)
    return ctf / noise, ctf**2 / noise
