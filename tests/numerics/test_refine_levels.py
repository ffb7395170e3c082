"""Grids over grids, and the search over them beside the one over all orientations."""

from types import SimpleNamespace

import numpy as np
import pytest

from cryosnake.numerics.ctf import Defocus, Microscope, ctf_phase
from cryosnake.numerics.euler import angular_distance
from cryosnake.numerics.projection import central_slices
from cryosnake.numerics.refine.grids.bands import full_band
from cryosnake.numerics.refine.grids.grids import shift_grid, sphere_grid
from cryosnake.numerics.refine.grids.levels import children_of, parent_grid, search_grids
from cryosnake.numerics.refine.grids.references import map_reference
from cryosnake.numerics.refine.grids.samples import Operands
from cryosnake.numerics.refine.search.expectation import coarse_slices, search_everywhere
from cryosnake.numerics.refine.search.search import global_search, search_all, search_levels, search_local

BOX, PIXEL, DIAMETER = 32, 6.0, 120.0


@pytest.mark.parametrize(("group", "order", "classes"), [("C1", 3, 2), ("D2", 3, 1), ("O", 4, 1)])
def test_every_orientation_has_one_parent_and_is_near_it(group, order, classes):
    grid = sphere_grid(order, group, 0.31, classes=classes)
    above = parent_grid(grid)
    children = children_of(grid, np.arange(above.size))
    real = children >= 0
    assert np.array_equal(np.sort(children[real]), np.arange(grid.size))
    parents = np.broadcast_to(np.arange(above.size)[:, None], children.shape)[real]
    assert np.array_equal(above.class_of(parents), grid.class_of(children[real]))
    distance = angular_distance(above.matrices(parents), grid.matrices(children[real]))
    assert distance.max() < 0.75 * above.step and distance.mean() < 0.5 * above.step


def test_grids_of_a_search_end_on_the_wanted_one():
    grid = sphere_grid(4, "C1", whole=True)
    assert [level.order for level in search_grids(grid)] == [2, 3, 4]
    assert search_grids(grid)[-1] is grid
    coarse = sphere_grid(2, "C1")
    assert search_grids(coarse) == [coarse]


@pytest.fixture(scope="module")
def particles():
    """Return 40 particles of a lumpy map, with noise, whitened, and what is needed to search them."""
    rng = np.random.default_rng(3)
    axis = np.arange(BOX) - BOX // 2
    volume = np.zeros((BOX,) * 3)
    for centre in rng.uniform(-6, 6, (12, 3)):
        z, y, x = (np.exp(-((axis - c) ** 2) / 5.0) for c in centre)
        volume += z[:, None, None] * y[:, None] * x
    band, grid = full_band(BOX), sphere_grid(3, "C1", 0.2)
    reference = map_reference(volume[None].astype(np.float32), BOX, grid)
    truth = sphere_grid(4, "C1", -0.3)
    poses = truth.matrices(rng.choice(truth.size, 40, replace=False))
    real, imaginary = central_slices(reference.transforms[0], poses, band.kx, band.ky)
    squared = (band.kx**2 + band.ky**2) / (BOX * PIXEL) ** 2
    defocus = rng.uniform(8000, 20000, (40, 1))
    phase = ctf_phase(squared, 0.0, Defocus(defocus, defocus, 0.0), Microscope(300.0, 2.7, 0.1))
    ctf = np.sin(phase).astype(np.float32)
    clean = ctf * (real + 1j * imaginary)
    sigma = np.sqrt((np.abs(clean) ** 2).mean() / 0.3)
    noise = rng.normal(size=(2, *clean.shape)) * sigma / np.sqrt(2)
    images = ((clean + noise[0] + 1j * noise[1]) / sigma * ctf / sigma).astype(np.complex64)
    operands = Operands(images, images, (ctf / sigma) ** 2, np.zeros((40, 2)), offset_sigma=3.0)
    return SimpleNamespace(operands=operands, reference=reference, poses=poses, band=band, grid=grid)


def _band_of(step):
    moved = np.pi * DIAMETER * step / 360.0
    return full_band(BOX).cut(min(2 * int(np.ceil(BOX * PIXEL / (moved / 1.2))), BOX))


def _errors(samples, grid, poses):
    """Smallest distance of each particle's samples to its pose."""
    distance = angular_distance(grid.matrices(samples.orientation), poses[samples.particle])
    best = np.full(len(poses), 180.0)
    np.minimum.at(best, samples.particle, distance)
    return best


def test_the_search_over_levels_finds_what_the_search_over_all_finds(particles):
    shifts = shift_grid(2.0, 1.0)
    prior = np.zeros(particles.grid.size, np.float32)
    band = _band_of(particles.grid.step)
    dense = search_everywhere(particles.operands, coarse_slices(particles.reference, band), shifts, prior)
    levels = search_all(particles.operands, global_search(search_levels(particles.reference, _band_of), prior), shifts)
    step = particles.grid.step
    found = [(_errors(samples, particles.grid, particles.poses) < step).sum() for samples in (dense, levels)]
    assert found[0] >= 38 and found[1] >= found[0] - 1
    pairs = [set(zip(samples.particle, samples.orientation, strict=True)) for samples in (dense, levels)]
    print(len(pairs[0] & pairs[1]), len(pairs[0]), len(pairs[1]))
    assert len(pairs[0] & pairs[1]) > 0.8 * len(pairs[0])
    order = np.lexsort((levels.shift, levels.particle, levels.orientation))
    assert np.array_equal(order, np.arange(len(levels)))


def test_local_searches_find_poses_and_never_leave_a_particle_without_sample(particles):
    shifts = shift_grid(2.0, 1.0)
    levels = search_levels(particles.reference, _band_of)
    near = search_local(particles.operands, levels, shifts, particles.poses, 7.5)
    assert (_errors(near, particles.grid, particles.poses) < particles.grid.step).sum() >= 38
    wrong = particles.poses[:, [1, 2, 0]]  # another place altogether: the prior leads away from the image's own pose
    away = search_local(particles.operands, levels, shifts, wrong, 7.5)
    assert np.array_equal(np.unique(away.particle), np.arange(len(wrong)))
    assert np.isfinite(away.log_prior).all()
    assert _errors(away, particles.grid, wrong).max() < 60.0  # as far as the coarsest level reaches, not everywhere
