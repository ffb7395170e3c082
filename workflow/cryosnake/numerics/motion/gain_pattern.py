"""The camera's fixed pattern in a movie: whether a gain reference shows it, or another orientation of it does.

A pixel that counts too few electrons has a gain above 1, so to first order the relative sum of the raw frames is minus
the relative gain, plus noise that has nothing to do with the gain. The slope of one on the other is then -1 for the
right gain, +1 for its reciprocal and 0 for another one. Only what differs between neighbouring pixels is compared:
there the sample has next to nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

_CLIP = 4.0  # standard deviations, for hot and dead pixels
RIGHT = -0.5  # a slope below this is that of a gain that makes the images better
_LARGEST_ERROR = 0.05  # of a slope that says something


@dataclass(frozen=True)
class Slope:
    """The slope of a movie's pattern on that of a gain, and its standard error."""

    value: float
    error: float

    @property
    def is_known(self) -> bool:
        """Whether the noise leaves no doubt."""
        return self.error < _LARGEST_ERROR


def fine_pattern(image: np.ndarray) -> np.ndarray:
    """Return how much each inner pixel (ny - 2, nx - 2) of an image (ny, nx) differs from its four neighbours.

    Relative to the median of the image, float32; outliers are clipped.
    """
    relative = image / np.float32(np.median(image) or 1.0)
    neighbours = relative[:-2, 1:-1] + relative[2:, 1:-1] + relative[1:-1, :-2] + relative[1:-1, 2:]
    pattern = relative[1:-1, 1:-1] - 0.25 * neighbours
    limit = _CLIP * 1.4826 * float(np.median(np.abs(pattern)))
    return pattern if limit == 0 else np.clip(pattern, -limit, limit)


def slope_on(pattern: np.ndarray, gain: np.ndarray) -> Slope:
    """Return the slope of a movie's pattern on the pattern of a gain of the same shape."""
    power = float(np.vdot(gain, gain))
    if power == 0:
        return Slope(0.0, math.inf)
    error = math.sqrt(float(np.vdot(pattern, pattern)) / pattern.size / power)
    return Slope(float(np.vdot(pattern, gain)) / power, error)


def orientations(gain: np.ndarray, rotation: int, flip: int) -> Iterator[tuple[int, int, np.ndarray]]:
    """Yield quarter turns, flip (0 or 1) and the gain (ny, nx) in each other orientation that has its shape.

    Parameters
    ----------
    gain
        As read by `cryosnake.io.gain.read_gain` with this `rotation` and `flip`.
    """
    unturned = np.rot90(gain[::-1] if flip == 1 else gain[:, ::-1] if flip == 2 else gain, rotation)
    given = (rotation, flip) if flip != 2 else ((rotation + 2) % 4, 1)
    for turns in range(4):
        turned = np.rot90(unturned, -turns)
        for flipped, image in enumerate((turned, turned[::-1])):
            if image.shape == gain.shape and (turns, flipped) != given:
                yield turns, flipped, image


def common_pattern(one: np.ndarray, other: np.ndarray) -> float:
    """Return the relative standard deviation of the fixed pattern of two movies; 0 when one is a copy of the other."""
    common = float(np.vdot(one, other)) / one.size
    power = math.sqrt(float(np.vdot(one, one)) * float(np.vdot(other, other))) / one.size
    if not power or common > 0.9 * power or common < 6.0 * power / math.sqrt(one.size):
        return 0.0
    return math.sqrt(common / 1.25)  # a pixel has 1, its four neighbours a quarter of theirs
