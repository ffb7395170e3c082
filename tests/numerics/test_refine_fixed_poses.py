"""Classes at known poses: against the likelihood written out, and the sums against those of one class at a time."""

from __future__ import annotations

import numpy as np
import pytest

from cryosnake.numerics.backend import to_numpy
from cryosnake.numerics.euler import euler_to_matrix
from cryosnake.numerics.projection import central_slices
from cryosnake.numerics.refine.grids.bands import full_band
from cryosnake.numerics.refine.grids.grids import sphere_grid
from cryosnake.numerics.refine.grids.references import map_reference
from cryosnake.numerics.refine.grids.samples import Operands
from cryosnake.numerics.refine.search.fixed_poses import classify_at_poses, scale_terms
from cryosnake.numerics.refine.sums.insertion import empty_sums

BOX, SIZE, CLASSES, COUNT = 16, 12, 3, 5


@pytest.fixture
def case():
    rng = np.random.default_rng(4)
    band = full_band(BOX).cut(SIZE)
    volumes = rng.normal(0, 20.0, (CLASSES, BOX, BOX, BOX)).astype(np.float32)
    transforms = map_reference(volumes, SIZE, sphere_grid(0, "C1")).transforms

    def plane():
        return (rng.normal(size=(COUNT, band.kx.size)) + 1j * rng.normal(size=(COUNT, band.kx.size))).astype(
            np.complex64)

    operands = Operands(plane(), plane(), rng.uniform(0.5, 1, (COUNT, band.kx.size)).astype(np.float32),
                        np.zeros((COUNT, 2)), offset_sigma=3.0)
    poses = euler_to_matrix(*rng.uniform(-180, 180, (3, COUNT)))
    return operands, transforms, poses, rng.uniform(-0.5, 0.5, (COUNT, 2)), band


def run(case, log_prior):
    operands, transforms, poses, remainder, band = case
    sums = np.zeros((2, *empty_sums(SIZE // 2, (CLASSES,)).shape), np.float32)
    found = classify_at_poses(operands, transforms, poses, remainder, band, log_prior, sums)
    return found, sums.sum(0)


def test_weights_are_the_likelihood_times_the_prior(case):
    operands, transforms, poses, remainder, band = case
    shares = np.array([0.5, 0.3, 0.2])
    scores = np.zeros((COUNT, CLASSES))
    for k in range(CLASSES):
        real, imaginary = central_slices(transforms[k], poses, band.kx, band.ky)
        projection = real.astype(np.float64) + 1j * imaginary
        image = operands.masked * np.exp(-2j * np.pi / BOX * (remainder @ np.stack([band.kx, band.ky])))
        scores[:, k] = (2 * (image * projection.conj()).real - operands.ctf2 * np.abs(projection) ** 2).sum(1)
    scores += np.log(shares)
    expected = np.exp(scores - scores.max(1, keepdims=True))
    expected /= expected.sum(1, keepdims=True)
    found, _ = run(case, np.log(shares))
    assert np.ptp(expected) > 0.3  # not a case in which everything is equal
    np.testing.assert_allclose(found.weights, expected, atol=2e-3)  # what holds less than a thousandth is left out
    np.testing.assert_allclose(found.log_likelihood, scores.max(1) + np.log(np.exp(scores - scores.max(
        1, keepdims=True)).sum(1)), rtol=1e-4)
    # 2 cross − power, weighted, is the expected score
    np.testing.assert_allclose(2 * found.cross.sum(1) - found.power.sum(1),
                               (found.weights * (scores - np.log(shares))).sum(1), rtol=1e-3, atol=1e-2)


def test_each_class_gets_its_particles_and_a_forbidden_one_none(case):
    operands, *_ = case
    seeds = np.array([0, 0, 2, 2, 0])
    prior = np.where(seeds[:, None] == np.arange(CLASSES), 0.0, -1e5)
    found, sums = run(case, prior)
    assert np.array_equal(found.weights, (seeds[:, None] == np.arange(CLASSES)).astype(float))
    assert not sums[1].any()
    for k in (0, 2):  # trilinear weights add up to 1: what is inserted is what is there
        assert sums[k, ..., 2].sum() == pytest.approx(operands.ctf2[seeds == k].sum(), rel=1e-4)


def test_scale_of_a_map_from_its_own_projections(case):
    _, transforms, poses, remainder, band = case
    real, imaginary = central_slices(transforms[0], poses, band.kx, band.ky)
    ctf = np.random.default_rng(1).uniform(0.5, 1, real.shape).astype(np.float32)
    image = 2.5 * ctf**2 * (real + 1j * imaginary) * band.phases(-remainder)
    image = image.astype(np.complex64)
    operands = Operands(image, image, ctf**2, np.zeros((COUNT, 2)), offset_sigma=3.0)
    cross, power = scale_terms(operands, transforms[0], poses, remainder, band)
    assert cross / power == pytest.approx(2.5, rel=1e-4)


def test_a_gpu_does_the_same(case, cupy):
    operands, transforms, poses, remainder, band = case
    there = Operands(*(cupy.asarray(values) for values in (operands.masked, operands.raw, operands.ctf2)),
                     operands.offsets, offset_sigma=operands.offset_sigma)
    sums = cupy.zeros((1, *empty_sums(SIZE // 2, (CLASSES,)).shape[:-1], 4), cupy.float32)
    prior = np.log([0.5, 0.3, 0.2])
    device = classify_at_poses(there, cupy.asarray(transforms), poses, remainder, band, prior, sums)
    here, expected = run(case, prior)
    for name in ("weights", "log_likelihood", "cross", "power"):
        values = getattr(here, name)
        np.testing.assert_allclose(getattr(device, name), values, rtol=1e-3, atol=1e-4 * np.abs(values).max())
    np.testing.assert_allclose(to_numpy(sums)[0, ..., :3], expected, atol=1e-4 * np.abs(expected).max())
    scales = [scale_terms(block, maps, poses, remainder, band) for block, maps in (
        (operands, transforms[0]), (there, cupy.asarray(transforms[0])))]
    np.testing.assert_allclose(scales[1], scales[0], rtol=1e-4)
