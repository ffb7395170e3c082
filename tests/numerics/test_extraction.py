"""Extraction: boxes, rescaling and normalisation against their definitions."""

from __future__ import annotations

import numpy as np
import pytest

from cryosnake.numerics.euler import euler_to_matrix
from cryosnake.numerics.extraction.boxes import cut_boxes, outside, rescale
from cryosnake.numerics.extraction.normalise import DustLimits, background, default_background_radius, normalise
from cryosnake.numerics.extraction.recentre import recentred


def test_boxes_lie_on_the_truncated_coordinate_and_repeat_the_edge() -> None:
    micrograph = np.arange(60.0 * 50).reshape(60, 50).astype(np.float32)
    boxes = cut_boxes(micrograph, np.array([[20.9, 30.2], [2.0, 58.0]]), 16)
    np.testing.assert_array_equal(boxes[0], micrograph[22:38, 12:28])
    np.testing.assert_array_equal(boxes[1], np.pad(micrograph, 16, mode="edge")[66:82, 10:26])
    assert boxes.dtype == np.float32


def test_outside_means_not_one_pixel_inside() -> None:
    positions = np.array([[-7.0, 20.0], [-8.0, 20.0], [57.0, 20.0], [58.0, 20.0], [20.0, 67.0], [20.0, 68.0]])
    assert outside(positions, 16, (60, 50)).tolist() == [False, True, False, True, False, True]


@pytest.mark.parametrize(("box", "size"), [(48, 24), (48, 36), (32, 48)])
def test_rescaling_samples_the_same_function(box: int, size: int) -> None:
    """A band-limited, periodic function, known between pixels; its centre goes from box // 2 to size // 2."""
    def wave(n: int) -> np.ndarray:
        y, x = (np.mgrid[:n, :n] - n // 2) / n
        waves = np.cos(2 * np.pi * (3 * x + 5 * y)) + 0.5 * np.sin(2 * np.pi * (7 * x - 2 * y))
        return (2.0 + waves).astype(np.float32)

    np.testing.assert_allclose(rescale(wave(box)[None], size)[0], wave(size), atol=1e-5)


def test_background_has_mean_0_and_deviation_1_without_a_ramp() -> None:
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:64, :64]
    images = 7000.0 + 3.0 * x - 2.0 * y + 25.0 * rng.standard_normal((5, 64, 64))
    images[:, 24:40, 24:40] += 100.0
    pixels = background(64, 24)
    result = normalise(images.astype(np.float32), pixels, DustLimits(), rng)
    np.testing.assert_allclose(result[:, pixels].mean(1), 0.0, atol=1e-4)
    np.testing.assert_allclose(result[:, pixels].std(1), 1.0, atol=1e-4)
    assert abs(np.polyfit(x[pixels], result[0][pixels], 1)[0]) < 1e-4
    assert result[:, 24:40, 24:40].mean() == pytest.approx(4.0, abs=0.2)  # 100 / 25; the mean of 1280 pixels


def test_dust_is_replaced_and_nothing_else_is() -> None:
    rng = np.random.default_rng(2)
    images = rng.standard_normal((3, 64, 64)).astype(np.float32)
    images[:, 5, 7], images[:, 50, 9], images[:, 32, 32] = 40.0, -40.0, 30.0
    pixels = background(64, 24)
    both = normalise(images, pixels, DustLimits(5.0, 5.0), np.random.default_rng(3))
    assert np.abs(both).max() < 6.0
    white = normalise(images, pixels, DustLimits(white=5.0), np.random.default_rng(3))
    assert white.min() < -20.0
    assert white.max() < 6.0
    untouched = np.abs(images) < 4.5
    # not 1, since the ramp is fitted to another noise in three background pixels of each image
    assert np.corrcoef(both[untouched], images[untouched])[0, 1] > 0.999
    again = normalise(images, pixels, DustLimits(5.0, 5.0), np.random.default_rng(3))
    np.testing.assert_array_equal(both, again)


def test_a_constant_image_stays_finite() -> None:
    flat = np.full((1, 32, 32), 5.0, np.float32)
    result = normalise(flat, background(32, 12), DustLimits(), np.random.default_rng(0))
    np.testing.assert_allclose(result, 0.0, atol=1e-5)


def test_background_of_a_full_circle_is_refused() -> None:
    assert default_background_radius(256, 64) == 24
    assert default_background_radius(100, 100) == 37
    with pytest.raises(ValueError, match="no background"):
        background(32, 40)


def test_recentring_moves_by_whole_pixels_and_keeps_the_place() -> None:
    rng = np.random.default_rng(4)
    positions, origins = rng.uniform(50, 90, (20, 2)), rng.uniform(-9, 9, (20, 2))
    moved, left = recentred(positions, origins, 1.5)
    np.testing.assert_allclose(moved - left / 1.5, positions - origins / 1.5)
    np.testing.assert_allclose(moved - positions, np.rint(moved - positions), atol=1e-9)
    assert np.abs(left).max() <= 0.75


def test_recentring_on_a_point_of_the_reference() -> None:
    angles = np.array([[10.0, 20.0, 30.0], [0.0, 0.0, 90.0]])
    point = np.array([9.0, 3.0, 6.0])
    moved, left = recentred(np.full((2, 2), 100.0), np.zeros((2, 2)), 1.5, point, angles)
    seen = (euler_to_matrix(*angles.T) @ point)[:, :2]
    np.testing.assert_allclose(moved - left / 1.5, 100.0 + seen / 1.5)
