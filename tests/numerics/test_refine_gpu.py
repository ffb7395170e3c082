"""The CUDA kernels against the numba ones, on random data.

On a GPU (`-m gpu`), and everywhere by emulation: the same sources compiled for the CPU, see tests/emulation.
"""

from __future__ import annotations

import itertools

import numba as nb
import numpy as np
import pytest

from cryosnake.numerics import symmetry
from cryosnake.numerics.backend import to_numpy
from cryosnake.numerics.ctf import Microscope
from cryosnake.numerics.euler import euler_to_matrix
from cryosnake.numerics.projection import band_limited_transform, central_slices
from cryosnake.numerics.refine.grids.bands import full_band
from cryosnake.numerics.refine.grids.grids import PlaneGrid, sphere_grid
from cryosnake.numerics.refine.grids.images import ctf_at, fourier_pixels, shell_power, shift_images
from cryosnake.numerics.refine.grids.levels import children_of, parent_grid
from cryosnake.numerics.refine.grids.references import ClassReferences, MapReference, class_references
from cryosnake.numerics.refine.kernels import scores as kernels
from cryosnake.numerics.refine.kernels import selection
from cryosnake.numerics.refine.kernels.cuda import kernels as cuda
from cryosnake.numerics.refine.search.search import parent_prior
from cryosnake.numerics.refine.sums.insertion import insert_slices, symmetrise

BAND = full_band(24).cut(22)


def _floats(rng, *shape):
    return rng.normal(size=shape).astype(np.float32)


def _close(there, here, relative=2e-5):
    """Compare with an error relative to the largest value: float32 sums in another order."""
    np.testing.assert_allclose(to_numpy(there), here, rtol=0, atol=relative * np.abs(here).max())


def _samples(rng, orientations, particles, shifts, count):
    keys = np.sort(rng.choice(orientations * particles * shifts, count, replace=False))
    orientation, rest = np.divmod(keys, particles * shifts)
    particle, shift = np.divmod(rest, shifts)
    return np.searchsorted(orientation, np.arange(orientations + 1)), particle, shift


@pytest.mark.parametrize("orientations", [40, 1500])
def test_selection(cupy, orientations):
    rng = np.random.default_rng(8)
    cross, norm = _floats(rng, 3, 5, orientations) * 4, _floats(rng, 3, orientations)
    prior = _floats(rng, 3, 5)
    results = []
    for module, xp in ((selection, np), (cuda, cupy)):
        given = [xp.asarray(values) for values in (cross, norm, prior)]
        cuts, counts = xp.zeros(3, xp.float32), xp.zeros(3, xp.int64)
        module.find_cuts(*given, 0.999, cuts, counts)
        offsets = np.concatenate([[0], np.cumsum(to_numpy(counts))])
        orientation, shift = xp.full(int(offsets[-1]), -1), xp.full(int(offsets[-1]), -1)
        module.gather_samples(*given, cuts, xp.asarray(offsets), orientation, shift)
        keys = to_numpy(shift) * orientations + to_numpy(orientation)
        found = [sorted(keys[begin:end]) for begin, end in itertools.pairwise(offsets)]
        results.append((to_numpy(cuts), to_numpy(counts), found))
    np.testing.assert_allclose(results[1][0], results[0][0], atol=1e-4)
    np.testing.assert_array_equal(results[1][1], results[0][1])
    assert results[1][2] == results[0][2]


@pytest.mark.parametrize(("children", "sub"), [(8, 4), (2, 4), (1, 1), (8, 1)])
def test_score(cupy, children, sub):
    rng = np.random.default_rng(3)
    n, orientations, pixels = 4, 5, BAND.kx.size
    starts, particle, shift = _samples(rng, orientations, n, 3, 30)
    arrays = [_floats(rng, orientations * children, pixels), _floats(rng, orientations * children, pixels), starts,
              particle, shift, _floats(rng, n, pixels), _floats(rng, n, pixels), _floats(rng, n, pixels) ** 2,
              _floats(rng, 3 * sub, pixels), _floats(rng, 3 * sub, pixels),
              rng.permutation(3 * sub).reshape(3, sub)]
    here, there = np.empty((30, children, sub), np.float32), cupy.zeros((30, children, sub), cupy.float32)
    kernels.score(*arrays, here)
    cuda.score(*(cupy.asarray(array) for array in arrays), there)
    _close(there, here)


def test_score_of_pairs_at_all_shifts(cupy, monkeypatch):
    monkeypatch.setattr("cryosnake.numerics.refine.kernels.cuda.pairs._VALUES_AT_ONCE", 14 * BAND.kx.size)  # 7 pairs
    rng = np.random.default_rng(13)
    n, orientations, shifts, pixels = 4, 6, 9, BAND.kx.size
    starts, particle, shift = _samples(rng, orientations, n, 1, 20)
    arrays = [_floats(rng, orientations, pixels), _floats(rng, orientations, pixels), starts, particle, shift,
              _floats(rng, n, pixels), _floats(rng, n, pixels), _floats(rng, n, pixels) ** 2,
              _floats(rng, shifts, pixels), _floats(rng, shifts, pixels), np.arange(shifts)[None, :]]
    here, there = np.empty((20, 1, shifts), np.float32), cupy.zeros((20, 1, shifts), cupy.float32)
    kernels.score(*arrays, here)
    cuda.score(*(cupy.asarray(array) for array in arrays), there)
    _close(there, here)


@pytest.mark.parametrize("fraction", [0.999, 1.0])
def test_normalise(cupy, fraction):
    rng = np.random.default_rng(9)
    particle = rng.integers(0, 5, 200)
    particle[particle == 3] = 2  # one without samples
    order = np.argsort(particle, kind="stable")
    starts = np.searchsorted(particle[order], np.arange(6))
    values = _floats(rng, 200, 2, 4) * 3
    results = []
    for module, xp in ((selection, np), (cuda, cupy)):
        out = [xp.zeros(5, xp.int64), xp.zeros(5), xp.zeros(5, xp.int64), xp.zeros(5)]
        mine = xp.asarray(values.copy())
        sampled = xp.full(mine.shape, 7.0, xp.float32)
        module.normalise(mine, xp.asarray(order), xp.asarray(starts), fraction, 1000, np.arange(5), sampled, *out)
        results.append([to_numpy(result) for result in (mine, sampled, *out)])
    for there, here in zip(results[1], results[0], strict=True):
        np.testing.assert_allclose(there, here, rtol=1e-5, atol=1e-7)


def test_accumulate(cupy):
    rng = np.random.default_rng(5)
    n, orientations, children, pixels = 4, 6, 8, BAND.kx.size
    starts, particle, shift = _samples(rng, orientations - 1, n, 3, 50)
    starts = np.append(starts, 50)  # the last orientation has no samples
    weights = rng.random((50, children, 4)).astype(np.float32)
    weights[rng.random(weights.shape) < 0.7] = 0.0
    sampled = np.where(rng.random(weights.shape) < 0.5, weights, 0.0).astype(np.float32)
    shell_starts = np.append(BAND.shell_starts(), pixels)
    arrays = [_floats(rng, orientations * children, pixels), _floats(rng, orientations * children, pixels), starts,
              particle, shift, weights, sampled, *(_floats(rng, n, pixels) for _ in range(4)),
              _floats(rng, n, pixels) ** 2, _floats(rng, 12, pixels), _floats(rng, 12, pixels),
              np.arange(12).reshape(3, 4), shell_starts]
    results = []
    for module, xp, threads in ((kernels, np, nb.get_num_threads()), (cuda, cupy, 1)):
        data = [xp.full((orientations * children, pixels), 7.0, xp.float32) for _ in range(3)]
        noise = [xp.zeros((threads, n, len(shell_starts) - 1), xp.float32) for _ in range(2)]
        module.accumulate(*(xp.asarray(array) for array in arrays), *data, *noise)
        results.append([to_numpy(result) for result in (*data, *(part.sum(0) for part in noise))])
    filled = (results[0][2] != 7.0).any(1)  # rows without weight may be left as they were
    assert 0 < filled.sum() < len(filled)
    for there, here in zip(results[1][:3], results[0][:3], strict=True):
        _close(there[filled], here[filled])
    for there, here in zip(results[1][3:], results[0][3:], strict=True):
        _close(there, here)


def _matrices(rng, n):
    return euler_to_matrix(rng.uniform(-180, 180, n), rng.uniform(0, 180, n), rng.uniform(-180, 180, n))


def test_slices_and_their_insertion(cupy):
    rng = np.random.default_rng(2)
    volume, matrices = _floats(rng, 24, 24, 24), _matrices(rng, 9)
    here = band_limited_transform(volume, 11)
    _close(band_limited_transform(cupy.asarray(volume), 11), here)
    slices = central_slices(here, matrices, BAND.kx, BAND.ky)
    there = central_slices(cupy.asarray(here), matrices, *(cupy.asarray(k) for k in (BAND.kx, BAND.ky)))
    for part, expected in zip(there, slices, strict=True):
        _close(part, expected)
    weight = rng.random(slices[0].shape).astype(np.float32)
    sums, on_gpu = np.zeros((1, *here.shape, 3), np.float32), cupy.zeros((1, *here.shape, 4), cupy.float32)
    insert_slices(sums, matrices, BAND.kx, BAND.ky, slices, weight)
    insert_slices(on_gpu, matrices, BAND.kx, BAND.ky, there, cupy.asarray(weight))
    _close(on_gpu[..., :3], sums)
    assert not to_numpy(on_gpu)[..., 3].any()


def test_lines_and_their_insertion(cupy):
    rng = np.random.default_rng(4)
    grid, averages = PlaneGrid(3, 10, 0.3), _floats(rng, 3, 24, 24)
    here, there = class_references(averages, 22, grid), class_references(cupy.asarray(averages), 22, grid)
    _close(there.transforms, here.transforms)
    numbers = np.array([0, 3, 11, 12, 29])
    for method in ("coarse", "fine"):
        slices = getattr(here, method)(numbers, BAND)
        on_gpu = getattr(ClassReferences(cupy.asarray(here.transforms), grid), method)(numbers, BAND)
        for part, expected in zip(on_gpu, slices, strict=True):
            _close(part, expected)
    weight, rows = rng.random(slices[0].shape).astype(np.float32), np.array([0, 1, 4, 7, 9])
    sums = np.zeros((1, *here.transforms.shape, 3), np.float32)
    here.insert(sums, numbers, rows, slices, weight, BAND)
    gpu_sums = cupy.zeros((1, *here.transforms.shape, 4), cupy.float32)
    there.insert(gpu_sums, cupy.asarray(numbers), cupy.asarray(rows), on_gpu, cupy.asarray(weight), BAND)
    _close(gpu_sums[..., :3], sums)


def test_slices_and_insertion_of_several_maps(cupy):
    rng = np.random.default_rng(12)
    grid = sphere_grid(0, "C1", 0.2, classes=2)
    here = MapReference(np.stack([band_limited_transform(_floats(rng, 24, 24, 24), 11) for _ in range(2)]), grid)
    there, numbers = MapReference(cupy.asarray(here.transforms), grid), np.array([3, 40, 100, 140])
    slices, on_gpu = here.fine(numbers, BAND), there.fine(numbers, BAND)
    for part, expected in zip(on_gpu, slices, strict=True):
        _close(part, expected, 1e-4)  # float64 angles differ in their last digits, a voxel's edge is hit now and then
    weight, rows = rng.random(slices[0].shape).astype(np.float32), np.arange(0, 32, 3)
    sums = np.zeros((1, *here.transforms.shape, 3), np.float32)
    here.insert(sums, numbers, rows, slices, weight, BAND)
    gpu_sums = cupy.zeros((1, *here.transforms.shape, 4), cupy.float32)
    there.insert(gpu_sums, cupy.asarray(numbers), cupy.asarray(rows), on_gpu, cupy.asarray(weight), BAND)
    _close(gpu_sums[..., :3], sums, 1e-4)


def test_symmetrise(cupy):
    sums = _floats(np.random.default_rng(6), 13, 13, 7, 3)
    operators = symmetry.operators("O")
    _close(symmetrise(cupy.asarray(sums), operators), symmetrise(sums, operators))


def test_preparation_of_images(cupy):
    rng = np.random.default_rng(7)
    band, images, shifts = full_band(24), _floats(rng, 5, 24, 24), rng.integers(-6, 6, (5, 2))
    moved = shift_images(images, shifts)
    np.testing.assert_array_equal(to_numpy(shift_images(cupy.asarray(images), shifts)), moved)
    pixels = fourier_pixels(moved, band)
    _close(fourier_pixels(cupy.asarray(moved), band), pixels)
    _close(shell_power(cupy.asarray(pixels), band), shell_power(pixels, band), 1e-12)
    _close(band.phases(shifts * 0.3, cupy.asarray(images)), band.phases(shifts * 0.3))
    defocus = {"u": rng.uniform(8e3, 2e4, 5), "v": rng.uniform(8e3, 2e4, 5), "angle": rng.uniform(0, 180, 5),
               "phase_shift": np.zeros(5), "b_factor": np.full(5, 20.0), "scale": np.ones(5)}
    for intact in (False, True):
        here, there = (ctf_at(band, defocus, 3.5, Microscope(300.0, 2.7, 0.1), intact_first_peak=intact,
                              like=like) for like in (None, cupy.asarray(images)))
        _close(there, here, 1e-4)


def test_orientations(cupy):
    grid = sphere_grid(2, "D2", 0.37)
    numbers = np.random.default_rng(1).choice(grid.size, 60)
    for method in ("matrices", "child_matrices"):
        _close(getattr(grid, method)(cupy.asarray(numbers)), getattr(grid, method)(numbers), 1e-12)
    poses = _matrices(np.random.default_rng(2), 60)
    prior = grid.log_prior(cupy.asarray(poses), cupy.arange(len(poses)), cupy.asarray(numbers), 20.0, 5.0)
    _close(prior, grid.log_prior(poses, np.arange(len(poses)), numbers, 20.0, 5.0))


def test_levels_of_grids(cupy):
    grid = parent_grid(sphere_grid(3, "D2", 0.37, classes=2))
    parents = np.random.default_rng(1).choice(parent_grid(grid).size, 60)
    np.testing.assert_array_equal(to_numpy(children_of(grid, cupy.asarray(parents))), children_of(grid, parents))
    prior = np.random.default_rng(2).normal(size=grid.size).astype(np.float32)
    _close(parent_prior(grid, cupy.asarray(prior)), parent_prior(grid, prior), 1e-6)
