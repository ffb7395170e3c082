"""Picks of one micrograph, with either detector."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cryosnake.numerics.backend import namespace, to_numpy
from cryosnake.numerics.picking.background import WorkingImage, local_normalise, near_pixels
from cryosnake.numerics.picking.noise import contaminated, within_limits
from cryosnake.numerics.picking.profile import ENOUGH, mean_profile, profile_response
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

    Blobs are then replaced by as many peaks of the correlation with their mean profile.

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
    accepted = _accepted(working, found, options)
    threshold = adaptive_threshold(found.heights[accepted], found.free, _area(good, diameter), noise)
    threshold += options.threshold
    high = found.heights >= threshold
    keep = high & accepted
    if not responses.is_maximum and keep.sum() >= ENOUGH:
        allowed = good & ~near_pixels(found.pixels[high & ~accepted], good.shape, 0.5 * diameter)
        found, keep = _match_profile(working, found, keep, allowed, options)
    border = options.border / working.pixel_size
    keep &= ((found.pixels >= border) & (found.pixels <= np.array(shape) - 1 - border)).all(1)
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


def _match_profile(working: WorkingImage, blobs: Standardised, keep: np.ndarray, allowed: np.ndarray,
                   options: PickOptions) -> tuple[Standardised, np.ndarray]:
    """Return the peaks of the correlation with the mean profile of the blobs to keep, and which of them: as many.

    The number is that of the blobs: what noise does to a filter that was made of the same picks is not known.
    """
    diameter = options.diameter / working.pixel_size
    image = to_numpy(local_normalise(working.image, namespace(working.image).asarray(allowed), diameter))
    score = profile_response(image, mean_profile(image, blobs.pixels[keep], diameter))
    found = standardise(Responses(score[None]), allowed, options.distance / working.pixel_size, diameter)
    accepted = _accepted(working, found, options)
    return found, accepted & (np.cumsum(accepted) <= keep.sum())


def _accepted(working: WorkingImage, found: Standardised, options: PickOptions) -> np.ndarray:
    """Return which peaks (n,) are neither too high nor in surroundings that are left out."""
    low = found.heights <= (np.inf if options.upper is None else options.upper)
    return low & within_limits(working.image, found.pixels, options.diameter / working.pixel_size, options.limits)


def _area(good: np.ndarray, diameter: float) -> float:
    return float(good.sum() / diameter**2)
