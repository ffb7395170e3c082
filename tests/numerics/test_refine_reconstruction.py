"""Insertion, symmetry and division: the transpose of slicing, exact symmetry, and the map back from its slices."""

import numba as nb
import numpy as np
import pytest

from cryosnake.numerics.euler import euler_to_matrix
from cryosnake.numerics.fsc import fsc
from cryosnake.numerics.projection import band_limited_transform, central_slices
from cryosnake.numerics.refine.grids.bands import full_band
from cryosnake.numerics.refine.kernels.shared_insertion import insert_shared
from cryosnake.numerics.refine.sums.insertion import complete_plane, empty_sums, insert_slices, symmetrise
from cryosnake.numerics.refine.sums.maximisation import finish_sums, regularised_map, ssnr_from_fsc
from cryosnake.numerics.refine.sums.reconstruction import coarse_sums, fsc_of_sums, mean_weight
from cryosnake.numerics.symmetry import operators

BOX = 24


def _matrices(count, seed=0):
    rng = np.random.default_rng(seed)
    return euler_to_matrix(rng.uniform(-180, 180, count), np.degrees(np.arccos(rng.uniform(-1, 1, count))),
                           rng.uniform(-180, 180, count))


def _blobs(seed=1):
    rng = np.random.default_rng(seed)
    axis = np.arange(BOX) - BOX // 2
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    return sum(np.exp(-((x - c[0]) ** 2 + (y - c[1]) ** 2 + (z - c[2]) ** 2) / 4.0)
               for c in rng.normal(0, 3, (12, 3))).astype(np.float32)


def _sums(volume, matrices, noise=0.0, seed=0):
    band = full_band(BOX)
    real, imaginary = central_slices(band_limited_transform(volume, BOX // 2) / BOX**2, matrices, band.kx, band.ky)
    rng = np.random.default_rng(seed)
    real, imaginary = (part + noise * rng.normal(size=part.shape).astype(np.float32) for part in (real, imaginary))
    sums = np.zeros((1, *empty_sums(BOX // 2).shape), np.float32)
    insert_slices(sums, matrices, band.kx, band.ky, (real, imaginary), np.ones_like(real))
    return sums


def test_insertion_is_the_transpose_of_slicing():
    rng = np.random.default_rng(4)
    band = full_band(BOX).cut(16)
    shape = empty_sums(8).shape[:-1]
    volume = (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(np.complex64)
    volume[..., 0] = 0  # with its Friedel mates this plane counts twice
    matrices = _matrices(7)
    real, imaginary = central_slices(volume, matrices, band.kx, band.ky)
    slices = rng.normal(size=(2, *real.shape)).astype(np.float32)
    sums = np.zeros((1, *shape, 3), np.float32)
    insert_slices(sums, matrices, band.kx, band.ky, slices, np.ones_like(real))
    forward = (real * slices[0] + imaginary * slices[1]).sum()
    backward = (volume.real * sums[0, ..., 0] + volume.imag * sums[0, ..., 1]).sum()
    assert forward == pytest.approx(backward, rel=1e-3)
    weight = sums[0, ..., 2].sum()
    assert weight == pytest.approx(real.size, rel=1e-4)


def test_threads_that_share_a_volume_make_the_sums_of_one_alone():
    rng = np.random.default_rng(5)
    band = full_band(BOX)
    matrices, (*slices, weight) = _matrices(150), rng.normal(size=(3, 150, band.kx.size)).astype(np.float32)
    alone, shared = empty_sums(BOX // 2), []
    before = nb.get_num_threads()
    nb.set_num_threads(1)
    insert_slices(alone[None], matrices, band.kx, band.ky, slices, weight)
    for threads in range(1, nb.config.NUMBA_NUM_THREADS + 1):
        nb.set_num_threads(threads)
        shared.append(empty_sums(BOX // 2))
        insert_shared(shared[-1], matrices, band.kx, band.ky, *slices, weight)
    nb.set_num_threads(before)
    np.testing.assert_allclose(shared[0], alone, atol=1e-5 * np.abs(alone).max())
    assert all(np.array_equal(volume, shared[0]) for volume in shared)  # whatever the number of threads


def test_the_map_comes_back_from_its_slices_on_its_own_scale():
    volume = _blobs()
    total = finish_sums(_sums(volume, _matrices(2000)), operators("C1"))
    result = regularised_map(total, BOX // 2, BOX, None)
    assert (result * volume).sum() / (volume**2).sum() == pytest.approx(1.0, abs=0.01)
    assert fsc(result, volume)[:9].min() > 0.99  # beyond it the blobs have no signal to speak of


def test_regularisation_is_a_wiener_filter_by_shell():
    volume = _blobs()
    total = finish_sums(_sums(volume, _matrices(2000)), operators("C1"))
    plain = regularised_map(total, BOX // 2, BOX, None)
    filtered = regularised_map(total, BOX // 2, BOX, np.full(BOX // 2 + 1, 1.0))
    # SSNR 1 halves every shell but the first five, which are left alone
    ratio = np.abs(np.fft.rfftn(filtered))[0, 0, 7:11].sum() / np.abs(np.fft.rfftn(plain))[0, 0, 7:11].sum()
    assert ratio == pytest.approx(0.5, abs=0.1)
    low = np.abs(np.fft.rfftn(filtered))[0, 0, 1:4].sum() / np.abs(np.fft.rfftn(plain))[0, 0, 1:4].sum()
    assert low == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("group", ["D2", "C4", "O"])
def test_symmetry_of_the_axes_is_exact(group):
    matrices = _matrices(6)
    sums = _sums(_blobs(), matrices)
    result = finish_sums(sums, operators(group))
    mates = np.concatenate([matrices @ operator for operator in operators(group)])
    band = full_band(BOX)
    real, imaginary = central_slices(band_limited_transform(_blobs(), BOX // 2) / BOX**2, matrices, band.kx, band.ky)
    direct = np.zeros_like(sums)
    times = len(operators(group))
    insert_slices(direct, mates, band.kx, band.ky, (np.tile(real, (times, 1)), np.tile(imaginary, (times, 1))),
                  np.ones((len(mates), band.kx.size), np.float32))
    complete_plane(direct[0])
    inner = (slice(2, -2), slice(2, -2), slice(0, -2))
    scale = np.abs(direct[0][inner]).max()
    np.testing.assert_allclose(result[inner], direct[0][inner], atol=2e-3 * scale)


def test_symmetry_off_the_axes_keeps_the_total_weight():
    sums = _sums(_blobs(), _matrices(200))[0]
    complete_plane(sums)
    radius = np.arange(2, 6)
    before, after = mean_weight(sums, 12)[radius], mean_weight(symmetrise(sums, operators("C3")), 12)[radius]
    np.testing.assert_allclose(after, 3 * before, rtol=0.02)


def test_fsc_of_sums_tells_signal_from_noise():
    volume = _blobs()
    halves = [finish_sums(_sums(volume, _matrices(300, half), 0.05, half), operators("C1")) for half in (1, 2)]
    curve = fsc_of_sums(*halves, 12, 13)
    maps = [regularised_map(half, 12, BOX, None) for half in halves]
    # Every second voxel and half of its neighbours: a cosine window in real space, half as high at the box's edge.
    window = 0.5 + 0.5 * np.cos(np.pi * (np.arange(BOX) - BOX // 2) / BOX)
    windowed = [volume * window[:, None, None] * window[:, None] * window for volume in maps]
    np.testing.assert_allclose(curve[1:11], fsc(*windowed)[1:11], atol=0.12)
    noise = [finish_sums(_sums(0 * volume, _matrices(300, half), 1.0, half), operators("C1")) for half in (3, 4)]
    assert np.abs(fsc_of_sums(*noise, 12, 13)[4:]).max() < 0.25


def test_coarse_sums_are_hermitian_and_keep_the_weight():
    sums = _sums(_blobs(), _matrices(50))[0]
    complete_plane(sums)
    coarse = coarse_sums(sums)
    plane = coarse[..., 0, :]
    flipped = plane[::-1, ::-1] * [1, -1, 1]
    np.testing.assert_allclose(plane, flipped, atol=1e-4)


def test_ssnr_of_fsc():
    np.testing.assert_allclose(ssnr_from_fsc(np.array([1.0, 0.5, 0.0])), [999.0, 1.0, 1e-3 / 0.999])
    assert ssnr_from_fsc(np.array([0.5]), both_halves=True)[0] == 2.0
