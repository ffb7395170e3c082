"""How the frames of all movies fall, from the sums of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from cryosnake.errors import CryosnakeError
from cryosnake.numerics.polish.frame_weights import FrameFalloff, fit_falloff
from cryosnake.programs.ctfrefine.references import References
from cryosnake.programs.polish.particles import MovieParticles

Sums = tuple[np.ndarray, np.ndarray, np.ndarray]  # cross, frame_power, predicted_power of `Motion`


def exposure_of(movie: MovieParticles) -> tuple[float, int]:
    """Return what movies must have in common to have the same weights: dose per frame, and first frame."""
    return round(movie.motion.dose, 3), int(movie.frames[0])


def fit_falloffs(movies: Sequence[MovieParticles], sums: Mapping[int, Sums], references: References,
                 min_resolution: float) -> dict[tuple[float, int], FrameFalloff]:
    """Return how frames fall, for each exposure; that of most particles first.

    Raises
    ------
    CryosnakeError
        when there are too few shells, or no frame correlates with the maps
    """
    low = max(2, round(references.length / min_resolution))
    high = min(references.radius, references.box // 2 - 1)
    if high - low < 3:
        raise CryosnakeError(f"polish: between min_resolution ({min_resolution:g} Å) and the limit of the half "
                             f"maps ({references.limit:.2f} Å) there are too few shells. Set a larger min_resolution")
    counts: dict[tuple[float, int], int] = {}
    for movie in movies:
        counts[exposure_of(movie)] = counts.get(exposure_of(movie), 0) + len(movie.rows)
    found = {}
    for exposure in sorted(counts, key=lambda each: -counts[each]):
        mine = [sums[number] for number, movie in enumerate(movies) if exposure_of(movie) == exposure]
        try:
            found[exposure] = fit_falloff(_correlation(mine), low, high)
        except ValueError as error:
            raise CryosnakeError(f"polish: {error} (movies of {exposure[0]:g} e/Å² per frame). Are particles, half "
                                 "maps and movies of the same data?") from error
    return found


def _correlation(sums: Sequence[Sums]) -> np.ndarray:
    """Return the correlation (f, shells) of frames with predictions; some movies may have fewer frames."""
    frames, shells = max(len(cross) for cross, _, _ in sums), sums[0][0].shape[1]
    totals = np.zeros((3, frames, shells))
    for each in sums:
        for total, part in zip(totals, each, strict=True):
            total[: len(part)] += part
    cross, frame_power, predicted_power = totals
    return np.divide(cross, np.sqrt(frame_power * predicted_power), out=np.zeros_like(cross),
                     where=(frame_power > 0) & (predicted_power > 0))
