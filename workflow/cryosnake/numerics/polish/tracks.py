"""The most probable tracks of all particles of a movie, given their correlations and the prior."""

from __future__ import annotations

import numba as nb
import numpy as np
from scipy.optimize import minimize

from cryosnake.numerics.polish.prior import MotionPrior

_MOST_ITERATIONS = 10000
_GRADIENT, _CHANGE = 1e-5, 1e-10  # of the log-likelihood, and of its size


@nb.njit(cache=True)
def _weights(t, value, slope):  # type: ignore[no-untyped-def]
    """Fill the cubic convolution weights (4,) of the pixels −1 … 2 at the fraction t, and their derivatives (Keys)."""
    value[0], slope[0] = ((-0.5 * t + 1.0) * t - 0.5) * t, (-1.5 * t + 2.0) * t - 0.5
    value[1], slope[1] = (1.5 * t - 2.5) * t * t + 1.0, (4.5 * t - 5.0) * t
    value[2], slope[2] = ((-1.5 * t + 2.0) * t + 0.5) * t, (-4.5 * t + 4.0) * t + 0.5
    value[3], slope[3] = (0.5 * t - 0.5) * t * t, (1.5 * t - 1.0) * t


@nb.njit(cache=True)  # so little work that starting threads would take longer
def _read(images, places, values, slopes):  # type: ignore[no-untyped-def]
    particles, frames, size, _ = images.shape
    vx, sx, vy, sy = np.empty(4), np.empty(4), np.empty(4), np.empty(4)
    for p in range(particles):
        for f in range(frames):
            x, y = places[p, f, 0], places[p, f, 1]
            x0, y0 = np.floor(x), np.floor(y)
            _weights(x - x0, vx, sx)
            _weights(y - y0, vy, sy)
            total = dx = dy = 0.0
            for j in range(4):
                row = images[p, f, (np.int64(y0) + j - 1) % size]
                along = ahead = 0.0
                for i in range(4):
                    pixel = row[(np.int64(x0) + i - 1) % size]
                    along += vx[i] * pixel
                    ahead += sx[i] * pixel
                total += vy[j] * along
                dx += vy[j] * ahead
                dy += sy[j] * along
            values[p, f], slopes[p, f, 0], slopes[p, f, 1] = total, dx, dy


def read_correlations(images: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return values (p, f) and slopes (p, f, 2) of periodic images (p, f, size, size) at places (p, f, 2), x and y.

    The origin is pixel 0, 0. Method: cubic convolution (Keys 1981, IEEE Trans. Acoust. 29); slopes are continuous.
    """
    values, slopes = np.empty(places.shape[:2]), np.empty(places.shape)
    _read(images, np.ascontiguousarray(places, np.float64), values, slopes)
    return values, slopes


def fit_tracks(correlations: np.ndarray, start: np.ndarray, prior: MotionPrior, centres: np.ndarray | None = None,
               change: float = _CHANGE) -> np.ndarray:
    """Return the tracks (p, f, 2): pixels of the correlations, x and y.

    A track is a position in the first frame, which is free, plus the sum of the velocities since. Maximised by L-BFGS:
    Σ correlations − ½ Σ|c|² − ½ Σ steadiness |Δc|² (Zivanov, Nakane & Scheres 2019, IUCrJ 6, 5-17; RELION counts the
    prior without the halves, and correlations in units of its own).

    Parameters
    ----------
    correlations : (p, f, size, size) float32
        Log-likelihoods, up to a constant, of each frame's displacement; periodic, origin in pixel 0, 0.
    start : (p, f, 2)
        Where the search begins.
    prior : MotionPrior
    centres : (p, f, 2), optional
        Where the origins of the correlations are; without them at 0.
    change : float
        The search ends when a step changes the likelihood by less than this part of it.
    """
    particles, frames = correlations.shape[:2]
    dimensions = prior.basis.shape[1]
    if frames == 1 or dimensions == 0:
        return start.copy()
    split, white = 2 * particles, _whitening(prior.steadiness, frames - 1)

    def tracks(state: np.ndarray) -> np.ndarray:
        c = np.matmul(white, state[split:].reshape(dimensions, frames - 1, 2))
        result = np.zeros((particles, frames, 2))
        np.cumsum(np.tensordot(prior.basis, c, 1), axis=1, out=result[:, 1:])
        return result + state[:split].reshape(particles, 1, 2)

    def cost(state: np.ndarray) -> tuple[float, np.ndarray]:
        found = tracks(state)
        values, slopes = read_correlations(correlations, found if centres is None else found - centres)
        total = 0.5 * float((state[split:] ** 2).sum()) - values.sum()
        later = np.cumsum(slopes[:, :0:-1], axis=1)[:, ::-1]  # of all frames after each step
        by_state = np.matmul(white.transpose(0, 2, 1), np.tensordot(prior.basis.T, later, 1))
        return float(total), np.concatenate([-slopes.sum(1).ravel(), state[split:] - by_state.ravel()])

    begin = np.concatenate([start[:, 0].ravel(), np.linalg.solve(white, _coefficients(start, prior)).ravel()])
    found = minimize(cost, begin, jac=True, method="L-BFGS-B",
                     options={"maxiter": _MOST_ITERATIONS, "maxfun": 2 * _MOST_ITERATIONS, "gtol": _GRADIENT,
                              "ftol": change, "maxcor": 20})
    return tracks(found.x)


def _whitening(steadiness: np.ndarray, steps: int) -> np.ndarray:
    """Return matrices (m, steps, steps) that turn independent numbers of variance 1 into coefficients.

    In these numbers the prior is round, so that L-BFGS converges also where velocities hardly change.
    """
    change = np.diff(np.eye(steps), axis=0)
    precision = np.eye(steps) + steadiness[:, None, None] * (change.T @ change)
    return np.linalg.inv(np.linalg.cholesky(precision)).transpose(0, 2, 1)


def _coefficients(start: np.ndarray, prior: MotionPrior) -> np.ndarray:
    """Return the coefficients (m, f − 1, 2) of given tracks (p, f, 2)."""
    power = (prior.basis**2).sum(0)
    return np.tensordot((prior.basis / power).T, np.diff(start, axis=1), 1)
