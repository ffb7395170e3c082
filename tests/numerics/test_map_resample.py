"""Maps and masks at another box and pixel size, against functions that are known everywhere."""

from __future__ import annotations

import numpy as np
import pytest

from cryosnake.numerics.map_resample import crop_or_pad, refit_map, refit_mask, resample_map


def gaussian(box, pixel_size, width=15.0):
    """Three different, off-centre profiles in Å."""
    axis = (np.arange(box) - box // 2) * pixel_size
    x, y, z = (np.exp(-0.5 * ((axis - centre) / width) ** 2) for centre in (5.0, -9.0, 0.0))
    return np.einsum("i,j,k->kji", x, y, z).astype(np.float32)


@pytest.mark.parametrize(("old", "new"), [
    ((48, 3.54), (120, 1.416)), ((120, 1.416), (48, 3.54)),  # the same extent
    ((40, 4.0), (90, 2.5)), ((90, 2.5), (40, 4.0)),  # padded, cropped
    ((47, 4.0), (100, 1.7)), ((100, 1.7), (53, 3.37)),  # odd boxes, any ratio
    ((48, 4.0), (64, 4.0)), ((64, 4.0), (48, 4.0)), ((48, 4.0), (47, 4.0))])
def test_a_map_keeps_place_and_density(old, new):
    np.testing.assert_allclose(refit_map(gaussian(*old), old[1], new[0], new[1]), gaussian(*new), atol=3e-3)


def test_the_same_extent_is_a_crop_of_the_transform():
    """Noise, of which nothing may be lost or bent below the smaller Nyquist frequency."""
    volume = np.random.default_rng(1).standard_normal((24, 24, 24)).astype(np.float32)
    there = resample_map(volume, 36)
    expected, found = np.fft.rfftn(np.fft.ifftshift(volume)), np.fft.rfftn(np.fft.ifftshift(there))
    inner = np.r_[0:12, -11:0]
    np.testing.assert_allclose(found[np.ix_(inner, inner, range(12))] * (24 / 36) ** 3,
                               expected[np.ix_(inner, inner, range(12))], atol=2e-3)
    assert np.abs(found[np.ix_(inner, inner, range(12, 19))]).max() < 2e-2
    np.testing.assert_allclose(resample_map(resample_map(there, 24), 36), there, atol=1e-4)


@pytest.mark.parametrize(("box", "pixel_size"), [(90, 1.7), (30, 5.1)])
def test_a_mask_neither_rings_nor_overshoots(box, pixel_size):
    def ball(box, pixel_size, radius):
        axis = ((np.arange(box) - box // 2) * pixel_size) ** 2
        return (axis[:, None, None] + axis[:, None] + axis) < radius**2

    mask = refit_mask(ball(48, 3.0, 50.0).astype(np.float32), 3.0, box, pixel_size)
    assert mask.min() == 0 and mask.max() == pytest.approx(1.0, abs=1e-6)
    edge = np.sqrt(3) * (3.0 + pixel_size)
    np.testing.assert_allclose(mask[ball(box, pixel_size, 50.0 - edge)], 1.0, atol=1e-6)
    assert not mask[~ball(box, pixel_size, 50.0 + edge)].any()


@pytest.mark.parametrize("old", [7, 8])
@pytest.mark.parametrize("new", [5, 6, 7, 8, 9, 10])
def test_cropping_and_padding_keep_the_origin(old, new):
    volume = np.zeros((old,) * 3)
    volume[(old // 2,) * 3] = 1
    found = crop_or_pad(volume, new)
    assert found.shape == (new,) * 3 and found[(new // 2,) * 3] == found.sum() == 1
