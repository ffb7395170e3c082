"""The spread of views and the FSC by direction."""

from __future__ import annotations

import numpy as np
import pytest

from cryosnake.numerics.views.directional_fsc import HALF_ANGLE, axes, directional_fsc
from cryosnake.numerics.views.relief import deepened, preferred_axis, scaled_tilts
from cryosnake.numerics.views.spread import UNEVEN, view_spread


def views(n: int, *, preferred: float = 0.0, within: float = 20.0) -> np.ndarray:
    """Return directions (n, 3) of which a part lie within an angle, degrees, of z."""
    rng = np.random.default_rng(7)
    z = np.where(rng.uniform(size=n) < preferred, rng.uniform(np.cos(np.radians(within)), 1.0, n),
                 rng.uniform(-1.0, 1.0, n))
    angle, radius = rng.uniform(0.0, 2 * np.pi, n), np.sqrt(1.0 - z**2)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), z], 1)


@pytest.mark.parametrize(("given", "evenness", "half"), [
    (views(20_000), 1.0, 0.475), (views(1000, preferred=0.9), 0.16, 0.035), (views(1000, preferred=1.0), 0.004, 0.03),
    (views(1000, preferred=0.5), 0.63, 0.09)])
def test_evenness_of_views(given, evenness, half) -> None:
    found = view_spread(given)
    assert found.evenness == pytest.approx(evenness, abs=0.05) and found.half == pytest.approx(half, abs=0.02)
    assert ("WARNING" in found.describe()) == (found.evenness < UNEVEN)


def test_side_views_about_one_axis_are_as_published() -> None:
    angle = np.linspace(0.0, 2 * np.pi, 1000)
    assert view_spread(np.stack([np.cos(angle), np.sin(angle), 0 * angle], 1)).evenness == pytest.approx(0.81, abs=0.03)


def test_evenness_has_no_preferred_axis() -> None:
    turned = views(1000, preferred=0.9) @ np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    assert view_spread(turned).evenness == pytest.approx(view_spread(views(1000, preferred=0.9)).evenness, rel=0.1)


def test_a_direction_without_signal_is_seen_there_alone() -> None:
    rng, box = np.random.default_rng(3), 48
    signal = rng.normal(size=(box, box, box))
    spectrum = np.fft.rfftn(signal)
    k = np.stack(np.meshgrid(*[np.fft.fftfreq(box)] * 2, np.fft.rfftfreq(box), indexing="ij"))  # z, y, x
    axis = axes()[5]  # x, y, z
    missing = np.abs(np.tensordot(axis[::-1], k, 1)) > np.cos(np.radians(HALF_ANGLE)) * np.sqrt((k**2).sum(0))
    signal = np.fft.irfftn(np.where(missing, 0.0, spectrum), s=signal.shape, axes=(0, 1, 2))
    halves = [signal + 0.3 * rng.normal(size=signal.shape) for _ in range(2)]
    curves = directional_fsc(*halves, 20)
    assert curves.shape == (24, 21)
    means = curves[:, 8:].mean(1)
    assert means.argmin() == 5 and abs(means[5]) < 0.1
    assert means[np.abs(axes() @ axis) < np.cos(np.radians(2 * HALF_ANGLE))].min() > 0.85


def test_most_views_about_one_axis() -> None:
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    axis = preferred_axis(views(1000, preferred=0.9) @ turn)
    assert axis is not None and abs(axis @ turn[2]) > np.cos(np.radians(3.0))
    assert preferred_axis(views(1000)) is None
    mates = views(1000, preferred=0.9)
    assert preferred_axis(np.concatenate([mates, mates[:, [1, 2, 0]]])) is None  # symmetry mates about another axis


@pytest.mark.parametrize("factor", [0.8, 1.25])
def test_a_deeper_map_looks_the_same_at_smaller_tilts(factor) -> None:
    """Projections of a map of blobs about an axis, at small tilts, against those of the deeper map at scaled ones."""
    rng, box, axis = np.random.default_rng(2), 32, np.array([0.6, 0.0, 0.8])
    across = np.stack([np.array([0.8, 0.0, -0.6]), np.array([0.0, 1.0, 0.0])])
    tilts = rng.uniform(-0.06, 0.06, (6, 2))
    view = axis + tilts @ across
    view /= np.linalg.norm(view, axis=1, keepdims=True)
    x = np.cross([0.0, 1.0, 0.0], view)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    poses = np.stack([x, np.cross(view, x), view], 1)
    scaled = scaled_tilts(poses, axis, factor)
    np.testing.assert_allclose(scaled[:, 2] @ across.T / (scaled[:, 2] @ axis)[:, None], factor * tilts, atol=1e-12)
    np.testing.assert_allclose(scaled_tilts(scaled, axis, 1 / factor), poses, atol=1e-12)
    blobs = rng.uniform(-6.0, 6.0, (3, 3))
    centres = np.stack([centre_of(deepened(blob(box, centre), axis, 1 / factor)) for centre in blobs])
    seen, expected = poses[:, :2] @ blobs.T, scaled[:, :2] @ centres.T
    assert np.abs(expected - seen).max() < 0.25 * np.abs(poses[:, :2] @ centres.T - seen).max()


def blob(box: int, centre: np.ndarray) -> np.ndarray:
    """Return a Gaussian (box, box, box) at x, y, z from the centre of the box."""
    z, y, x = np.indices((box,) * 3) - box // 2
    return np.exp(-((x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2) / 4.0)


def centre_of(volume: np.ndarray) -> np.ndarray:
    """Return the centre of mass x, y, z from the centre of the box."""
    grid = np.indices(volume.shape)[::-1] - len(volume) // 2
    return (grid * volume).sum((1, 2, 3)) / volume.sum()
