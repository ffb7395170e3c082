"""FSC against its definition, written out with plain loops over the full transform."""

import numpy as np
import pytest

from cryosnake.numerics.fsc import (
    friedel_weight,
    fsc,
    last_shell_above,
    last_shell_past_dips,
    resolution_at,
    shell_index,
)


def _plain(first, second):
    box, dimensions = first.shape[0], first.ndim
    a, b = np.fft.fftn(first), np.fft.fftn(second)
    grid = np.meshgrid(*[np.fft.fftfreq(box) * box] * dimensions)
    shells = np.rint(np.sqrt(sum(g**2 for g in grid))).astype(int)
    curve = []
    for shell in range(box // 2 + 1):
        inside = shells == shell
        cross = np.sum(a[inside] * b[inside].conj()).real
        curve.append(cross / np.sqrt(np.sum(abs(a[inside]) ** 2) * np.sum(abs(b[inside]) ** 2)))
    return np.array(curve)


@pytest.mark.parametrize("box", [12, 13])
@pytest.mark.parametrize("dimensions", [2, 3])
def test_fsc_is_the_definition_over_the_full_transform(box, dimensions):
    rng = np.random.default_rng(box)
    first, noise = rng.normal(size=(2, *(box,) * dimensions))
    np.testing.assert_allclose(fsc(first, first + noise), _plain(first, first + noise), atol=1e-12)


def test_opposite_contrast_is_minus_one_and_scale_does_not_matter():
    cube = np.random.default_rng(0).normal(size=(10, 10, 10))
    np.testing.assert_allclose(fsc(cube, -3.0 * cube), -1.0, atol=1e-12)


def test_a_shell_without_signal_is_zero():
    assert np.all(fsc(np.zeros((8, 8, 8)), np.ones((8, 8, 8))) == 0.0)


def test_different_shapes_are_refused():
    with pytest.raises(ValueError, match="same cubic shape"):
        fsc(np.zeros((8, 8, 8)), np.zeros((8, 8, 10)))


def test_friedel_weights_count_every_pixel_of_the_full_transform():
    for box in (8, 9):
        assert friedel_weight(box, 2).sum() * box == box * box


def test_shell_index_of_the_corner():
    assert shell_index(8)[4, 4, 4] == round(np.sqrt(3) * 4)


def test_resolution_is_that_of_the_last_good_shell():
    curve = np.array([1.0, 0.9, 0.5, 0.2, 0.1, 0.3])
    assert resolution_at(curve, 100.0) == pytest.approx(100.0 / 3)
    assert resolution_at(np.ones(6), 100.0) == pytest.approx(20.0)


def test_a_zero_of_the_ctf_is_a_dip_and_noise_beyond_the_resolution_is_not():
    falling = 1 / (1 + np.exp((np.arange(33) - 24.5) / 2))  # 0.5 between shells 24 and 25
    dipped = falling.copy()
    dipped[[12, 13, 14, 20]] = 0.45, 0.2, 0.4, 0.3
    assert last_shell_above(dipped, 0.5) == 11
    assert last_shell_past_dips(dipped, 0.5) == last_shell_past_dips(falling, 0.5) == 24
    dipped[11] = 0.45  # four shells are no dip
    assert last_shell_past_dips(dipped, 0.5) == 10
    noisy = falling.copy()
    noisy[[27, 28, 32]] = 0.7  # two shells, and one at the end
    assert last_shell_past_dips(noisy, 0.5) == 24
    assert last_shell_past_dips(np.ones(33), 0.5) == 32
    assert last_shell_past_dips(np.zeros(33), 0.5) == 0
