"""Motion of a specimen during the exposure, by RELION's model: stage drift and beam-induced local doming."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

COEFFICIENTS = 18  # per axis: time powers 1, 2, 3 for each of 1, x, x², y, y², x y


@dataclass(frozen=True)
class TrueMotion:
    """Motion of one movie, as in RELION's motion-correction STAR files.

    A point at r in the corrected micrograph (that is, in the first frame) is at r - shift in frame t, with shift =
    `global_shifts[t]` + `local_shift`, in pixels: RELION writes the shift that corrects a frame.
    """

    global_shifts: np.ndarray  # (frames, 2) x, y; the first is 0
    coefficients: np.ndarray  # (36,): rlnMotionModelCoeff, first those of x, then of y
    shape: tuple[int, int]  # h, w


def _terms(x: np.ndarray, y: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """Return the model's basis (…, 18); x and y from -½ to ½, frame counted from 0."""
    time = np.stack(np.broadcast_arrays(frame, frame**2, frame**3), -1)
    place = np.stack(np.broadcast_arrays(np.ones_like(x), x, x * x, y, y * y, x * y), -1)
    return (place[..., :, None] * time[..., None, :]).reshape(*place.shape[:-1], COEFFICIENTS)


def local_shift(motion: TrueMotion, positions: np.ndarray, frame: float | np.ndarray) -> np.ndarray:
    """Return the local shift (…, 2) x, y in pixels at positions (…, 2) x, y in pixels, in `frame` (0 is the first).

    Method: polynomial of third order in time and second in space (Zivanov, Nakane & Scheres 2019, IUCrJ 6, 5-17),
    with coordinates divided by the micrograph's size, minus ½.
    """
    x = positions[..., 0] / motion.shape[1] - 0.5
    y = positions[..., 1] / motion.shape[0] - 0.5
    basis = _terms(x, y, np.asarray(frame, np.float64))
    return np.stack([basis @ motion.coefficients[:COEFFICIENTS], basis @ motion.coefficients[COEFFICIENTS:]], -1)


def total_shift(motion: TrueMotion, positions: np.ndarray, frame: int) -> np.ndarray:
    """Return global plus local shift (…, 2) x, y in pixels at positions (…, 2), in `frame` (0 is the first)."""
    return motion.global_shifts[frame] + local_shift(motion, positions, frame)


def random_motion(rng: np.random.Generator, frames: int, shape: tuple[int, int], *, pixel_size: float,
                  dose_per_frame: float, drift: float = 12.0, local: float = 4.0) -> TrueMotion:
    """Return a motion that is fast in the first 4 e/Å² and then slower, like beam-induced motion (Zivanov et al. 2019).

    Parameters
    ----------
    rng : numpy.random.Generator
    frames : int
    shape : (int, int)
        h, w of the micrograph.
    pixel_size, dose_per_frame : float
        Å; e/Å².
    drift : float
        Typical length of the global path, Å.
    local : float
        Typical displacement at the micrograph's edges relative to its centre, at the end, Å.
    """
    dose = dose_per_frame * np.arange(frames)
    early, late = 1.0 - np.exp(-dose / 4.0), dose / max(dose[-1], 1e-9)
    angle = rng.uniform(0.0, 2.0 * np.pi)
    directions = np.stack([[np.cos(a), np.sin(a)] for a in (angle, angle + rng.normal(0.0, 0.7))])
    path = drift / pixel_size * (0.6 * early[:, None] * directions[0] + 0.4 * late[:, None] * directions[1])
    path += np.cumsum(rng.normal(0.0, 0.02 * drift / pixel_size, (frames, 2)), 0)
    coefficients = np.zeros((2, 6, 3))
    if local > 0:
        fit = np.stack([np.arange(frames) ** power for power in (1.0, 2.0, 3.0)], 1)
        weights = np.linalg.lstsq(fit, 0.6 * early + 0.4 * late, rcond=None)[0]
        size = local / pixel_size * np.array([0.0, 1.0, 1.6, 1.0, 1.6, 1.2])  # x², y² reach ¼ at the edges, x y too
        coefficients = rng.normal(0.0, 1.0, (2, 6, 1)) * size[:, None] * weights
        # The mean of x² over the field is 1/12: the constant removes it, so that the global shift is the mean motion.
        coefficients[:, 0] = -(coefficients[:, 2] + coefficients[:, 4]) / 12.0
    return TrueMotion(path - path[0], coefficients.ravel(), shape)
