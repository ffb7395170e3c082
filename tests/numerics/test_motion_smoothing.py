import numpy as np
import pytest

from cryosnake.numerics.motion.smoothing import smooth_shifts


def curve(count: int) -> np.ndarray:
    z = np.arange(count)
    return np.stack([10 * (1 - np.exp(-z / 8)), 0.2 * z], axis=1)


def spread(difference: np.ndarray) -> float:
    return float((difference - difference.mean(axis=0)).std())


@pytest.mark.parametrize("seed", range(4))
def test_noisy_shifts_come_nearer_to_the_truth(seed: int) -> None:
    truth = curve(40)
    measured = truth + np.random.default_rng(seed).normal(size=truth.shape) * 0.5
    assert spread(smooth_shifts(measured, 0.25) - truth) < 0.75 * spread(measured - truth)


def test_precise_shifts_stay() -> None:
    """A jump that is far beyond the noise is motion."""
    measured = curve(30)
    measured[12:] += 5.0
    np.testing.assert_allclose(smooth_shifts(measured, 1e-4), measured, atol=0.02)


def test_few_frames_or_no_noise_change_nothing() -> None:
    measured = np.random.default_rng(0).normal(size=(4, 2))
    assert smooth_shifts(measured, 1.0) is measured
    longer = np.random.default_rng(0).normal(size=(9, 2))
    assert smooth_shifts(longer, 0.0) is longer
