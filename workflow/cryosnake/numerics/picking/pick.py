"""Picks of one micrograph, with either detector."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cryosnake.numerics.backend import namespace
from cryosnake.numerics.picking.background import WorkingImage, local_normalise
from cryosnake.numerics.picking.noise import contaminated, within_limits
from cryosnake.numerics.picking.threshold import (
    Detector,
    NoisePeaks,
    PickOptions,
    Responses,
    Standardised,
    adaptive_threshold,
    standardise,
)

ENOUGH_GOOD = 0.3  # if less of the micrograph is free of contamination, the contamination estimate is ignored


@dataclass(frozen=True, kw_only=True)
class Picks:
    """Picks of one micrograph, best first, with threshold and contamination."""

    positions: np.ndarray  # (n, 2) x, y, 0-based pixels of the micrograph
    scores: np.ndarray  # (n,) s.d. of the noise
    best: np.ndarray  # (n,) index of the best template, 0 without templates
    threshold: float
    contaminated: float  # fraction of the micrograph


def pick_particles(working: WorkingImage, detect: Detector, noise: NoisePeaks, options: PickOptions) -> Picks:
    """Pick particles: score, mask contamination relative to a typical pick, score again, apply the threshold.

    Raises
    ------
    ValueError
        when the micrograph is narrower than two particles
    """
    shape = working.image.shape
    diameter = options.diameter / working.pixel_size
    if min(shape) < 2.0 * diameter:
        raise ValueError(f"the micrograph is {min(shape) * working.pixel_size:.0f} Å wide, less than two particles of "
                         f"{options.diameter:g} Å")
    good = np.ones(shape, np.bool_)
    found, responses = _score(working, detect, good, options)
    if options.avoid_contamination:
        start = adaptive_threshold(found.heights, found.free, _area(good, diameter), noise)
        bad = contaminated(working.image, found.pixels[found.heights >= start], diameter)
        if bad.any() and (~bad).mean() > ENOUGH_GOOD:
            good = ~bad
            found, responses = _score(working, detect, good, options)
    threshold = adaptive_threshold(found.heights, found.free, _area(good, diameter), noise) + options.threshold
    keep = found.heights >= threshold
    if options.upper is not None:
        keep &= found.heights <= options.upper
    border = options.border / working.pixel_size
    keep &= ((found.pixels >= border) & (found.pixels <= np.array(shape) - 1 - border)).all(1)
    keep &= within_limits(working.image, found.pixels, diameter, options.limits)
    rows, columns = found.pixels[keep].T
    best = np.zeros(keep.sum(), np.int64) if responses.best is None else responses.best[rows, columns]
    return Picks(positions=found.positions[keep] * np.array([working.step[1], working.step[0]]),
                 scores=found.heights[keep], best=best, threshold=threshold, contaminated=float((~good).mean()))


def _score(working: WorkingImage, detect: Detector, good: np.ndarray, options: PickOptions,
           ) -> tuple[Standardised, Responses]:
    diameter = options.diameter / working.pixel_size
    mask = namespace(working.image).asarray(good)
    responses = detect(local_normalise(working.image, mask, diameter))
    return standardise(responses, good, options.distance / working.pixel_size, diameter), responses


def _area(good: np.ndarray, diameter: float) -> float:
    return float(good.sum() / diameter**2)
