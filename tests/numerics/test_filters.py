from __future__ import annotations

import numpy as np
import pytest

from cryosnake.numerics.filters import apply_filter, cosine_edge, frequency_radius, interpolate_shells, low_pass

BOX, PIXEL_SIZE = 32, 2.0


@pytest.fixture(scope="module")
def noise() -> np.ndarray:
    return np.random.default_rng(1).standard_normal((BOX, BOX, BOX)).astype(np.float32)


def test_radius_is_that_of_the_half_transform() -> None:
    radius = frequency_radius(8, np.zeros(1))
    assert radius.shape == (8, 8, 5)
    assert radius[0, 0, 0] == 0 and radius[0, 0, 4] == 4 and radius[7, 0, 0] == 1
    assert radius[2, 1, 2] == pytest.approx(3.0)


def test_low_pass_keeps_what_is_below_and_removes_what_is_above(noise: np.ndarray) -> None:
    filtered = low_pass(noise, resolution=8.0, pixel_size=PIXEL_SIZE)  # shell 8
    ratio = np.fft.rfftn(filtered) / np.fft.rfftn(noise)
    radius = frequency_radius(BOX, noise)
    assert filtered.dtype == np.float32
    assert np.allclose(ratio[radius <= 7], 1.0, atol=1e-4)
    assert np.allclose(ratio[radius >= 9], 0.0, atol=1e-4)
    assert np.allclose(ratio[radius == 8], 0.5, atol=1e-3)


def test_low_pass_at_nyquist_changes_nothing(noise: np.ndarray) -> None:
    assert low_pass(noise, 4.0, PIXEL_SIZE) is noise


def test_cosine_edge_falls_from_one_to_zero() -> None:
    edge = cosine_edge(np.linspace(0, 10, 101), 5.0, 4.0)
    assert (np.diff(edge) <= 1e-6).all()
    assert edge[0] == 1 and edge[-1] == 0 and edge[50] == pytest.approx(0.5, abs=1e-6)
    assert cosine_edge(np.array([4.9, 5.1]), 5.0, 0.0).tolist() == [1.0, 0.0]


def test_filters_need_no_particular_box() -> None:
    odd = np.random.default_rng(2).standard_normal((9, 9, 9)).astype(np.float32)
    assert np.allclose(apply_filter(odd, lambda radius: radius * 0 + 1), odd, atol=1e-5)


def test_interpolation_between_shells() -> None:
    curve = np.array([0.0, 1.0, 4.0])
    assert interpolate_shells(curve, np.array([0.0, 0.5, 1.5, 2.0, 9.0])).tolist() == [0.0, 0.5, 2.5, 4.0, 4.0]
