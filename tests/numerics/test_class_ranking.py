"""Ranking of classes: what noise, lumps and blurred classes score, and what alignment of noise feigns."""

from __future__ import annotations

import numpy as np
import pytest

from cryosnake.numerics.refine.classes.ranking import CRITERIA, KEEP, rank
from cryosnake.numerics.refine.classes.validation import (
    best_in_plane,
    correlation,
    cross_spectra,
    half_averages,
    random_phases,
    resolved_shells,
    true_correlation,
)
from cryosnake.numerics.refine.grids.bands import full_band
from cryosnake.numerics.refine.grids.grids import PlaneGrid, shift_grid
from cryosnake.numerics.refine.grids.images import fourier_pixels, soft_disc
from cryosnake.numerics.refine.grids.references import class_references, insert_planes
from cryosnake.numerics.refine.sums.insertion import empty_sums

BOX = 32
MOST = 99  # no limit from elsewhere


def test_random_phases_keep_the_power_and_nothing_else():
    rng = np.random.default_rng(0)
    images = rng.normal(size=(20, BOX, BOX)).astype(np.float32)
    images[:, 12:20, 12:20] += 3.0
    other = random_phases(images, rng)
    powers = [np.abs(np.fft.rfft2(x)) ** 2 for x in (images, other)]
    assert np.allclose(powers[0], powers[1], rtol=1e-3, atol=1e-2)
    assert abs(np.corrcoef(images.mean(0).ravel(), other.mean(0).ravel())[0, 1]) < 0.4


def aligned_halves(images, average, band, mask):
    """The correlation of half averages of images aligned to an average, by shell."""
    grid, shifts = PlaneGrid(1, 60, 0.0), shift_grid(3.0, 1.0).coarse
    data, flat = fourier_pixels(images * mask, band), np.full((len(images), band.kx.size), 400.0, np.float32)
    slices = class_references(average[None], BOX, grid).coarse(np.arange(grid.size), band)
    angle, shift = best_in_plane(data * 400.0, flat, slices, band, shifts)
    sums = empty_sums(BOX // 2, (1, 2), dimensions=2)
    insert_planes(sums, np.arange(len(images)) % 2, angle * grid.step, band, data * band.phases(shifts)[shift], flat)
    first, second = half_averages(sums[0], BOX // 2)
    return correlation(*(curve[None] for curve in cross_spectra(first, second, BOX // 2)))


def test_aligned_noise_agrees_and_its_control_finds_that_out():
    """Einstein from noise: two halves agree although there is nothing; less the control they do not."""
    rng, band, mask = np.random.default_rng(1), full_band(BOX), soft_disc(BOX, 11.0, 3.0)
    y, x = np.mgrid[:BOX, :BOX] - BOX // 2
    average = (2.0 * np.exp(-(x**2 / 20 + (y - 3) ** 2 / 6)) - np.exp(-((x - 4) ** 2 + y**2) / 5)).astype(np.float32)
    noise = rng.normal(size=(120, BOX, BOX)).astype(np.float32)
    real = aligned_halves(noise, average, band, mask)
    control = aligned_halves(random_phases(noise, rng), average, band, mask)
    pixels = np.arange(2, 9) / np.arange(2, 9).sum()  # a shell of low order has few pixels
    assert real[0, 2:9] @ pixels > 0.3
    assert abs(real[0, 2:9] @ pixels - control[0, 2:9] @ pixels) < 0.12
    signal = aligned_halves(noise + 0.7 * average, average, band, mask)
    assert true_correlation(signal, control)[0, 2:5].mean() > 0.5  # what the average holds


def test_resolution_is_the_first_fall_below_the_threshold():
    curves = np.array([[1, 1, 0.9, 0.8, 0.5, 0.0, 0.0, 0.6, 0.0], [1, 0.0, 0, 0, 0, 0, 0, 0, 0]], float)
    assert resolved_shells(curves).tolist() == [4, 1]


def spectra(kinds):
    """Spectra as of half averages of: good and rare classes, noise, lumps, outlines without detail, one particle."""
    shells, index = 16, np.arange(16)
    fall = 1.0 / (1.0 + (index / 6.0) ** 4)
    signal = {"good": fall, "rare": fall, "noise": 0.002 * fall, "lump": 40.0 / (1.0 + index**4),
              "outline": np.where(index <= 2, fall, 0.0), "single": fall}
    members = {"good": 200, "rare": 12, "single": 1}
    result = {name: np.zeros((len(kinds), shells)) for name in ("cross", "norm", "null_cross", "null_norm", "ctf2")}
    looked = np.array([members.get(kind, 100) for kind in kinds])
    for k, kind in enumerate(kinds):
        noise = 2.0 / looked[k]
        result["cross"][k], result["norm"][k] = signal[kind] + 0.3 * noise, signal[kind] + noise
        result["null_cross"][k], result["null_norm"][k] = 0.3 * noise, noise
        result["ctf2"][k] = 1.0
    return result | {"members": looked, "extent": np.full(len(kinds), 20.0)}, looked


def test_particles_are_told_from_noise_lumps_and_outlines():
    kinds = ["good", "good", "rare", "noise", "lump", "outline", "single"]
    ranking = rank(*spectra(kinds), outline=1, most=MOST)
    assert (ranking.score >= KEEP).tolist() == [True, True, True, False, False, False, False]
    assert ranking.reason(0) == "" and "mass" in ranking.reason(4) and "too few" in ranking.reason(6)
    assert ranking.answers["signal"][5] < 0.5 and ranking.answers["resolution"][5] < 0.5
    assert CRITERIA[ranking.worst[4]] == "contrast"
    assert ranking.shells[0] > 8 > ranking.shells[5]
    assert rank(*spectra(kinds), outline=1, most=np.full(7, 5)).shells.max() == 5


def test_resolution_that_few_members_cannot_reach_is_not_held_against_them():
    """A class of a tenth of the others' members, whose halves agree to less than half as far."""
    data, _ = spectra(["good", "good", "rare"])
    index = np.arange(16)
    for name, signal in (("cross", 1.0), ("norm", 1.0 + 0.03 * (index / 2.0) ** 4)):
        data[name][2] = signal
    data["null_cross"][2], data["null_norm"][2] = 0.0, 1.0
    ranking = rank(data | {"members": np.array([200, 200, 20])}, np.array([200, 200, 20]), 1, np.full(3, MOST))
    assert ranking.shells[2] < 0.5 * ranking.shells[0]
    assert ranking.score[2] >= KEEP
    many = rank(data | {"members": np.full(3, 200)}, np.full(3, 200), 1, np.full(3, MOST))
    assert many.answers["resolution"][2] < KEEP


def test_a_class_that_spreads_is_doubted_but_kept():
    """A blur of what is not alike, or the side view of an elongated particle: its members decide."""
    data, counts = spectra(["good", "good", "good", "noise"])
    ranking = rank(data | {"extent": np.array([19.0, 20.0, 27.0, 27.0])}, counts, outline=1, most=MOST)
    assert ranking.extent.tolist() == pytest.approx([0.95, 1.0, 1.35, 1.35])
    assert ranking.score[:2].min() > 0.9 and KEEP <= ranking.score[2] < 0.55 and ranking.score[3] < KEEP
    assert ranking.reason(2) == "" and CRITERIA[ranking.worst[2]] == "extent"


def test_good_classes_need_not_be_the_majority():
    ranking = rank(*spectra(["good", "noise", "noise", "noise", "lump", "noise"]), outline=1, most=MOST)
    assert (ranking.score >= KEEP).tolist() == [True] + [False] * 5


def test_nothing_is_kept_of_noise_alone():
    ranking = rank(*spectra(["noise", "noise"]), outline=1, most=MOST)
    assert (ranking.score < KEEP).all()
    empty = rank(*[x * 0 if isinstance(x, np.ndarray) else {k: v * 0 for k, v in x.items()}
                   for x in spectra(["good", "good"])], outline=1, most=MOST)
    assert np.isfinite(empty.score).all() and empty.score == pytest.approx(0.0)
