"""A threshold that adapts to the micrograph: above it there are more peaks than noise would explain.

The noise level comes from the pixels away from peaks. The number and height of the peaks that noise makes per area
are counted once on white noise passed through the same detector. The threshold is where (peaks above) minus twice
(noise peaks expected above) is largest, that is, where the local false-discovery rate crosses one half (Efron 2004,
J. Am. Stat. Assoc. 99, 96-104).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from cryosnake.numerics.backend import Array
from cryosnake.numerics.picking.background import near_pixels, robust_scale
from cryosnake.numerics.picking.noise import NoiseLimits
from cryosnake.numerics.picking.peaks import find_peaks

# A missed particle is lost, a false pick is removed in 2D classification: hence this many s.d. below even odds, and
# more, up to the second number, while noise explains no more than MOST_FALSE of the picks. Template scores fall off
# less steeply with the particle's contrast, so half the margin gains as many particles.
MARGINS, MARGINS_TEMPLATES = (0.6, 0.9), (0.3, 0.3)
MOST_FALSE = 0.3
# Areas of peaks above this many s.d. are excluded when noise is measured; a maximum over templates has a longer tail.
CROWDED, CROWDED_TEMPLATES = 2.5, 3.5
FREE_RADIUS = 0.67  # particle diameters around such a peak
# Passes to the noise level, as fractions of these limits. From below, for where particles cover most of the micrograph
# they raise the first estimate of the noise so much that none of them would be excluded, and the estimate would stay.
PASSES = (0.4, 0.6, 0.8, 1.0, 1.0, 1.0)
LEAST_FREE = 0.1  # of the area, however crowded
MOST_NOISE = 0.15  # largest fraction of noise peaks that may pass (before the margin), however crowded the micrograph
HIGHEST = 8.0  # s.d.: no micrograph needs a higher threshold


@dataclass(frozen=True)
class Responses:
    """Output of a detector: scores (k, h, w) with noise around zero, or (1, h, w), the maximum over templates.

    `best` (h, w) is the index of the best template.
    """

    scores: np.ndarray
    is_maximum: bool = False
    best: np.ndarray | None = None


Detector = Callable[[Array], Responses]


@dataclass(frozen=True, kw_only=True)
class PickOptions:
    """Lengths in Å; thresholds in s.d. of the noise. `threshold` moves the adaptive one, `upper` None is off."""

    diameter: float
    distance: float
    border: float
    threshold: float = 0.0
    upper: float | None = None
    avoid_contamination: bool = True
    limits: NoiseLimits = field(default_factory=NoiseLimits)


@dataclass(frozen=True)
class NoisePeaks:
    """Peaks that a detector finds in noise: heights (n,) ascending, in s.d., in `area` (particle diameters squared).

    `free` is the fraction of the area away from the highest peaks, `margins` (s.d.) how far below even odds to pick
    with this detector, at least and at most.
    """

    heights: np.ndarray
    area: float
    free: float
    margins: tuple[float, float] = MARGINS


@dataclass(frozen=True)
class Standardised:
    """Peaks in units of the noise, highest first, and the fraction of pixels away from high peaks."""

    positions: np.ndarray  # (n, 2) x, y in pixels
    heights: np.ndarray  # (n,)
    pixels: np.ndarray  # (n, 2) row, column
    free: float


def standardise(
    responses: Responses,
    allowed: np.ndarray,  # (h, w) bool
    distance: float,  # pixels between peaks
    diameter: float,  # pixels
) -> Standardised:
    """Find peaks of the highest of k scores, each in units of its standard deviation away from peaks.

    The free pixels and the noise level depend on each other, so they are found in turn. For a maximum over many
    templates the median is subtracted as well.
    """
    free = allowed
    crowded = CROWDED_TEMPLATES if responses.is_maximum else CROWDED
    for fraction in PASSES:
        thin = free[::2, ::2]  # neighbours in a filtered image say the same
        levels = [robust_scale(score[::2, ::2][thin]) for score in responses.scores]
        score = np.stack([(score - (middle if responses.is_maximum else 0.0)) / max(spread, 1e-12)
                          for score, (middle, spread) in zip(responses.scores, levels, strict=True)]).max(0)
        positions, heights, pixels = find_peaks(score, allowed, distance)
        free = _away_from(pixels[heights > fraction * crowded], allowed, FREE_RADIUS * diameter)
    return Standardised(positions, heights, pixels, float(free.sum() / max(1, allowed.sum())))


def _away_from(pixels: np.ndarray, allowed: np.ndarray, radius: float) -> np.ndarray:
    """Return the allowed pixels (h, w) bool that are not within `radius` of a peak, at least a tenth."""
    free = allowed & ~near_pixels(pixels, allowed.shape, radius)
    while free.sum() < LEAST_FREE * allowed.sum():  # side by side: what lies between particles is little, but is there
        radius *= 0.9
        free = allowed & ~near_pixels(pixels, allowed.shape, radius)
    return free


def count_noise_peaks(
    detect: Detector,
    options: PickOptions,
    pixel_size: float,  # Å, of the working image
    across: int,  # particle diameters
    like: Callable[[np.ndarray], Array],  # moves an array to the detector's device
) -> NoisePeaks:
    """Run a detector over a square of white noise, `across` particle diameters wide and always the same."""
    diameter = options.diameter / pixel_size
    size = 2 * round(0.5 * across * diameter)
    noise = np.random.default_rng(20).standard_normal((size, size), dtype=np.float32)
    responses = detect(like(noise))
    found = standardise(responses, np.ones((size, size), np.bool_), options.distance / pixel_size, diameter)
    return NoisePeaks(np.sort(found.heights), (size / diameter) ** 2, found.free,
                      MARGINS_TEMPLATES if responses.is_maximum else MARGINS)


def adaptive_threshold(
    heights: np.ndarray,  # (n,) in s.d. of the noise
    free: float,  # fraction of the area away from peaks
    area: float,  # particle diameters squared
    noise: NoisePeaks,
) -> float:
    """Return the height above which to pick, in s.d. of the noise."""
    expected = area / noise.area * min(1.0, free / noise.free)
    levels = np.arange(np.quantile(noise.heights, 1.0 - MOST_NOISE), HIGHEST, 0.05)
    above = len(heights) - np.searchsorted(np.sort(heights), levels)
    false = expected * (len(noise.heights) - np.searchsorted(noise.heights, levels))
    even = float(levels[int(np.argmax(above - 2.0 * false))])
    least, most = noise.margins
    levels = np.append(np.arange(even - most, even - least, 0.05), even - least)
    above = len(heights) - np.searchsorted(np.sort(heights), levels)
    false = expected * (len(noise.heights) - np.searchsorted(noise.heights, levels))
    few = false <= MOST_FALSE * above
    few[-1] = True
    return float(levels[np.argmax(few)])
