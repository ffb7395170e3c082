"""Local resolution of two half maps, all positions at once, and their locally filtered mean.

For each band of shells both halves are band-passed; the FSC about the point x is

    FSC_s(x) = Σ w²(y − x) a_s(y) b_s(y) / √( Σ w²(y − x) a_s²(y) · Σ w²(y − x) b_s²(y) )

with w the soft sphere by which RELION multiplies both maps (Cardone, Heymann & Steven 2013, J. Struct. Biol. 184: FSC
in a moving window). By Parseval's theorem this is the FSC of the windowed maps, each shell as wide as the
window blurs it. Because bands are separated before the window is applied, strong low frequencies don't leak into high
ones: RELION's correction for the window by randomised phases is not needed.

A voxel's resolution and filter are means over all windows that cover it, weighted by w, as in RELION.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cryosnake.numerics.backend import Array, fft_of, namespace, to_numpy
from cryosnake.numerics.filters import frequency_radius, interpolate_shells
from cryosnake.numerics.fsc import fsc_weight
from cryosnake.numerics.local_resolution.bands import ShellBands, add_to_spectrum, shell_bands, sort_transforms
from cryosnake.numerics.local_resolution.expansion import add_weighted, expand
from cryosnake.numerics.local_resolution.window import Window, WindowSums

FINER = 2  # FSCs are computed on a grid finer than the sampling distance by this factor: it costs little
FINEST = 4  # but no finer than this fraction of a window: the FSCs of such neighbours are the same


@dataclass(frozen=True)
class LocalResolution:
    """`resolution` (box, box, box) float32 in Å; `filtered`, the locally filtered mean map, of the same shape.

    `shells` (bands,) and `fsc` (bands, points, points, points) float64: the local FSC on a grid whose point i is at
    i / points of the box. Bands beyond the best resolution found are left out.
    """

    resolution: Array
    filtered: Array
    shells: np.ndarray
    fsc: np.ndarray


@dataclass(frozen=True, kw_only=True)
class ScanSettings:
    """Settings of the estimation.

    `sampling` (Å) is the distance of the estimates, `lowest` (Å) the lowest resolution that a voxel can get. `window`
    defaults to RELION's: radius ½ sampling, edge 1 sampling. The resolution is that of the last shell before the FSC
    falls below `threshold`; the FSC is linear between bands. `transfer` (box // 2 + 1,) is the factor of the filtered
    map per shell: sharpening, MTF.
    """

    sampling: float = 25.0
    window: Window | None = None
    lowest: float = 50.0
    threshold: float = 0.143
    transfer: np.ndarray | None = None


def local_resolution(half1: Array, half2: Array, pixel_size: float, mask: Array | None = None,
                     settings: ScanSettings | None = None, *,
                     progress: Callable[[int, int], object] = lambda done, total: None) -> LocalResolution:
    """Return resolution and filtered map at every voxel.

    Parameters
    ----------
    half1, half2, mask : (box, box, box) float32
        Unfiltered half maps, NumPy or CuPy. Voxels with mask 0 get resolution 0 and density 0.
    pixel_size : float
        Å.
    progress : callable
        Called with bands done and their number.

    Raises
    ------
    ValueError
        when the maps are not cubes of one shape with an even box, or contain NaN or infinities
    """
    _check(half1, half2, mask)
    box, how = half1.shape[0], settings or ScanSettings()
    box_size = box * pixel_size
    window = how.window or Window(0.5 * how.sampling, how.sampling)
    bands = shell_bands(box, box_size, window.diameter, how.lowest)
    sums = WindowSums.plan(window, box_size, max(how.sampling / FINER, window.diameter / FINEST), half1)
    curves, reached, spectrum = _scan_bands(half1, half2, bands, sums, _wanted(mask, sums), how.threshold, progress)
    factor = np.ones(box // 2 + 1) if how.transfer is None else how.transfer
    filtered = _finish(spectrum, bands, factor)
    frequency = expand(reached / box_size, box)
    resolution = 1.0 / namespace(half1).maximum(frequency, 1.0 / how.lowest)
    if mask is not None:
        resolution, filtered = resolution * (mask > 0), filtered * mask
    return LocalResolution(resolution, filtered, bands.centres[: len(curves)], np.stack(curves))


def _scan_bands(half1: Array, half2: Array, bands: ShellBands, sums: WindowSums, wanted: Array, threshold: float,
                progress: Callable[[int, int], object]) -> tuple[list[np.ndarray], Array, Array]:
    """Return the FSC grid of each band, the shell reached at each grid point, and the filtered bands' transform.

    A point is open until its FSC falls below the threshold; in the band where it closes it counts with the fraction
    of the step before the crossing. The shell reached, the last whole one before the crossing, is therefore the sum
    over the open bands.
    """
    xp, box = namespace(half1), half1.shape[0]
    transforms = sort_transforms(half1, half2)
    spectrum = transforms.below(bands, box)
    tier = xp.zeros((1, 1, 1), dtype=xp.float32)  # the filtered bands on grids of one size
    before, is_open = xp.ones_like(wanted, dtype=xp.float64), wanted.astype(xp.float64)
    reached = xp.full(wanted.shape, float(bands.centres[0]) - bands.step)
    curves: list[np.ndarray] = []
    for done, shell in enumerate(bands.centres):
        size = bands.grid(float(shell), sums.order)
        maps = transforms.band(bands, float(shell), size)
        curve = _correlation(maps[0], maps[1], sums)
        share = _share_above(before, curve, threshold) if done else 1.0
        is_open = xp.where(is_open >= 1.0, is_open * share, 0.0)
        reached += bands.step * is_open
        weight = is_open * fsc_weight(xp.where(is_open < 1.0, threshold, curve))
        if tier.shape[0] != size:
            add_to_spectrum(spectrum, tier, box)
            tier = xp.zeros((size,) * 3, dtype=xp.float32)
        add_weighted(tier, maps, sums.blend(weight))
        curves.append(to_numpy(curve))
        before = curve
        progress(done + 1, len(bands.centres))
        if not bool((is_open >= 1.0).any()):
            break
    add_to_spectrum(spectrum, tier, box)
    whole = xp.floor(xp.maximum(reached, float(bands.centres[0])) + 1e-6)
    return curves, sums.blend(whole), spectrum


def _correlation(first: Array, second: Array, sums: WindowSums) -> Array:
    """Return the local FSC of two band-passed maps on the grid, float64; 0 where a window is empty."""
    xp = namespace(first)
    table = sums.basis(first.shape[0])
    cross, power1, power2 = (sums.of_product(a, b, table).astype(xp.float64)
                             for a, b in ((first, second), (first, first), (second, second)))
    # The neglected coefficients make sums of nearly empty windows uncertain by this amount.
    floor = 1e-3 * xp.sqrt(power1.max() * power2.max()) + 1e-300
    norm = xp.sqrt(xp.maximum(power1, 0.0) * xp.maximum(power2, 0.0))
    return xp.clip(cross / xp.maximum(norm, floor), -1.0, 1.0)


def _share_above(before: Array, curve: Array, threshold: float) -> Array:
    """Return the fraction of the step between two bands before the FSC falls below the threshold."""
    xp = namespace(curve)
    fall = xp.maximum(before - curve, 1e-9)
    return xp.where(curve >= threshold, 1.0, xp.clip((before - threshold) / fall, 0.0, 1.0 - 1e-9))


def _wanted(mask: Array | None, sums: WindowSums) -> Array:
    """Return True at the grid points whose window overlaps the mask."""
    if mask is None:
        return namespace(sums.power).ones((sums.points,) * 3, dtype=bool)
    return sums.of_product(mask, mask, sums.basis(mask.shape[0])) > 1e-3


def _finish(spectrum: Array, bands: ShellBands, factor: np.ndarray) -> Array:
    """Return the map of the filtered bands, divided at each |k| by the sum of bands and multiplied by `factor`."""
    xp, fft, box = namespace(spectrum), fft_of(spectrum), spectrum.shape[0]
    fine = np.linspace(0.0, box // 2, 8 * (box // 2) + 1)
    curve = np.interp(fine, np.arange(factor.size), factor) / bands.total(fine)
    curve[-1] = 0.0  # beyond the last complete shell
    radius = 8.0 * frequency_radius(box, spectrum.real)
    spectrum *= interpolate_shells(xp.asarray((curve * box**3).astype(np.float32)), radius)
    return fft.irfftn(spectrum, s=(box,) * 3, overwrite_x=True).astype(xp.float32)


def _check(half1: Array, half2: Array, mask: Array | None) -> None:
    maps = [half1, half2] + ([] if mask is None else [mask])
    shapes = [tuple(volume.shape) for volume in maps]
    box = shapes[0][0]
    if any(shape != (box,) * 3 for shape in shapes) or box % 2:
        raise ValueError(f"local resolution needs cubes of one shape with an even box, got {shapes}")
    if not all(bool(namespace(volume).isfinite(volume).all()) for volume in maps):
        raise ValueError("the half maps or the mask contain NaN or infinities")
