"""Fits of aberrations, magnification and CTF parameters to images made from random predictions with a known lens."""

from __future__ import annotations

import numpy as np
import pytest

from cryosnake.numerics.ctf import Defocus, Microscope, ctf_phase
from cryosnake.numerics.ctf_refine.defocus_fit import Lens, Modes, evidence_of, fit_lens, rest_of_phase
from cryosnake.numerics.ctf_refine.magnification import defocus_in_new_frame, fit_magnification, magnification_sums
from cryosnake.numerics.ctf_refine.phase_fit import Frequencies, fit_phases
from cryosnake.numerics.ctf_refine.phase_sums import phase_sums
from cryosnake.numerics.projection import half_plane
from cryosnake.simulation.aberrations import Aberrations

MICROSCOPE, LENGTH = Microscope(300.0, 2.7, 0.1), 150.0  # Å
X, Y = (values.astype(np.float64) for values in half_plane(90, 5.0))
KX, KY = X / LENGTH, Y / LENGTH
SHELL = np.rint(np.hypot(X, Y)).astype(np.int64)
AT = Frequencies(kx=KX, ky=KY, shell=SHELL)
LENS = Aberrations(beam_tilt=(0.5, -0.4), odd=(0.0, 0.0, 40.0, 0.0, 0.0, -30.0),
                   even=(0.0, 0.0, 0.0, 0.0, 100.0, 0.0, 0.0, 40.0, -90.0))


def complex_noise(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return ((rng.normal(size=shape) + 1j * rng.normal(size=shape)) / np.sqrt(2.0)).astype(np.complex64)


def phases(terms: np.ndarray) -> np.ndarray:
    """χ (n, pixels) by the module that refinement uses, for terms (n, 4)."""
    squared, azimuth = KX**2 + KY**2, np.arctan2(KY, KX)
    return np.stack([ctf_phase(squared, azimuth, Defocus.from_vector(row), MICROSCOPE) for row in terms])


def made_terms(rng: np.random.Generator, count: int) -> np.ndarray:
    terms = np.zeros((count, 4))
    terms[:, 0], terms[:, 1:3] = rng.uniform(8000, 16000, count), (150.0, -100.0)
    return terms


def without(phase: np.ndarray, *shapes: np.ndarray) -> np.ndarray:
    basis = np.stack(shapes, 1)
    return phase - basis @ np.linalg.lstsq(basis, phase, rcond=None)[0]


@pytest.fixture(scope="module")
def aberrated():
    """Sums of 300 images with a signal of a twentieth of the noise's power."""
    rng = np.random.default_rng(1)
    predictions, chi = complex_noise(rng, 300, len(KX)), phases(made_terms(rng, 300))
    odd, even = LENS.odd_phase(KX, KY, MICROSCOPE), LENS.even_phase(KX, KY)
    images = predictions * np.sin(chi - even) * np.exp(1j * odd) + 4.5 * complex_noise(rng, 300, len(KX))
    return phase_sums(images, predictions, chi.astype(np.float32))


def test_odd_and_even_aberrations_are_found_together_as_well_as_the_noise_allows(aberrated):
    fit = fit_phases(aberrated, AT, [0.0] * 6, [0.0] * 9, odd_terms=range(6), even_terms=range(9))
    found = Aberrations(odd=tuple(fit.odd), even=tuple(fit.even))
    odd, even = LENS.odd_phase(KX, KY, MICROSCOPE), LENS.even_phase(KX, KY)
    assert np.abs(odd).max() > 2.0 and np.abs(even).max() > 1.0
    wrong_odd = found.odd_phase(KX, KY, MICROSCOPE) - odd
    wrong_even = without(found.even_phase(KX, KY) - even, np.ones_like(KX), KX**2 + KY**2, KX**2 - KY**2, KX * KY)
    assert wrong_odd.std() < 0.1 * odd.std() and wrong_odd.std() < 2.0 * fit.odd_error
    assert wrong_even.std() < 2.0 * fit.even_error
    assert 0.0 < fit.odd_error < 0.1 and 0.0 < fit.even_error < 0.1


def test_terms_that_are_not_fitted_stay(aberrated):
    fit = fit_phases(aberrated, AT, [0.0, 0.0, 40.0, 0.0, 0.0, -30.0], LENS.even, odd_terms=(0, 1, 3, 4))
    assert fit.odd[[2, 5]].tolist() == [40.0, -30.0] and fit.even.tolist() == list(LENS.even)
    coma = 2e4 * np.pi * MICROSCOPE.cs * MICROSCOPE.wavelength**2
    np.testing.assert_allclose(-3.0 * fit.odd[[4, 3]] / coma, LENS.beam_tilt, atol=0.05)


def test_sums_of_parts_add_up_to_those_of_all():
    rng = np.random.default_rng(2)
    images, predictions = complex_noise(rng, 2, 10, len(KX))
    chi = phases(made_terms(rng, 10)).astype(np.float32)
    parts = phase_sums(images[:4], predictions[:4], chi[:4]) + phase_sums(images[4:], predictions[4:], chi[4:])
    whole = phase_sums(images, predictions, chi)
    np.testing.assert_allclose(parts.cross_sin, whole.cross_sin, rtol=1e-4, atol=1e-4)
    assert parts.count == whole.count == 10


def test_the_magnification_of_smooth_transforms_is_found():
    rng, count = np.random.default_rng(3), 40
    points = rng.normal(0.0, 6.0, (count, 30, 2)) / 90.0  # of atoms, in boxes of this transform
    matrix = np.array([[1.003, 0.0008], [0.0004, 0.998]])

    def transforms(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
        waves = np.exp(-2j * np.pi * (points[..., 0, None] * x + points[..., 1, None] * y))
        return waves.sum(1), [(-2j * np.pi * points[..., axis, None] * waves).sum(1) for axis in (0, 1)]

    images = transforms(matrix[0, 0] * X + matrix[0, 1] * Y, matrix[1, 0] * X + matrix[1, 1] * Y)[0]
    own, slopes = transforms(X, Y)
    sums = magnification_sums(images + 3.0 * complex_noise(rng, count, len(X)), own, (slopes[0], slopes[1]), (X, Y),
                              SHELL)
    found, error = fit_magnification(sums)
    assert np.abs(np.eye(2) + found - matrix).max() < max(4.0 * error.max(), 2e-4) < 1e-3
    nothing = fit_magnification(magnification_sums(images, 0 * own, (0 * own, 0 * own), (X, Y), SHELL))
    assert not nothing[0].any() and np.isinf(nothing[1]).all()


def test_defoci_in_a_new_frame_give_the_same_phases():
    change = np.array([[1.01, 0.004], [-0.003, 0.99]])
    new = defocus_in_new_frame(Defocus(np.array([12000.0]), np.array([11000.0]), np.array([30.0])), change)
    flat = Microscope(300.0, 0.0, 0.1)
    before = ctf_phase(KX**2 + KY**2, np.arctan2(KY, KX), Defocus(12000.0, 11000.0, 30.0), flat)
    x, y = change[0, 0] * KX + change[0, 1] * KY, change[1, 0] * KX + change[1, 1] * KY
    after = ctf_phase(x**2 + y**2, np.arctan2(y, x), Defocus(new.u[0], new.v[0], new.angle[0]), flat)
    np.testing.assert_allclose(after, before, atol=1e-6)
    assert new.u[0] >= new.v[0]


@pytest.fixture(scope="module")
def micrograph():
    """Evidence of 30 particles at other heights than thought, and their true terms."""
    rng = np.random.default_rng(4)
    terms = np.tile([11000.0, 120.0, -60.0, 0.3], (30, 1))
    terms[:, 0] += rng.normal(0.0, 250.0, 30)
    predictions, chi = complex_noise(rng, 30, len(KX)), phases(terms)
    decay = 0.8 * np.exp(-0.25 * 60.0 * (KX**2 + KY**2))
    images = predictions * decay * np.sin(chi) + 3.0 * complex_noise(rng, 30, len(KX))
    noise = np.full(len(KX), 9.0)
    return evidence_of(images, predictions, noise, rest_of_phase(MICROSCOPE, 0.0 * KX, KX, KY), KX, KY), terms


def thought(astigmatism: tuple[float, float], shift: float, defocus: float = 10700.0) -> Lens:
    terms = np.tile([defocus, *astigmatism, shift], (30, 1))
    return Lens(terms=terms, b_factor=np.zeros(30), scale=np.ones(30))


def test_each_particle_gets_its_defocus_and_the_micrograph_its_astigmatism(micrograph):
    evidence, truth = micrograph
    found = fit_lens(evidence, thought((0.0, 0.0), 0.3), MICROSCOPE.wavelength,
                     Modes(defocus="particle", astigmatism="micrograph"))
    wrong = found.terms - truth
    assert np.abs(wrong[:, 0].mean()) < 20.0 and wrong[:, 0].std() < 60.0
    assert np.abs(wrong[:, 1:3]).max() < 25.0 and np.ptp(found.terms[:, 1:3], axis=0).max() == 0.0
    assert (found.terms[:, 3] == 0.3).all() and not found.b_factor.any()


def test_a_micrograph_far_from_its_defocus_comes_back(micrograph):
    evidence, truth = micrograph
    found = fit_lens(evidence, thought((120.0, -60.0), 0.3, 12400.0), MICROSCOPE.wavelength,
                     Modes(defocus="micrograph"))
    assert np.ptp(found.terms[:, 0]) == 0.0 and np.abs(found.terms[0, 0] - truth[:, 0].mean()) < 80.0


def test_phase_shift_b_factor_and_scale_of_a_micrograph(micrograph):
    evidence, truth = micrograph
    start = Lens(terms=truth - np.array([0.0, 0.0, 0.0, 0.2]), b_factor=np.zeros(30), scale=np.ones(30))
    found = fit_lens(evidence, start, MICROSCOPE.wavelength,
                     Modes(phase_shift="micrograph", b_factor="micrograph"))
    assert np.abs(found.terms[:, 3] - 0.3).max() < 0.06 and np.ptp(found.terms[:, 3]) == 0.0
    assert np.abs(found.b_factor - 60.0).max() < 15.0 and np.abs(found.scale - 0.8).max() < 0.08


def test_one_particle_in_a_micrograph_is_fitted_by_itself():
    rng = np.random.default_rng(6)
    terms = np.array([[11250.0, 0.0, 0.0, 0.0]])
    predictions = complex_noise(rng, 1, len(KX))
    images = predictions * np.sin(phases(terms)) + complex_noise(rng, 1, len(KX))
    evidence = evidence_of(images, predictions, np.ones(len(KX)), rest_of_phase(MICROSCOPE, 0.0 * KX, KX, KY), KX, KY)
    start = Lens(terms=np.array([[11000.0, 0.0, 0.0, 0.0]]), b_factor=np.zeros(1), scale=np.ones(1))
    found = fit_lens(evidence, start, MICROSCOPE.wavelength, Modes(defocus="particle", astigmatism="micrograph"))
    assert abs(found.terms[0, 0] - 11250.0) < 30.0
