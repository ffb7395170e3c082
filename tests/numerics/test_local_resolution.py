from __future__ import annotations

import numpy as np
import pytest

from cryosnake.numerics.backend import to_numpy
from cryosnake.numerics.filters import apply_filter, cosine_edge
from cryosnake.numerics.fsc import fsc
from cryosnake.numerics.local_resolution.bands import shell_bands, sort_transforms
from cryosnake.numerics.local_resolution.estimate import ScanSettings, local_resolution
from cryosnake.numerics.local_resolution.expansion import expand
from cryosnake.numerics.local_resolution.window import Window, WindowSums
from cryosnake.simulation.half_maps import FlexibleHalves, flexible_halves

BOX, PIXEL_SIZE = 48, 3.0
WINDOW = Window(12.5, 25.0)


def white(seed: int, box: int = BOX) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((box,) * 3, dtype=np.float32)


@pytest.fixture(scope="module")
def halves() -> FlexibleHalves:
    return flexible_halves(64, 2.4)


def test_window_sums_are_those_of_the_sphere() -> None:
    sums = WindowSums.plan(WINDOW, BOX * PIXEL_SIZE, 12.0, white(0))
    field = apply_filter(white(0), lambda k: k < 20) ** 2
    found = sums.of_product(np.sqrt(field), np.sqrt(field), sums.basis(BOX))
    assert found.shape == (12, 12, 12)
    away = (np.mgrid[:BOX, :BOX, :BOX] + BOX // 2) % BOX - BOX // 2
    weight = WINDOW.weight(np.sqrt((away**2).sum(axis=0)) * PIXEL_SIZE) ** 2
    for point in ((0, 0, 0), (3, 7, 11), (6, 6, 6)):
        expected = (np.roll(weight, [4 * i for i in point], axis=(0, 1, 2)) * field).sum() / weight.sum()
        assert found[point] == pytest.approx(expected, rel=0.02)


def test_bands_add_up_to_the_map() -> None:
    volume = apply_filter(white(1), lambda k: k < BOX // 2 - 1)
    bands = shell_bands(BOX, BOX * PIXEL_SIZE, WINDOW.diameter, 50.0)
    transforms = sort_transforms(volume)
    total = np.fft.irfftn(transforms.below(bands, BOX), s=volume.shape, axes=(0, 1, 2)) * volume.size
    for centre in bands.centres:
        total = total + transforms.band(bands, float(centre), BOX)[0]
    evened = apply_filter(total.astype(np.float32), lambda k: (k < BOX // 2) / bands.total(np.minimum(k, BOX // 2)))
    assert np.abs(evened - volume).max() < 1e-4 * np.abs(volume).max()


def test_a_band_is_the_same_map_on_a_smaller_grid() -> None:
    bands = shell_bands(BOX, BOX * PIXEL_SIZE, WINDOW.diameter, 50.0)
    transforms = sort_transforms(white(2))
    whole, small = (transforms.band(bands, 6.0, size)[0] for size in (BOX, BOX // 2))
    assert np.abs(whole[::2, ::2, ::2] - small).max() < 1e-5 * np.abs(whole).max()


def test_expansion_is_linear_and_periodic() -> None:
    grid = white(3, 8).astype(np.float64)
    fine = expand(grid, 32)
    assert np.allclose(fine[::4, ::4, ::4], grid, atol=1e-6)
    assert fine[30, 0, 0] == pytest.approx(0.5 * (grid[7, 0, 0] + grid[0, 0, 0]), abs=1e-6)


def test_even_signal_and_noise_give_the_global_resolution_everywhere() -> None:
    """White noise through a filter, in noise: the FSC is the same everywhere, and so is where it crosses."""
    signal = apply_filter(white(4), lambda k: np.exp(-((k / 9.0) ** 2)))
    first, second = signal + 0.1 * white(5), signal + 0.1 * white(6)
    result = local_resolution(first, second, PIXEL_SIZE)
    snr = (np.exp(-((np.arange(BOX // 2 + 1) / 9.0) ** 2)) / 0.1) ** 2
    expected = BOX * PIXEL_SIZE / np.flatnonzero(snr / (1 + snr) >= 0.143)[-1]
    assert np.median(result.resolution) == pytest.approx(expected, rel=0.05)
    curve = np.interp(result.shells, np.arange(BOX // 2 + 1), fsc(first, second))
    local = result.fsc.mean(axis=(1, 2, 3))
    assert np.abs(local - curve[: local.size])[1:].max() < 0.1  # bands are three shells wide, the curve is steep


def test_rigid_part_comes_out_finer_than_flexible_part(halves: FlexibleHalves) -> None:
    result = local_resolution(halves.half1, halves.half2, 2.4, halves.mask)
    inside = halves.mask > 0.5
    rigid, flexible = (np.median(result.resolution[inside & part])
                       for part in (halves.flexibility < 0.1, halves.flexibility > 0.9))
    assert rigid < 0.8 * flexible


def test_local_fsc_is_that_of_signal_and_noise(halves: FlexibleHalves) -> None:
    """FSC = S / (S + N): S from the noise-free map in the same window, N the same everywhere."""
    result = local_resolution(halves.half1, halves.half2, 2.4)
    bands = shell_bands(64, 64 * 2.4, WINDOW.diameter, 50.0)
    sums = WindowSums.plan(WINDOW, 64 * 2.4, WINDOW.diameter / 4, halves.truth)
    transforms = sort_transforms(halves.truth, halves.half1 - halves.truth)
    inside = sums.of_product(halves.mask, halves.mask, sums.basis(64)) > 0.5
    for index, centre in enumerate(result.shells):
        signal, noise = transforms.band(bands, float(centre), 64)
        power = sums.of_product(signal, signal, sums.basis(64))
        theory = (power / (power + float((noise**2).mean())))[inside]
        error = result.fsc[index][inside] - theory
        scatter = (1 - theory.mean() ** 2) / np.sqrt(_coefficients_in_window(float(centre), 64 * 2.4))
        assert np.sqrt((error**2).mean()) < 0.03 + 1.2 * scatter, centre


def _coefficients_in_window(shell: float, box_size: float) -> float:
    """Independent coefficients of a band that a window holds: half of 4 π s² · its width · the window's volume."""
    share = 4 / 3 * np.pi * (WINDOW.diameter / 2 / box_size) ** 3
    return 2 * np.pi * shell**2 * (box_size / WINDOW.diameter) * share


def test_filtered_map_is_nearer_the_truth_than_the_mean(halves: FlexibleHalves) -> None:
    result = local_resolution(halves.half1, halves.half2, 2.4, halves.mask)
    inside, truth = halves.mask > 0.5, halves.truth
    mean = 0.5 * (halves.half1 + halves.half2)
    found = np.corrcoef(result.filtered[inside], truth[inside])[0, 1]
    plain = np.corrcoef(mean[inside], truth[inside])[0, 1]
    assert found > plain + 0.1


def test_outside_the_mask_both_maps_are_zero(halves: FlexibleHalves) -> None:
    result = local_resolution(halves.half1, halves.half2, 2.4, halves.mask)
    assert not result.resolution[halves.mask == 0].any() and not result.filtered[halves.mask == 0].any()
    assert (result.resolution[halves.mask > 0] >= 2 * 2.4 - 1e-4).all()
    assert (result.resolution <= 50.0 + 1e-3).all()


def test_perfect_halves_reach_nyquist_and_come_back_as_they_are() -> None:
    volume = apply_filter(white(7), lambda k: cosine_edge(k, 20.0, 4.0))
    result = local_resolution(volume, volume, PIXEL_SIZE, None, ScanSettings(lowest=40.0))
    assert np.allclose(result.fsc[: (result.shells < 18).sum()], 1.0, atol=1e-3)
    assert np.abs(result.filtered - volume).max() < 0.02 * np.abs(volume).max()


def test_transfer_multiplies_the_shells() -> None:
    volume = apply_filter(white(7), lambda k: cosine_edge(k, 20.0, 4.0))
    factor = np.linspace(1.0, 3.0, BOX // 2 + 1)
    plain, raised = (local_resolution(volume, volume, PIXEL_SIZE, None, ScanSettings(transfer=f)).filtered
                     for f in (None, factor))
    ratio = np.abs(np.fft.rfftn(raised))[0, 0, 1:16] / np.abs(np.fft.rfftn(plain))[0, 0, 1:16]
    assert np.allclose(ratio, factor[1:16], rtol=2e-3)


@pytest.mark.parametrize("kind", ["shape", "no cube", "odd", "nan", "mask"])
def test_unfit_maps_are_refused(kind: str) -> None:
    first, second, mask = white(0), white(1), np.ones((BOX,) * 3, np.float32)
    if kind == "shape":
        second = white(1, 32)
    elif kind == "no cube":
        first, second = first[:40], second[:40]
    elif kind == "odd":
        first, second, mask = first[1:, 1:, 1:], second[1:, 1:, 1:], mask[1:, 1:, 1:]
    elif kind == "nan":
        second[3, 3, 3] = np.nan
    else:
        mask = mask[:32, :32, :32]
    with pytest.raises(ValueError, match=r"cubes of one shape|NaN"):
        local_resolution(first, second, PIXEL_SIZE, mask)


@pytest.mark.gpu
def test_gpu_gives_the_same(gpu, halves: FlexibleHalves) -> None:  # type: ignore[no-untyped-def]
    maps = halves.half1, halves.half2, 2.4, halves.mask
    here = local_resolution(*maps)
    there = local_resolution(*(gpu.asarray(m) if isinstance(m, np.ndarray) else m for m in maps))
    # Rounding moves a crossing over a shell here and there.
    difference = np.abs(to_numpy(there.resolution) - here.resolution)
    assert np.quantile(difference, 0.99) < 0.05
    assert np.corrcoef(to_numpy(there.filtered).ravel(), here.filtered.ravel())[0, 1] > 0.9999
