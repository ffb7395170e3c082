"""Samples drawn for residual power: the weights of every particle sum to 1, whatever rounding does to them."""

from __future__ import annotations

import numpy as np
import pytest

from cryosnake.numerics.refine.kernels.selection import normalise


@pytest.mark.parametrize("first", [0, 500_000])  # where the golden ratio's multiples are, or round to, whole numbers
def test_drawn_weights_sum_to_one(first) -> None:
    rng = np.random.default_rng(7)
    particles, samples, draws = 200, 40, 8
    values = rng.normal(scale=0.5, size=(particles * samples, 8, 4)).astype(np.float32)
    sampled = np.empty_like(values)
    best, significant = np.empty(particles, np.int64), np.empty(particles, np.int64)
    top_weight, log_sum = np.empty(particles), np.empty(particles)
    normalise(values, np.arange(particles * samples), np.arange(0, particles * samples + 1, samples), 0.999, draws,
              np.full(particles, first), sampled, best, top_weight, significant, log_sum)
    assert (significant > draws).all()
    np.testing.assert_allclose(sampled.reshape(particles, -1).sum(1), 1.0, atol=1e-5)
