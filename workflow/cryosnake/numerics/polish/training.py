"""How particles move, learnt from frequencies that the tracks were not fitted to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from cryosnake.numerics.polish.prior import MotionScales, motion_prior
from cryosnake.numerics.polish.tracks import fit_tracks, read_correlations

_LEAST, _MOST = np.array([0.005, 50.0, 0.02]), np.array([20.0, 2e5, 200.0])  # Å per e/Å², Å, Å per e/Å²
_STEP = 2.0  # the first simplex tries each scale times this
_EVALUATIONS = 80
_CHANGE = 1e-7  # of a log-likelihood that is some 10⁴: less than _SAME_SCORE
_SAME_SCALE, _SAME_SCORE = 0.15, 0.5  # of the logarithm; of the log-likelihood: less means nothing


@dataclass(frozen=True, kw_only=True)
class TrainingMovie:
    """What a movie says of its particles' tracks.

    Attributes
    ----------
    places : (p, 2)
        Å.
    seen, held_out : (p, f, size, size) float32
        Log-likelihoods of displacements, origin in pixel 0, 0: from low frequencies, to which tracks are fitted, and
        from the others, by which they are judged.
    steps : float
        Pixels of these per frame for 1 Å per e/Å².
    """

    places: np.ndarray
    seen: np.ndarray
    held_out: np.ndarray
    steps: float


def held_out_likelihood(movies: Sequence[TrainingMovie], scales: MotionScales) -> float:
    """Return the log-likelihood, at frequencies held out, of tracks that were fitted to the others."""
    total = 0.0
    for movie in movies:
        start = np.zeros((*movie.seen.shape[:2], 2))
        prior = motion_prior(movie.places, scales.per_frame(movie.steps))
        tracks = fit_tracks(movie.seen, start, prior, change=_CHANGE)
        total += float(read_correlations(movie.held_out, tracks)[0].sum())
    return total


def train_scales(likelihood: Callable[[MotionScales], float], start: MotionScales) -> tuple[MotionScales, float]:
    """Return the scales of most likelihood near `start`, and how much more it is than there.

    Nelder & Mead's simplex in the logarithms (1965, Computer J. 7), as Zivanov, Nakane & Scheres 2019 (IUCrJ 6, 5-17)
    search; the measure is theirs in all but its normalisation. Where distances within a movie are small beside the
    divergence only velocity² / divergence is determined: how far neighbours move apart.
    """
    begin = np.log(np.clip([start.velocity, start.divergence, start.acceleration], _LEAST, _MOST))
    first = likelihood(_scales(begin))
    simplex = np.concatenate([begin[None], begin + np.log(_STEP) * np.eye(3)])
    found = minimize(lambda x: first - likelihood(_scales(x)), begin, method="Nelder-Mead",
                     bounds=list(zip(np.log(_LEAST), np.log(_MOST), strict=True)),
                     options={"initial_simplex": simplex, "xatol": _SAME_SCALE, "fatol": _SAME_SCORE,
                              "maxfev": _EVALUATIONS})
    return _scales(found.x), -float(found.fun)


def _scales(logarithms: np.ndarray) -> MotionScales:
    velocity, divergence, acceleration = np.exp(logarithms).tolist()
    return MotionScales(velocity=velocity, divergence=divergence, acceleration=acceleration)
