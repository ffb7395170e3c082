from __future__ import annotations

import numpy as np
import pytest
import scipy.fft

from cryosnake.numerics.backend import to_numpy
from cryosnake.numerics.filters import apply_filter, frequency_radius
from cryosnake.numerics.fsc import fsc
from cryosnake.numerics.refine.sums import local_filter
from cryosnake.numerics.refine.sums.local_filter import cross_validated_filter
from cryosnake.simulation.half_maps import FlexibleHalves, flexible_halves

BOX, PIXEL_SIZE = 64, 2.4


@pytest.fixture(scope="module")
def halves() -> FlexibleHalves:
    return flexible_halves(BOX, PIXEL_SIZE)


def error(halves: FlexibleHalves, first: np.ndarray, second: np.ndarray) -> float:
    """Root mean square distance of each half from the truth in the mask, over the truth's deviation there."""
    inside = halves.mask > 0.5
    squared = [((half - halves.truth)[inside] ** 2).mean() for half in (first, second)]
    return float(np.sqrt(np.mean(squared)) / halves.truth[inside].std())


def best_global(halves: FlexibleHalves, order: int) -> tuple[float, tuple[np.ndarray, np.ndarray]]:
    """The best single Butterworth filter, its cutoff chosen with knowledge of the truth."""
    tried = []
    for cutoff in np.geomspace(5.5, 15.0, 16):
        pair = tuple(apply_filter(half, lambda k, c=cutoff: 1 / (1 + (k * c / (BOX * PIXEL_SIZE)) ** (2 * order)))
                     for half in (halves.half1, halves.half2))
        tried.append((error(halves, *pair), pair))
    return min(tried, key=lambda item: item[0])


def test_better_than_the_best_single_filter(halves: FlexibleHalves) -> None:
    first, second, _ = cross_validated_filter(halves.half1, halves.half2, halves.mask, PIXEL_SIZE)
    local = error(halves, first, second)
    for order in (2, 4, 8):
        assert local < 0.93 * best_global(halves, order)[0], order
    _, pair = best_global(halves, local_filter.ORDER)
    mask, truth = halves.mask, halves.truth
    found, single = (np.mean([fsc(half * mask, truth * mask)[1:28] for half in maps], axis=0)
                     for maps in ((first, second), pair))
    assert found.mean() > single.mean() + 0.01


def test_flexible_part_gets_the_lower_cutoff(halves: FlexibleHalves) -> None:
    _, _, cutoff = cross_validated_filter(halves.half1, halves.half2, halves.mask, PIXEL_SIZE)
    inside = halves.mask > 0.5
    rigid, flexible = (np.median(cutoff[inside & part])
                       for part in (halves.flexibility < 0.1, halves.flexibility > 0.9))
    assert rigid < 0.8 * flexible
    assert cutoff.min() >= 2 * PIXEL_SIZE - 1e-3 and cutoff.max() <= 30.0 + 1e-3
    assert np.median(cutoff[halves.mask == 0]) == pytest.approx(30.0, rel=0.01)
    assert np.median(cutoff[halves.mask > 0]) < 15.0


def test_noise_of_the_filtered_halves_stays_independent(halves: FlexibleHalves) -> None:
    """The shared choice of filters, applied to the noise of each half alone, hardly correlates them."""
    box_size = BOX * PIXEL_SIZE
    shells = local_filter._ladder(box_size, 30.0, 2 * PIXEL_SIZE, 10)
    _, _, cutoff = cross_validated_filter(halves.half1, halves.half2, halves.mask, PIXEL_SIZE)
    level = np.log(box_size / cutoff / shells[0]) / np.log(shells[1] / shells[0])
    noise = [scipy.fft.rfftn(half - halves.truth) for half in (halves.half1, halves.half2)]
    filtered = local_filter._blend(noise, level, shells, frequency_radius(BOX, halves.half1), halves.truth.shape)
    inside = halves.mask > 0.5
    assert abs(np.corrcoef(filtered[0][inside], filtered[1][inside])[0, 1]) < 0.03


def test_noise_alone_is_filtered_as_far_as_the_ladder_goes() -> None:
    rng = np.random.default_rng(3)
    first, second = (rng.standard_normal((48,) * 3, dtype=np.float32) for _ in range(2))
    _, _, cutoff = cross_validated_filter(first, second, np.ones((48,) * 3, np.float32), 3.0)
    assert np.median(cutoff) > 20.0


def test_halves_without_noise_are_kept() -> None:
    volume = apply_filter(np.random.default_rng(4).standard_normal((48,) * 3, dtype=np.float32), lambda k: k < 8)
    first, second, cutoff = cross_validated_filter(volume, volume, np.ones((48,) * 3, np.float32), 3.0)
    assert np.median(cutoff) == pytest.approx(6.0, rel=0.01)
    assert np.corrcoef(first.ravel(), volume.ravel())[0, 1] > 0.999
    assert np.array_equal(first, second)


def test_halves_are_treated_alike(halves: FlexibleHalves) -> None:
    maps = halves.half1, halves.half2
    first, second, cutoff = cross_validated_filter(*maps, halves.mask, PIXEL_SIZE)
    other, one, same = cross_validated_filter(*maps[::-1], halves.mask, PIXEL_SIZE)
    assert np.allclose(cutoff, same, rtol=1e-3)
    assert np.allclose(first, one, atol=1e-3 * first.std()) and np.allclose(second, other, atol=1e-3 * first.std())


@pytest.mark.parametrize(("change", "message"), [
    ({"second": np.zeros((32,) * 3, np.float32)}, "one shape"), ({"mask": np.zeros((48,) * 3)}, "mask is empty"),
    ({"first": np.full((48,) * 3, np.nan, np.float32)}, "NaN"), ({"lowest": 4.0}, "ladder"), ({"steps": 1}, "ladder"),
])
def test_unfit_input_is_refused(change: dict, message: str) -> None:
    given = {name: np.ones((48,) * 3, np.float32) for name in ("first", "second", "mask")} | {"pixel_size": 3.0}
    with pytest.raises(ValueError, match=message):
        cross_validated_filter(**given | change)


@pytest.mark.gpu
def test_gpu_gives_the_same(gpu, halves: FlexibleHalves) -> None:  # type: ignore[no-untyped-def]
    maps = halves.half1, halves.half2, halves.mask
    here = cross_validated_filter(*maps, PIXEL_SIZE)
    there = cross_validated_filter(*(gpu.asarray(m) for m in maps), PIXEL_SIZE)
    # Rounding may tip the choice where two filters are as good.
    assert np.quantile(np.abs(to_numpy(there[2]) - here[2]), 0.99) < 0.1
    assert np.corrcoef(to_numpy(there[0]).ravel(), here[0].ravel())[0, 1] > 0.9999
